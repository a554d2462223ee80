"""How far a stream was read: what is gone unread is told, with its number where the server counts; what was read is not."""

from __future__ import annotations

import pytest

from eventbus.streams import ZERO, Bookmark, Gap, StreamFacts, id_after, id_before
from eventbus.streams.entry_ids import LARGEST


def stream(first=None, last=None, *, added=None, length=0, deleted=ZERO):
    """Ids are their milliseconds; a stream that is not there has none, and never had any."""
    return StreamFacts((last or 0, 0), None if first is None else (first, 0), added, length, deleted)


def modern(first, last, gone=0, deleted=ZERO):
    """A stream with an entry each millisecond, on a server that counts what was added."""
    length = 0 if first is None else last - first + 1
    return stream(first, last, added=gone + length, length=length, deleted=deleted)


def test_the_ids_before_and_after_one_are_its_neighbours():
    """Also where the milliseconds change, and where there is none."""
    assert (id_before((5, 3)), id_before((5, 0)), id_before(ZERO)) == ((5, 2), (4, LARGEST), ZERO)
    assert (id_after((5, 3)), id_after((4, LARGEST)), id_after((LARGEST, LARGEST))) == ((5, 4), (5, 0), (LARGEST, LARGEST))


def test_nothing_is_gone_while_the_place_itself_is_there():
    """Trimming takes the oldest first."""
    assert Bookmark((5, 0), known=True).look(modern(5, 9, gone=4)) is None


def test_what_was_trimmed_after_the_place_is_told_with_its_number_and_once():
    """The server counts what was ever added."""
    bookmark = Bookmark((5, 0), known=True, added=5)
    assert bookmark.look(modern(8, 9, gone=7)) == Gap((5, 0), (8, 0), 2)
    assert bookmark.look(modern(8, 9, gone=7)) is None
    assert bookmark.look(modern(9, 9, gone=8)) == Gap((7, LARGEST), (9, 0), 1)


def test_what_was_trimmed_after_it_was_read_is_no_loss():
    """The place itself is gone, and nothing behind it."""
    bookmark = Bookmark((5, 0), known=True, added=5)
    assert bookmark.look(modern(8, 9, gone=5)) is None
    assert bookmark.look(modern(9, 9, gone=6)) == Gap((7, LARGEST), (9, 0), 1)


def test_a_stream_that_was_trimmed_to_nothing_is_told_too():
    """By the last id it ever gave."""
    assert Bookmark((5, 0), known=True, added=5).look(modern(None, 8, gone=8)) == Gap((5, 0), None, 3)
    assert Bookmark((8, 0), known=True, added=8).look(modern(None, 8, gone=8)) is None


def test_a_server_that_does_not_count_leaves_the_number_open():
    """Before 7.0; or where the place is a bookmark, whose number nobody knows."""
    assert Bookmark((5, 0), known=True).look(stream(8, 9, length=2)) == Gap((5, 0), (8, 0), None)
    assert Bookmark((5, 0), known=True).look(modern(8, 9, gone=7)) == Gap((5, 0), (8, 0), None)


def test_entries_that_were_deleted_by_name_make_the_number_uncertain_and_none_certain():
    """They count as added, and no longer as there."""
    deleted = stream(8, 11, added=10, length=3, deleted=(9, 0))
    assert Bookmark((5, 0), known=True, added=5).look(deleted) == Gap((5, 0), (8, 0), None)
    assert Bookmark((5, 0), known=True, added=7).look(deleted) is None


def test_a_server_that_does_not_count_says_nothing_about_a_stream_that_was_empty_before():
    """Each first event would look like a gap."""
    assert Bookmark(ZERO, known=True).look(stream(8, 9, length=2)) is None


@pytest.mark.parametrize("facts", [stream(), stream(3, 4, length=2), modern(7, 9)], ids=["gone", "lower ids", "fewer were added"])
def test_a_stream_that_began_anew_is_read_from_its_beginning(facts):
    """It ends before the place, or fewer entries were ever added to it than up to there."""
    bookmark = Bookmark((6, 0), known=True, added=6)
    assert bookmark.look(facts) == Gap((6, 0), facts.first, None, anew=True)
    assert bookmark.at == ZERO
    assert bookmark.look(facts) in (None, Gap(ZERO, (7, 0), 0))


def test_a_stream_that_lost_fewer_than_came_up_to_the_place_is_another_one():
    """Though its ids and its numbers went on behind: it would have missed a number below 0."""
    bookmark = Bookmark((6, 0), known=True, added=6)
    assert bookmark.look(stream(first=8, last=13, added=6, length=6)) == Gap((6, 0), (8, 0), None, anew=True)
    bookmark = Bookmark((6, 0), known=True, added=6)
    assert bookmark.look(stream(first=8, last=13, added=12, length=6)) is None


def test_a_place_that_was_never_there_is_no_sign_of_another_stream():
    """A time that is still to come."""
    bookmark = Bookmark((99, 0))
    bookmark.begin(modern(1, 9))
    assert bookmark.look(modern(1, 9)) is None
    bookmark.at_end(modern(1, 9))
    assert (bookmark.known, bookmark.look(modern(1, 9))) == (False, None)


def test_nobody_misses_what_was_gone_before_he_began():
    """And what goes afterwards is counted from there."""
    bookmark = Bookmark((2, 0))
    bookmark.begin(modern(5, 9, gone=4))
    assert bookmark.look(modern(5, 9, gone=4)) is None
    assert bookmark.look(modern(8, 9, gone=7)).missed == 3


def test_passing_entries_keeps_the_number_and_the_end_sets_it():
    """Whoever read all there was knows how many that were."""
    bookmark = Bookmark((5, 0), known=True, added=5)
    bookmark.passed((6, 0))
    assert bookmark == Bookmark((6, 0), known=True, added=6)
    bookmark = Bookmark((9, 0), known=True)
    bookmark.at_end(modern(1, 9))
    assert bookmark.added == 9
