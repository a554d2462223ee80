"""Counters that outlive what they are read from."""

from __future__ import annotations

from eventbus.observe.ledger import Ledger, Series, Source

HANDLED = Series("handled", ("orders", "charge"))


class Counter:
    def __init__(self, count):
        self.count = count

    def source(self):
        return Source(self, lambda: {HANDLED: self.count})


def test_sources_of_one_series_are_added_up():
    """Two buses of a process may serve one group."""
    assert Ledger().total([Counter(1).source(), Counter(2).source()]) == {HANDLED: 3}


def test_what_a_source_that_is_gone_had_counted_is_kept():
    """A bus that consumes again begins at 0; a counter that falls would look like a restart."""
    ledger, first, second = Ledger(), Counter(5), Counter(1)
    assert ledger.total([first.source()]) == {HANDLED: 5}
    first.count = 7  # after the last scrape that saw it
    assert ledger.total([]) == {HANDLED: 7}
    assert ledger.total([second.source()]) == {HANDLED: 8}
    second.count = 3
    assert ledger.total([second.source()]) == {HANDLED: 10}


def test_a_source_is_the_same_as_long_as_what_it_counts_for_is():
    """Every scrape makes new sources of the same consumers."""
    ledger, counter = Ledger(), Counter(5)
    for _ in range(3):
        assert ledger.total([counter.source()]) == {HANDLED: 5}
