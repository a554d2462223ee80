"""A dead letter: the original fields, and behind them what became of the event. No payload of ours is added."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from eventbus.delivery.delivery import Delivery
    from eventbus.delivery.outcome import Decision, Ended

MESSAGE: Final = 1_000
"""Characters of an error's message that are kept."""

TRACEBACK: Final = 4_000
"""Characters of its traceback that are kept: the end, where the error is."""

FRAMES: Final = 12
"""Innermost frames of it."""


def dead_letter(delivery: Delivery, ended: Ended, decision: Decision, *, group: str, consumer: str) -> list[bytes]:
    """The names and values of a dead letter. An error's own message is kept: it stays where the payload is."""
    error = ended.error
    about = {
        "reason": decision.reason or "",
        "group": group,
        "deliveries": str(delivery.count),
        "error": "" if error is None else f"{type(error).__module__}.{type(error).__qualname__}",
        "message": _message(error) if error is not None else ended.reason,
        "traceback": "" if error is None else _traceback(error),
        "consumer": consumer,
        "failed": timestamp(),
        "type": ended.type,
    }
    block = [part for name, value in about.items() if value for part in (b"eb" + name.encode(), _utf8(value))]
    return [*delivery.fields, *decision.carried.fields(), *block]


def timestamp(at: datetime | None = None) -> str:
    """A time as RFC 3339 in UTC, with milliseconds; default now."""
    moment = at or datetime.now(UTC)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _message(error: BaseException) -> str:
    try:
        return str(error)[:MESSAGE]
    except Exception as wrong:  # noqa: BLE001 - an error of the user's may raise when it is printed
        return f"its message cannot be read: {type(wrong).__name__}"


def _traceback(error: BaseException) -> str:
    try:
        text = "".join(traceback.format_exception(error, limit=-FRAMES))
    except Exception as wrong:  # noqa: BLE001 - as above
        text = f"its traceback cannot be read: {type(wrong).__name__}"
    return text if len(text) <= TRACEBACK else f"…{text[1 - TRACEBACK :]}"


def _utf8(text: str) -> bytes:
    return text.encode(errors="backslashreplace")
