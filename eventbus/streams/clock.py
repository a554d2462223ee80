"""The server's clock: the only one that all members of a group share, and the one that writes entry ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventbus.streams.scripts import Caller


async def server_time(wire: Caller) -> int:
    """The server's time in milliseconds since 1970. One TIME."""
    return in_milliseconds(await wire.one("TIME"))


def in_milliseconds(reply: Sequence[bytes]) -> int:
    """What TIME answers (seconds, and microseconds beside them), in milliseconds."""
    seconds, microseconds = reply
    return int(seconds) * 1000 + int(microseconds) // 1000
