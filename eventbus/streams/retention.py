"""Trims topics: what every group has settled, beyond a length or an age; and knows who holds that back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from eventbus.delivery.carried import LATEST, number
from eventbus.errors import BackendRefused
from eventbus.streams import keys
from eventbus.streams.clock import server_time
from eventbus.streams.entry_ids import ZERO, parse_id
from eventbus.streams.scripts import run_script

if TYPE_CHECKING:
    from eventbus.streams.scripts import Caller

EXACT_STEP: Final = 10_000
"""Entries one exact trim removes: finding the place reads them, payloads included, inside the server."""

UNSERVED: Final = 86_400.0
"""Seconds without a heartbeat of any member after which a group is named, since it holds back trimming: a day, so that no
deploy and no night does it."""


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What a trim did.

    Attributes:
        settled: Entries removed that every group had settled.
        unsettled: Entries removed by a hard cap that some group had not settled: lost to it.
        left: Entries in the stream.
        watermark: Before this entry id everything is settled; None where the stream has no group.
        missing: Groups of eventbus whose place on the stream is gone: they stop trimming until they are
            healed by a worker or abandoned.
        holding: The groups that hold the watermark.
    """

    settled: int
    unsettled: int
    left: int
    watermark: str | None
    missing: tuple[str, ...]
    holding: tuple[str, ...]


async def trim(wire: Caller, stream: str, *, max_len: int | None, max_age: float | None, hard: bool, exact: bool = False) -> Trimmed:
    """Trim a topic's stream, and store each group's watermark.

    Without limits nothing is removed. Without `hard` nothing is removed that a group has not settled, groups
    of other programs included, and nothing at all where there is no group or one of ours is missing.

    Args:
        wire: Where to send it.
        stream: The stream.
        max_len: Most entries to keep, or None.
        max_age: Most seconds to keep one, or None.
        hard: Remove what is beyond the limits even where it is not settled.
        exact: Remove to the entry, in steps; else whole nodes of the stream, which is far cheaper and leaves
            up to a node (100 entries by default) too many.

    Redis cost:
        One SMEMBERS and one script; exact: one script for 10,000 entries removed.
    """
    settled = unsettled = 0
    limits = ("" if max_len is None else max_len, "" if max_age is None else int(max_age * 1000))
    flags = ("1" if hard else "0", "1" if exact else "0", EXACT_STEP)
    while True:
        groups = sorted(await wire.one("SMEMBERS", keys.groups(stream)))
        names: list[str | bytes] = [stream, keys.groups(stream), *(_hash(stream, name) for name in groups)]
        reply = await run_script(wire, "trim", names, (*limits, *flags, *groups))
        if reply == -1:  # a group came or went in between
            continue
        settled, unsettled = settled + reply[0], unsettled + reply[1]
        if not reply[6] or not (reply[0] or reply[1]):  # a step that removed nothing is never followed by another
            missing, holding = (tuple(sorted(name.decode(errors="replace") for name in part)) for part in reply[4:6])
            return Trimmed(settled, unsettled, reply[2], reply[3].decode() or None, missing, holding)


async def silences(wire: Caller, stream: str) -> dict[str, float | None]:
    """How long nobody has served each of the groups that eventbus ever made on a stream, by name.

    Returns:
        Seconds since any member of a group sent a heartbeat; None where none is known.

    Redis cost:
        Two commands, and one a group.
    """
    now, found = await server_time(wire), dict[str, float | None]()
    for name in sorted(await wire.one("SMEMBERS", keys.groups(stream))):
        served = number(await wire.one("HGET", _hash(stream, name), "served"), LATEST)
        found[name.decode(errors="backslashreplace")] = None if served is None else max(0, now - served) / 1000
    return found


async def foreign_silences(wire: Caller, stream: str) -> dict[str, float | None]:
    """How long groups of other programs that are behind gave no sign, by name; it is they that hold back trimming.

    Returns:
        Seconds since any consumer of a group read, claimed or (from Redis 7.2 on) asked in vain; None where it has none.

    Redis cost:
        Three commands, and one for each group that is behind.
    """
    try:
        groups = [_named(row) for row in await wire.one("XINFO", "GROUPS", stream)]
    except BackendRefused as error:
        if error.code != "ERR":  # there is no such key
            raise
        return {}
    ours, newest = await wire.one("SMEMBERS", keys.groups(stream)), await wire.one("XREVRANGE", stream, "+", "-", "COUNT", 1)
    last = parse_id(newest[0][0].decode()) if newest else ZERO
    found = dict[str, float | None]()
    for group in groups:
        name, given = group[b"name"], parse_id(group[b"last-delivered-id"].decode())
        if name not in set(ours) and (group[b"pending"] or given < last):
            try:
                found[name.decode(errors="backslashreplace")] = await _silence(wire, stream, name)
            except BackendRefused as error:
                if error.code not in ("NOGROUP", "ERR"):  # it went meanwhile, alone or with its stream
                    raise
    return found


async def _silence(wire: Caller, stream: str, name: bytes) -> float | None:
    idle = [_named(row)[b"idle"] for row in await wire.one("XINFO", "CONSUMERS", stream, name)]
    return min(idle) / 1000 if idle else None


def _named(row: list[Any]) -> dict[bytes, Any]:
    return dict(zip(row[::2], row[1::2], strict=True))


def _hash(stream: str, name: bytes) -> bytes:
    """The key of a group's hash; a name that another hand wrote need not be UTF-8."""
    return keys.group(stream, name.decode(errors="surrogateescape")).encode(errors="surrogateescape")
