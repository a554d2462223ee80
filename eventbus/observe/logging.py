"""How log records are written: lines for people, or JSON lines for machines."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TextIO

import orjson

from eventbus.delivery import timestamp
from eventbus.errors import ConfigurationError
from eventbus.observe.escaping import escaped, escaped_json

if TYPE_CHECKING:
    from collections.abc import Mapping

_OURS: Final = "eventbus"
_HANDLER: Final = "eventbus.observe"

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Attributes every record has; what else is there came by `extra=`."""

_RESERVED: Final = frozenset({"ts", "level", "logger", "message", "exception", "stack"})


class LogFormat(StrEnum):
    """How logs are written."""

    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """From which level on."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class ConsoleFormatter(logging.Formatter):
    """Write a record as one line: time in UTC, level, logger, message, `key=value` of its extra fields.

    Control characters are escaped, so that a record can neither forge a line nor command a terminal. A
    traceback follows on lines of its own.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        head = f"{_time(record)} {record.levelname:<8} {record.name}: {_message(record)}"
        pairs = "".join(f"  {name}={_word(value)}" for name, value in _fields(record).items())
        below = [line for text in _trouble(self, record).values() for line in text.split("\n")]
        return "\n".join(escaped(line) for line in (head + pairs, *below))


class JsonFormatter(logging.Formatter):
    """Write a record as one JSON object on one line: `ts`, `level`, `logger`, `message`, extra fields.

    An exception stands in `exception` as text, a stack in `stack`. A field that has one of these names gets
    an underscore at its end. Values that are no JSON are shown by their class, never by their content.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        document: dict[str, Any] = {
            "ts": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        for name, value in _fields(record).items():
            document[f"{name}_" if name in _RESERVED else name] = value
        document |= _trouble(self, record)
        return escaped_json(_dumps(document))


def configure(format: str = "console", level: str = "info", stream: TextIO | None = None) -> None:  # noqa: A002 - as in logging
    """Send every log record of this process to standard error, in one of two formats.

    A later call replaces an earlier one; handlers of others stay as they are.

    Args:
        format: `console` or `json`.
        level: `debug`, `info`, `warning`, `error` or `critical`; default `info`.
        stream: Another place than standard error.

    Raises:
        ConfigurationError: Another format or level.
    """
    if format not in tuple(LogFormat):
        raise ConfigurationError(f"log format {format!r}: choose {' or '.join(LogFormat)}")
    if level.lower() not in tuple(LogLevel):
        raise ConfigurationError(f"log level {level!r}: choose one of {', '.join(LogLevel)}")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.name = _HANDLER
    handler.setFormatter(JsonFormatter() if format == LogFormat.JSON else ConsoleFormatter())
    root = logging.getLogger()
    for old in [each for each in root.handlers if each.name == _HANDLER]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())


def _trouble(formatter: logging.Formatter, record: logging.LogRecord) -> dict[str, str]:
    """A record's exception and stack as text, by the names they have in JSON."""
    parts: dict[str, str] = {}
    if record.exc_info and record.exc_info[0] is not None:
        parts["exception"] = formatter.formatException(record.exc_info)
    elif record.exc_text:
        parts["exception"] = record.exc_text
    if record.stack_info:
        parts["stack"] = formatter.formatStack(record.stack_info)
    return parts


def _time(record: logging.LogRecord) -> str:
    """UTC like entry ids and event times, so that all of them can be laid side by side."""
    return timestamp(datetime.fromtimestamp(record.created, UTC))


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 - a wrong format string must not lose the record
        return f"{record.msg} (its arguments do not fit: {type(error).__name__})"


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """What `extra=` brought; the fields inside `extra={"eventbus": {…}}` stand beside the others."""
    found = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    ours: Mapping[str, Any] | Any = found.pop(_OURS, None)
    if isinstance(ours, dict):
        found |= ours
    return found


def _word(value: object) -> str:
    """A value on a console line; quoted where it could be taken for something else."""
    text = value if isinstance(value, str) else str(_shown(value)) if not _plain(value) else str(value)
    quoted = not text or any(character in text for character in ' "=')
    return f'"{text.replace(chr(34), chr(92) + chr(34))}"' if quoted else text


def _plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _shown(value: object) -> str:
    """A value that is no JSON: its class, since its text may be a payload."""
    return f"<{type(value).__name__}>"


def _dumps(document: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(document, default=_shown, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        # A lone surrogate, an integer beyond 64 bits, a circle: a record is never lost for its fields.
        return orjson.dumps({str(name): _as_text(value) for name, value in document.items()})


def _as_text(value: object) -> str:
    text = str(value) if _plain(value) else _shown(value)
    return text.encode(errors="backslashreplace").decode()
