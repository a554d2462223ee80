"""Looks at the consumer groups of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from eventbus.admin.asking import ask
from eventbus.admin.lag import lag_of
from eventbus.admin.records import ConsumerInfo, GroupInfo, PendingEntry, PendingInfo
from eventbus.admin.replies import Heartbeat, pairs, text
from eventbus.errors import BackendRefused
from eventbus.streams import keys

if TYPE_CHECKING:
    from eventbus.streams import Wire

STREAM: Final = "stream"
"""What TYPE answers of one."""


async def kind_of(wire: Wire, key: str) -> str:
    """Ask which Redis type a key holds; `none` where there is no such key."""
    kind: bytes = await wire.one("TYPE", key)
    return kind.decode()


async def describe_groups(wire: Wire, stream: str, ours: set[str], *, now: int) -> tuple[GroupInfo, ...]:
    """Describe every group of a stream.

    Args:
        wire: Where to ask.
        stream: The stream.
        ours: The names of the groups that eventbus made.
        now: The server's clock in milliseconds.
    """
    rows = [pairs(row) for row in await wire.one("XINFO", "GROUPS", stream)]
    return tuple([await _describe(wire, stream, row, ours, now) for row in rows])


async def _describe(wire: Wire, stream: str, row: dict[str, Any], ours: set[str], now: int) -> GroupInfo:
    name = text(row["name"])
    private = keys.retry(stream, name)
    has_private = await kind_of(wire, private) == STREAM  # a group of another program has none
    consumers = await _consumers(wire, stream, row["name"])
    retrying = await _consumers(wire, private, row["name"]) if has_private else {}
    about = await _about(wire, stream, name, now)
    return GroupInfo(
        name=name,
        lag=await lag_of(wire, stream, row),
        pending=row["pending"],
        last_delivered=row["last-delivered-id"].decode(),
        retry_entries=await wire.one("XLEN", private) if has_private else 0,
        retry_pending=sum(each["pending"] for each in retrying.values()),
        consumers=_joined(consumers, retrying),
        ours=name in ours,
        **about._asdict(),
    )


class _About(NamedTuple):
    """What the group's own keys say."""

    parked: int
    due: int
    dead: int
    living: int
    served: float | None
    cut: int
    broadcast: str
    owner: str | None


async def _about(wire: Wire, stream: str, name: str, now: int) -> _About:
    parked, due, dead, beats, facts, (owner, until) = await ask(
        wire,
        ("XLEN", keys.parked(stream, name)),
        ("ZCOUNT", keys.due(stream, name), "-inf", now),
        ("XLEN", keys.dead(stream, name)),
        ("HVALS", keys.members(stream, name)),
        ("HMGET", keys.group(stream, name), "served", "lease", "cut", "broadcast"),
        ("HMGET", keys.owner(stream, name), "consumer", "until"),
    )
    served, lease, cut = (float(fact or 0) for fact in facts[:3])
    living = sum(_lives(Heartbeat.read(beat), now, lease) for beat in beats)
    silent = max(0.0, now - served) / 1000 if served else None
    owned_by = text(owner) if owner and float(until or 0) > now else None
    return _About(parked, due, dead, living, silent, int(cut), text(facts[3] or b""), owned_by)


def _lives(beat: Heartbeat | None, now: int, lease: float) -> bool:
    return beat is not None and now - beat.time < max(lease, beat.lease * 1000)


async def _consumers(wire: Wire, stream: str, group: bytes) -> dict[str, dict[str, Any]]:
    try:
        rows = await wire.one("XINFO", "CONSUMERS", stream, group)
    except BackendRefused as error:
        if error.code != "NOGROUP":
            raise
        return {}
    return {text(row["name"]): row for row in map(pairs, rows)}


def _joined(topic: dict[str, dict[str, Any]], private: dict[str, dict[str, Any]]) -> tuple[ConsumerInfo, ...]:
    """One record a consumer, which stands in both streams; the shorter idle time tells when it was last here."""
    infos: list[ConsumerInfo] = []
    for name in sorted(topic.keys() | private.keys()):
        rows = [source[name] for source in (topic, private) if name in source]
        held = [source[name]["pending"] if name in source else 0 for source in (topic, private)]
        infos.append(ConsumerInfo(name, held[0], held[1], min(row["idle"] for row in rows) / 1000))
    return tuple(infos)


async def list_pending(
    wire: Wire, source: str, group: str, *, retry: bool, consumer: str | None, count: int, priority: str
) -> PendingInfo | None:
    """List what is pending for a group in one stream; None where the stream has no such group."""
    only = () if consumer is None else (consumer,)
    try:
        total, _, _, shares = await wire.one("XPENDING", source, group)
        rows = await wire.one("XPENDING", source, group, "-", "+", count, *only)
    except BackendRefused as error:
        if error.code == "NOGROUP":
            return None
        raise
    if consumer is not None:
        total = sum(int(number) for name, number in shares or () if text(name) == consumer)
    entries = tuple(PendingEntry(each.decode(), text(who), idle / 1000, n) for each, who, idle, n in rows)
    return PendingInfo(source, retry, total, entries, priority)
