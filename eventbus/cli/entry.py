"""The way in, which works without the libraries of the command line, at least to say so."""

from __future__ import annotations

import sys

_NEEDED = frozenset({"typer", "rich"})


def main() -> None:
    """Run the command line of this process; ends it with an exit code."""
    try:
        from eventbus.cli.app import app  # noqa: PLC0415 - typer and rich are an extra
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in _NEEDED:
            raise
        sys.exit(_missing(name))
    app(prog_name="eventbus")


def _missing(name: str) -> int:
    sys.stderr.write(f"eventbus: the command line needs {name}: pip install 'eventbus[cli]'\n")
    return 2
