"""The picture: bars of mean delay per case and controller, worst seed marked. Plain SVG, nothing loaded."""

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from vigie_sim.bench.traffic.jobs import Outcome
from vigie_sim.bench.traffic.summary import TARGETS, Group, grouped

_COLOURS = {
    "adaptive": "#0b6e4f",
    "max_pressure": "#3a7ca5",
    "greedy": "#81a4cd",
    "actuated": "#d17b0f",
    "fixed": "#8d6a9f",
    "sumo_actuated": "#b8b08d",
    "sumo_delay_based": "#cfc8b0",
    "net_fixed": "#9a9a9a",
}
_WIDTH, _LEFT, _RIGHT = 900, 170, 160
_BAR, _STEP, _HEAD = 16, 22, 34
_TOP = 54


def svg(outcomes: Sequence[Outcome]) -> str:
    """One panel per case, each with its own scale from 0."""
    cases = grouped(outcomes)
    height = _TOP + sum(_HEAD + _STEP * len(groups) + 14 for groups in cases.values())
    body: list[str] = []
    top = float(_TOP)
    for case, groups in cases.items():
        body.extend(_panel(case, groups, top))
        top += _HEAD + _STEP * len(groups) + 14
    title = "Mean delay per vehicle [s]: bar = mean over seeds, tick = worst seed"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
            f'height="{height}" font-family="system-ui, sans-serif" font-size="13" role="img">',
            f"<title>{title}</title>",
            f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
            f'<text x="16" y="28" font-size="16" font-weight="600" fill="#1b1b1b">{title}</text>',
            *body,
            "</svg>",
            "",
        ]
    )


def _panel(case: str, groups: Sequence[Group], top: float) -> Iterator[str]:
    target = TARGETS.get(case)
    most = max([group.worst("delay_s") for group in groups] + ([target.least] if target else []) + [1.0])
    scale = (_WIDTH - _LEFT - _RIGHT) / most
    yield f'<text x="16" y="{top + 18:g}" font-weight="600" fill="#1b1b1b">{escape(case)}</text>'
    first = top + _HEAD - 6
    bottom = first + _STEP * len(groups)
    for place, group in enumerate(groups):
        yield from _bar(group, first + place * _STEP, scale)
    if target is not None:
        for value, words, dash in ((target.least, "at least", "5 3"), (target.aim, "aim", "2 3")):
            x = _LEFT + value * scale
            anchor = "start" if words == "at least" else "end"
            yield (
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{first - 6:g}" y2="{bottom:g}" stroke="#a4161a" '
                f'stroke-dasharray="{dash}"/>'
                f'<text x="{x + (3 if anchor == "start" else -3):.1f}" y="{first - 4:g}" font-size="11" '
                f'text-anchor="{anchor}" fill="#a4161a">{words} {value:g}</text>'
            )


def _bar(group: Group, y: float, scale: float) -> Iterator[str]:
    mean, worst = group.mean("delay_s"), group.worst("delay_s")
    x = _LEFT + worst * scale
    middle = y + _BAR / 2
    yield (
        f'<text x="{_LEFT - 8}" y="{middle + 4.5:g}" text-anchor="end" fill="#1b1b1b">{group.subject}</text>'
        f'<rect x="{_LEFT}" y="{y:g}" width="{mean * scale:.1f}" height="{_BAR}" '
        f'fill="{_COLOURS.get(group.subject, "#555555")}"/>'
        f'<line x1="{_LEFT + mean * scale:.1f}" x2="{x:.1f}" y1="{middle:g}" y2="{middle:g}" stroke="#1b1b1b"/>'
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y + 2:g}" y2="{y + _BAR - 2:g}" stroke="#1b1b1b" '
        f'stroke-width="2"/>'
        f'<text x="{x + 7:.1f}" y="{middle + 4.5:g}" fill="#1b1b1b">{mean:.1f} (worst {worst:.1f})</text>'
    )
