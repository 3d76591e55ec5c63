"""The texts that stand in the sources: what an expression can say, for the tests that want each in French."""

import ast
from collections.abc import Iterator, Mapping


def shapes(node: ast.expr, local: Mapping[str, list[ast.expr]], depth: int = 0) -> Iterator[str]:
    """The texts an expression can be, {} for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)  # type: ignore[misc]
    elif isinstance(node, ast.IfExp):
        yield from shapes(node.body, local, depth)
        yield from shapes(node.orelse, local, depth)
    elif isinstance(node, ast.BoolOp):
        for one in node.values:
            yield from shapes(one, local, depth)
    elif isinstance(node, ast.Name) and depth < 3:
        for one in local.get(node.id, ()):
            yield from shapes(one, local, depth + 1)


def assigned(scope: ast.FunctionDef) -> dict[str, list[ast.expr]]:
    """What the names of a function stand for, also where several are given at once."""
    local: dict[str, list[ast.expr]] = {}
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
            if isinstance(target, ast.Name):
                local.setdefault(target.id, []).append(value)
            elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                for one, each in zip(target.elts, value.elts, strict=False):
                    if isinstance(one, ast.Name):
                        local.setdefault(one.id, []).append(each)
    return local
