"""How far a group is behind, where Redis does not say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventbus.admin.records import Lag

if TYPE_CHECKING:
    from eventbus.streams import Wire

LAG_LIMIT: Final = 10_000
"""Entries after which counting stops: each of them comes over the network, with its payload."""

PAGE: Final = 500
"""Entries fetched at a time: at most 500 MiB where every entry is as large as they may be, not 10 GiB."""


async def count_lag(wire: Wire, stream: str, last_delivered: str, *, limit: int = LAG_LIMIT, page: int = PAGE) -> Lag:
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
