"""Trimming: which groups hold it back because nobody serves them, and steps that come to an end."""

from __future__ import annotations

import pytest

from eventbus.streams import Trimmed, keys, silences, trim

NOW = 1_700_000_000_000


class Server:
    """Groups of the stream "orders", and what stands in their `served`."""

    def __init__(self, **served):
        self.served = {name.encode(): value for name, value in served.items()}

    async def one(self, *words):
        match words:
            case ("TIME",):
                return [b"1700000000", b"999"]
            case ("SMEMBERS", key):
                assert key == keys.groups("orders")
                return list(self.served)
            case ("HGET", key, "served"):
                return next(value for name, value in self.served.items() if key == b"{orders}:group:" + name)
        raise AssertionError(words)


async def test_each_group_has_the_seconds_since_its_last_heartbeat():
    """Whoever asks filters them: a log line, a metric."""
    server = Server(old=b"%d" % (NOW - 90_000_000), fresh=b"%d" % (NOW - 1500), ahead=b"%d" % (NOW + 5000))
    assert await silences(server, "orders") == {"old": 90_000.0, "fresh": 1.5, "ahead": 0.0}


@pytest.mark.parametrize("served", [None, b"", b"x", b"-1", b"1e3", b"9" * 5000, "\u0663".encode()])
async def test_of_a_group_without_a_known_heartbeat_nothing_is_known(served):
    """Its hash is lost, or another hand wrote into it: it is neither taken for served nor for silent for ever."""
    assert await silences(Server(charge=served), "orders") == {"charge": None}


async def test_a_name_that_is_no_text_is_shown_escaped():
    """Its own key is still the one that is asked."""
    server = Server()
    server.served = {b"\xff": b"%d" % NOW}
    assert await silences(server, "orders") == {"\\xff": 0.0}


class Greedy:
    """A server that says each time that it can remove more at once."""

    def __init__(self, *removed):
        self.removed = list(removed)

    async def one(self, *words):
        return [] if words[0] == "SMEMBERS" else [self.removed.pop(0), 0, 7, b"", [], [], 1]


async def test_a_step_that_removed_nothing_is_the_last():
    """Asked again at once it would remove nothing again, and everybody would wait behind it."""
    trimmed = await trim(Greedy(30, 20, 0), "orders", max_len=1, max_age=None, hard=False, exact=True)

    assert trimmed == Trimmed(50, 0, 7, None, (), ())
