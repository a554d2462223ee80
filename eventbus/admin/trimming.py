"""Trimming by hand: what it would remove, and the doing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventbus.admin.replies import before, pairs, text
from eventbus.errors import ConfigurationError
from eventbus.events import is_count, is_seconds
from eventbus.streams import Trimmed, keys, parse_id
from eventbus.streams.group_admin import count_range

if TYPE_CHECKING:
    from eventbus.streams.scripts import Caller


def check_limits(max_len: int | None, max_age: float | None) -> None:
    """Refuse limits that are none.

    Raises:
        ConfigurationError: Neither is given, or one is no number from 0 (of entries: no whole one).
    """
    if max_len is None and max_age is None:
        raise ConfigurationError("trim: say what to keep: max_len (entries), max_age (seconds), or both")
    if max_len is not None and not is_count(max_len, zero=True):
        raise ConfigurationError(f"trim: max_len {max_len!r}: give a whole number of entries from 0")
    if max_age is not None and not is_seconds(max_age, zero=True):
        raise ConfigurationError(f"trim: max_age {max_age!r}: give seconds from 0")


@dataclass(frozen=True, slots=True)
class _Mark:
    """The watermark: the id, who holds it, and whether the entry of that id is settled itself."""

    id: str
    holding: tuple[str, ...]
    settled: bool


async def plan(wire: Caller, stream: str, *, max_len: int | None, max_age: float | None, hard: bool, now: int) -> Trimmed:
    """Say what an exact trim would do, by reading only.

    Args:
        wire: Where to ask.
        stream: The stream, which exists.
        max_len: Most entries to keep.
        max_age: Most seconds to keep one.
        hard: Count what is not settled, too.
        now: The server's clock in milliseconds.
    """
    rows = [pairs(row) for row in await wire.one("XINFO", "GROUPS", stream)]
    ours = {text(name) for name in await wire.one("SMEMBERS", keys.groups(stream))}
    missing = tuple(sorted(ours - {text(row["name"]) for row in rows}))
    # A group in its first lease that did not begin at 0 may be set back yet: it stops what is no hard cap.
    young = [name for name in sorted(ours) if await _is_young(wire, stream, name, now)]
    mark = await _watermark(wire, stream, [(row["name"], row["last-delivered-id"].decode(), row["pending"]) for row in rows])
    length = await wire.one("XLEN", stream)
    excess = 0 if max_len is None else max(0, length - max_len)
    old = None if max_age is None else before(f"{max(0, now - int(max_age * 1000))}-0")
    beyond = max(excess, 0 if old is None else await count_range(wire, stream, "-", old))
    below = beyond if mark is None else min(beyond, await count_range(wire, stream, "-", before(mark.id)))
    soft = 0 if mark is None or missing else below
    settled, unsettled = (0 if young else soft, 0) if not hard else await _hard(wire, stream, beyond, soft, mark)
    holding = () if mark is None else mark.holding
    return Trimmed(settled, unsettled, length - settled - unsettled, None if mark is None else mark.id, missing, holding)


async def _is_young(wire: Caller, stream: str, name: str, now: int) -> bool:
    begun, lease = await wire.one("HMGET", keys.group(stream, name), "begunat", "lease")
    return now - float(begun or 0) < float(lease or 0)


async def _hard(wire: Caller, stream: str, beyond: int, soft: int, mark: _Mark | None) -> tuple[int, int]:
    """How many of those beyond the limits are settled, and how many are not."""
    unsettled = beyond - soft
    if unsettled and mark is not None and mark.settled:
        itself = await wire.one("XRANGE", stream, mark.id, mark.id)
        return soft + len(itself), unsettled - len(itself)
    return soft, unsettled


async def _watermark(wire: Caller, stream: str, groups: list[tuple[bytes, str, int]]) -> _Mark | None:
    lows: list[tuple[str, str, bool]] = []
    for name, given, pending in groups:
        low = given
        if pending:
            smallest: bytes | None = (await wire.one("XPENDING", stream, name))[1]
            low = min(given, smallest.decode() if smallest else given, key=parse_id)
        lows.append((low, text(name), low == given and not pending))
    if not lows:
        return None
    lowest = min((low for low, _, _ in lows), key=parse_id)
    holding = [(name, settled) for low, name, settled in lows if low == lowest]
    return _Mark(lowest, tuple(sorted(name for name, _ in holding)), all(settled for _, settled in holding))
