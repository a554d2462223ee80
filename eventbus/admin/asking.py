"""Several read-only commands in one write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventbus.errors import BackendRefused
from eventbus.streams import pack

if TYPE_CHECKING:
    from collections.abc import Collection

    from eventbus.streams import Wire

ABSENT: Final = frozenset({"ERR", "NOGROUP"})
"""What Redis answers about a key or a group that is not there; XINFO has no better word than ERR."""


async def ask(wire: Wire, *commands: tuple[str | int, ...], passing_over: Collection[str] = ()) -> list[Any]:
    """Send commands; returns their replies.

    Args:
        wire: Where to send them.
        commands: Each with its words.
        passing_over: Codes of refusals that are no trouble, such as `ABSENT`: the reply is None then.

    Raises:
        BackendRefused: Another refusal: the first.
    """
    replies = await wire.call([pack(*command) for command in commands])
    return [_answer(reply, passing_over) for reply in replies]


def _answer(reply: Any, passing_over: Collection[str]) -> Any:
    if not isinstance(reply, BackendRefused):
        return reply
    if reply.code not in passing_over:
        raise reply
    return None
