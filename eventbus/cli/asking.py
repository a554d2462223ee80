"""What cannot be undone is asked about; what takes long says how far it is."""

from __future__ import annotations

import sys
import time
from typing import Final

import typer

from eventbus.cli.exits import say
from eventbus.errors import ConfigurationError
from eventbus.observe import escaped

EVERY: Final = 2.0
"""Seconds between two sentences about progress."""


def confirm(what: str, *, yes: bool) -> None:
    """Ask a person whether to go on; ends the command where the answer is no.

    Args:
        what: A sentence that says what will happen.
        yes: It was answered on the command line.

    Raises:
        ConfigurationError: Nobody is there to be asked.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{what}. Nothing was done: add --yes to go on without being asked")
    typer.confirm(escaped(f"{what}. Go on?"), abort=True, err=True)


class Progress:
    """Says on standard error how far work is, now and then.

    Args:
        verb: What is done: `redriven`.
        total: How much there is to do; None where it is not known.
    """

    def __init__(self, verb: str, total: int | None) -> None:
        self._verb = verb
        self._of = "" if total is None else f" of {total}"
        self._last = time.monotonic()
        self.done = 0

    def __call__(self, done: int) -> None:
        """Note that so much is done."""
        self.done = done
        if time.monotonic() - self._last >= EVERY:
            self._last = time.monotonic()
            say(f"{self._verb} {done}{self._of} so far")
