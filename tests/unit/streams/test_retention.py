"""Trimming in steps: an answer that would have it go on for ever does not."""

from __future__ import annotations

from eventbus.streams import Trimmed, trim


class Server:
    """A server that says each time that it can remove more at once."""

    def __init__(self, *removed):
        self.removed = list(removed)

    async def one(self, *words):
        return [] if words[0] == "SMEMBERS" else [self.removed.pop(0), 0, 7, b"", [], [], 1]


async def test_a_step_that_removed_nothing_is_the_last():
    """Asked again at once it would remove nothing again, and everybody would wait behind it."""
    trimmed = await trim(Server(30, 20, 0), "orders", max_len=1, max_age=None, hard=False, exact=True)

    assert trimmed == Trimmed(50, 0, 7, None, (), ())
