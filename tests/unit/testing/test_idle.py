"""When a bus counts as idle, and what is said when it does not become so."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest

from eventbus.consuming.counts import Counts
from eventbus.errors import BackendRefused, BackendUnavailable
from eventbus.streams import Backlog
from eventbus.testing.running import Running

IDLE = Backlog(unread=False, pending=0, parked=0)


class Consumer:
    """Answers one after the other; the last one stays."""

    def __init__(self, *answers, **counts):
        self.answers = list(answers)
        self.in_hand = ()
        self.counts = Counts(**counts)
        self.subscription = "orders/charge"

    async def backlog(self):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def run_of(*consumers):
    return Running(SimpleNamespace(consumers=consumers))


@pytest.mark.parametrize("trouble", [BackendRefused("it is gone", code="NOGROUP"), BackendUnavailable("no answer")])
async def test_a_group_that_is_gone_or_a_redis_that_is_not_there_is_not_idle_yet(trouble):
    """After a flush the worker makes the group anew; a test that waits for that gets through."""
    consumer = Consumer(trouble, trouble, Backlog(unread=True, pending=0, parked=0), IDLE)
    await run_of(consumer).idle()
    assert consumer.answers == [IDLE]


@pytest.mark.parametrize(
    ("consumer", "words"),
    [
        (Consumer(Backlog(unread=True, pending=0, parked=0)), "orders/charge has entries that nobody has read (nothing happened)."),
        (Consumer(Backlog(unread=False, pending=1, parked=0)), "orders/charge has 1 entry pending (nothing happened)."),
        (
            Consumer(Backlog(unread=True, pending=2, parked=0), fetched=2),
            "orders/charge has entries that nobody has read and 2 entries pending (fetched 2).",
        ),
        (
            Consumer(Backlog(unread=False, pending=0, parked=1), handled=1, failed=1, retried=1),
            "orders/charge has 1 entry parked, waiting to be handled again (handled 1, failed 1, retried 1).",
        ),
        (
            Consumer(Backlog(unread=False, pending=9, parked=2), dead=Counter(rejected=3)),
            "orders/charge has 9 entries pending and 2 entries parked, waiting to be handled again (dead rejected 3).",
        ),
        (Consumer(BackendUnavailable("no answer from Redis")), "no answer from Redis."),
        (Consumer(BackendRefused("the group is gone", code="NOGROUP")), "the group is gone."),
    ],
)
async def test_what_keeps_a_bus_from_being_idle_is_said_in_sentences(consumer, words):
    """Most often a handler failed, and the log is where to look."""
    with pytest.raises(TimeoutError) as caught:
        await run_of(consumer).idle(timeout=0.02)
    assert str(caught.value).startswith("the bus is not idle after 0.02 s: ")
    assert str(caught.value).endswith(words)


async def test_every_group_that_is_busy_is_named():
    """And those that are idle are not."""
    first, second, third = (
        Consumer(Backlog(unread=True, pending=0, parked=0)),
        Consumer(IDLE),
        Consumer(Backlog(unread=False, pending=3, parked=0)),
    )
    second.subscription, third.subscription = "orders/second", "orders/third"
    with pytest.raises(TimeoutError) as caught:
        await run_of(first, second, third).idle(timeout=0.02)
    assert "orders/charge has" in str(caught.value)
    assert "second" not in str(caught.value)
    assert "orders/third has 3 entries pending (nothing happened)." in str(caught.value)
