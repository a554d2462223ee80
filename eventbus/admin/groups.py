"""Looks at the consumer groups of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventbus.admin.lag import count_lag
from eventbus.admin.records import ConsumerInfo, GroupInfo, Lag, PendingEntry, PendingInfo
from eventbus.admin.replies import pairs, text
from eventbus.errors import BackendRefused
from eventbus.streams import keys

if TYPE_CHECKING:
    from eventbus.streams import Wire


STREAM: Final = "stream"


async def kind_of(wire: Wire, key: str) -> str:
    """Ask which Redis type a key holds; `none` where there is no such key."""
    kind: bytes = await wire.one("TYPE", key)
    return kind.decode()


async def describe_groups(wire: Wire, stream: str, ours: set[str]) -> tuple[GroupInfo, ...]:
    """Describe every group of a stream; `ours` are the names that eventbus made."""
    rows = [pairs(row) for row in await wire.one("XINFO", "GROUPS", stream)]
    return tuple([await _describe(wire, stream, row, ours) for row in rows])


async def _describe(wire: Wire, stream: str, row: dict[str, Any], ours: set[str]) -> GroupInfo:
    name, last = text(row["name"]), row["last-delivered-id"].decode()
    private = keys.retry(stream, name)
    has_private = await kind_of(wire, private) == STREAM  # a group of another program has none
    consumers = await _consumers(wire, stream, row["name"])
    retrying = await _consumers(wire, private, row["name"]) if has_private else {}
    return GroupInfo(
        name=name,
        lag=await _lag(wire, stream, row, last),
        pending=row["pending"],
        last_delivered=last,
        retry_entries=await wire.one("XLEN", private) if has_private else 0,
        retry_pending=sum(each["pending"] for each in retrying.values()),
        consumers=_joined(consumers, retrying),
        ours=name in ours,
    )


async def _lag(wire: Wire, stream: str, row: dict[str, Any], last: str) -> Lag:
    known = row.get("lag")
    return Lag(known) if known is not None else await count_lag(wire, stream, last)


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


async def list_pending(wire: Wire, source: str, group: str, *, retry: bool, consumer: str | None, count: int) -> PendingInfo | None:
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
    return PendingInfo(source, retry, total, entries)
