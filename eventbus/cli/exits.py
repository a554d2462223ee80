"""Exit codes, and how an error becomes a sentence and one of them."""

from __future__ import annotations

from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, Final

import typer

from eventbus.errors import BackendUnavailable, CodecError, ConfigurationError, EventBusError, NotFound
from eventbus.observe import escaped

if TYPE_CHECKING:
    from collections.abc import Generator


class Code(IntEnum):
    """How a command ended."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_FOUND = 4
    INTERRUPTED = 130


EPILOG: Final = """\
\b
Exit codes:
    0  done
    1  failed: Redis refused, what is in use cannot be changed, a replay lost entries, or a worker did not end as asked
    2  the command line, the settings or the event are wrong; nothing was written
    3  Redis does not answer
    4  no such topic, group, dead letter, scheduled event or replay, or nothing of the range is kept
  130  interrupted

Redis is taken from --url, else from EVENTBUS_URL (which keeps a password out of the process list):
redis://host:6379/0, rediss://…, unix:///path/to/redis.sock. Errors and logs go to standard error.
"""

_CODES: Final[tuple[tuple[type[EventBusError], Code], ...]] = (
    (NotFound, Code.NOT_FOUND),
    (ConfigurationError, Code.USAGE),
    (CodecError, Code.USAGE),
    (BackendUnavailable, Code.UNREACHABLE),
)


def code_of(error: EventBusError) -> Code:
    """Choose the exit code for an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), Code.FAILED)


def say(text: str) -> None:
    """Say a sentence on standard error."""
    typer.echo(f"eventbus: {escaped(text)}", err=True)


@contextmanager
def reported() -> Generator[None]:
    """End the command with a sentence and an exit code where our own errors come up; defects keep their traceback."""
    try:
        yield
    except EventBusError as error:
        say(str(error))
        raise typer.Exit(code_of(error)) from error
    except BrokenPipeError as error:
        raise typer.Exit(Code.OK) from error  # `| head` has seen enough
    except KeyboardInterrupt as error:
        raise typer.Exit(Code.INTERRUPTED) from error
