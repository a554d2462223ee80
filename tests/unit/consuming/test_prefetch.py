"""How far is read ahead: by how fast entries are handled, and by their size."""

from __future__ import annotations

import pytest

from eventbus.consuming.prefetch import LEAST, LOOK, MOST, WINDOW, Prefetch

PLENTY = 1 << 40
NOW = 0.0


def test_before_anything_was_handled_it_is_twice_the_concurrency_besides_what_runs():
    """Slow handlers keep no more from other workers."""
    prefetch = Prefetch(32, None, PLENTY)
    assert prefetch.limit(0, NOW) == 32 + 64


@pytest.mark.parametrize(("finished", "ahead"), [(0, 64), (63, 64), (500, 500), (1_000, 1_000), (50_000, MOST)])
def test_what_was_finished_in_the_last_tenth_of_a_second_is_read_ahead(finished, ahead):
    """Between the two bounds."""
    prefetch = Prefetch(32, None, PLENTY)
    prefetch.limit(7, NOW)
    assert prefetch.limit(7 + finished, NOW + WINDOW) == 32 + ahead


def test_a_longer_time_without_a_look_counts_as_its_average():
    """A read that waited for a second."""
    prefetch = Prefetch(32, None, PLENTY)
    prefetch.limit(0, NOW)
    assert prefetch.limit(5_000, NOW + 10 * WINDOW) == 32 + 500


def test_between_two_looks_it_stays():
    """A single short moment says nothing; and what was fast once does not count for ever."""
    prefetch = Prefetch(32, None, PLENTY)
    prefetch.limit(0, NOW)
    prefetch.limit(500, NOW + WINDOW)
    assert prefetch.limit(100_000, NOW + WINDOW + 0.5 * LOOK) == 32 + 500
    assert prefetch.limit(500, NOW + 30 * WINDOW) == 32 + 64


def test_fast_handlers_get_large_reads_before_their_first_tenth_of_a_second_is_over():
    """What was finished so far is what was finished in the last tenth of a second."""
    prefetch = Prefetch(32, None, PLENTY)
    prefetch.limit(0, NOW)
    assert prefetch.limit(96, NOW + LOOK) == 32 + 96
    assert prefetch.limit(300, NOW + 2 * LOOK) == 32 + 300


def test_what_was_finished_earlier_than_a_tenth_of_a_second_ago_counts_no_more():
    """However often is looked meanwhile: the window moves along."""
    prefetch = Prefetch(32, None, PLENTY)
    found = [prefetch.limit(min(looks, 10) * 40, NOW + looks * LOOK) for looks in range(30)]
    assert found[10] == 32 + 400
    assert found[15] in range(32 + 160, 32 + 280)
    assert found[21:] == [32 + 64] * 9


def test_many_handlers_have_at_least_twice_their_number_read_ahead():
    """Also beyond the most."""
    assert Prefetch(800, None, PLENTY).limit(0, NOW) == 800 + 1_600


@pytest.mark.parametrize("fixed", [1, 5_000])
def test_a_number_that_somebody_chose_stays(fixed):
    """Whatever is finished."""
    prefetch = Prefetch(32, fixed, PLENTY)
    prefetch.limit(0, NOW)
    assert prefetch.limit(700, NOW + WINDOW) == 32 + fixed


def test_large_entries_make_it_smaller_at_once_and_small_ones_larger_by_and_by():
    """A read is bounded by its number alone; the size of the next entries is guessed from the last."""
    prefetch = Prefetch(32, None, 1_000_000)
    prefetch.weigh(10, 10 * 100_000)
    assert prefetch.limit(0, NOW) == 10
    prefetch.weigh(10, 10 * 100)
    assert prefetch.limit(0, NOW) == 11
    for _ in range(100):
        prefetch.weigh(10, 10 * 100)
    assert prefetch.limit(0, NOW) == 32 + 64


def test_one_entry_of_each_stream_can_always_be_read():
    """However large they are."""
    prefetch = Prefetch(32, None, 1_000)
    prefetch.weigh(1, 1_000_000)
    assert prefetch.limit(0, NOW) == LEAST
