"""What both commands share: one clear message and exit code 2 for wrong input, 1 for what failed."""

import sys
from collections.abc import Callable

import typer
from rich.console import Console

from vigie_protocols.errors import InputError, VigieError

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def make_command(text: str) -> typer.Typer:
    """A command that shows no tracebacks of its own accord and asks for no completion."""
    return typer.Typer(help=text, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def run(app: Callable[[], None]) -> None:
    """Run a command to its exit code."""
    try:
        app()
    except InputError as error:
        for problem in error.problems:
            err.print(str(problem), markup=False)
        sys.exit(2)
    except VigieError as error:
        err.print(str(error), markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
