"""How far a group is behind, where Redis does not say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventbus.admin.records import Lag

if TYPE_CHECKING:
    from eventbus.streams import Wire

LAG_LIMIT: Final = 10_000
"""Entries after which counting stops: each of them comes over the network, with its payload."""

PAGE: Final = 500
"""Entries fetched at a time: at most 500 MiB where every entry is as large as they may be, not 10 GiB."""


async def lag_of(wire: Wire, stream: str, row: dict[str, Any], *, limit: int = LAG_LIMIT, page: int = PAGE) -> Lag:
    """The lag of a group from its row of XINFO GROUPS, counted where Redis does not say it; see `count_lag`."""
    known: int | None = row.get("lag")  # 6.2 has none; NULL after an XDEL of an entry that was not delivered
    if known is not None:
        return Lag(known)
    return await count_lag(wire, stream, row["last-delivered-id"].decode(), limit=limit, page=page)


async def count_lag(wire: Wire, stream: str, last_delivered: str, *, limit: int, page: int) -> Lag:
    """Count the entries after an id.

    Redis before 7.0 has no lag, later ones answer NULL once an entry was deleted that the group was not
    given. NULL means unknown, never none.

    Args:
        wire: Where to ask.
        stream: The stream.
        last_delivered: The id after which to count.
        limit: The number at which to stop.
        page: Entries a reply.

    Redis cost:
        An XRANGE for every `page` entries.
    """
    counted, after = 0, last_delivered
    while True:
        rows = await wire.one("XRANGE", stream, f"({after}", "+", "COUNT", min(page, limit + 1 - counted))
        counted += len(rows)
        if counted > limit:
            return Lag(limit, exact=False)
        if not rows:
            return Lag(counted)
        after = rows[-1][0].decode()
