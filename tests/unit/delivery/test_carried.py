"""What travels with a copy: our block behind the original fields, whatever those are called."""

from __future__ import annotations

from dataclasses import fields as attributes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus.delivery import Carried, split
from eventbus.delivery.carried import FRESH, MOST
from eventbus.streams.packing import MOST_VALUES, REST, packed

FULL = Carried(entry="1700-3", attempts=2, crashes=1, hops=3, hopped=1_700_000_000_123, redrives=4, replayed=True)

names = st.sampled_from([b"ebentry", b"ebattempts", b"ebcrashes", b"ebhops", b"ebrest", b"ebreason", b"type", b"data", b""]) | st.binary(
    max_size=6
)
originals = st.lists(st.tuples(names, st.binary(max_size=6)), max_size=8).map(lambda pairs: [part for pair in pairs for part in pair])
numbers = st.integers(0, MOST)
carrieds = st.builds(
    Carried,
    entry=st.from_regex(r"\A[0-9]{1,13}-[0-9]{1,5}\Z"),
    attempts=numbers,
    crashes=st.none() | numbers,
    hops=numbers,
    hopped=numbers,
    redrives=numbers,
    replayed=st.booleans(),
)


@given(original=originals, carried=carrieds)
def test_whatever_the_original_fields_are_called_they_come_back_untouched(original, carried):
    """Also where a publisher's own are called as ours."""
    assert split([*original, *carried.fields()]) == (original, carried)


@given(original=originals, first=carrieds, second=carrieds)
def test_a_copy_of_a_copy_carries_the_last_history_only(original, first, second):
    """The fields of a copy are split before they are copied again."""
    once, _ = split([*original, *first.fields()])
    assert split([*once, *second.fields()]) == (original, second)


def test_the_block_is_written_in_one_order_and_leaves_out_what_is_zero():
    """Entries whose fields have the same names in the same order store them once."""
    assert Carried(entry="1-0").fields() == [b"ebentry", b"1-0"]
    assert FULL.fields() == [
        *(b"ebentry", b"1700-3", b"ebattempts", b"2", b"ebcrashes", b"1"),
        *(b"ebhops", b"3", b"ebhopped", b"1700000000123", b"ebredrives", b"4", b"ebreplayed", b"1"),
    ]


def test_no_lost_start_is_not_the_same_as_never_claimed():
    """What was ever claimed is marked first, in each of its copies."""
    assert Carried(entry="1-0", crashes=0).fields() == [b"ebentry", b"1-0", b"ebcrashes", b"0"]
    assert [split(Carried(entry="1-0", crashes=crashes).fields())[1].crashes for crashes in (None, 0, 2)] == [None, 0, 2]


@pytest.mark.parametrize("fields", [[], [b"a", b"1"], [b"a"], [b"a", b"ebentry"], [b"ebattempts", b"3"]])
def test_a_copy_without_our_block_carries_nothing(fields):
    """Somebody wrote it by hand; a value is no name."""
    assert split(fields) == (fields, FRESH)


@pytest.mark.parametrize("damaged", [b"", b"-1", b"1.5", b"x", b" 1", b"1 ", b"+1", b"\xd9\xa1", b"9" * 25, b"\xff", b"1_0"])
@pytest.mark.parametrize("name", ["attempts", "crashes", "hops", "hopped", "redrives"])
def test_a_damaged_number_counts_as_none_and_spoils_nothing_else(name, damaged):
    """Whoever wrote it: the event is handled."""
    block = FULL.fields()
    block[block.index(b"eb" + name.encode()) + 1] = damaged
    original, carried = split([b"a", b"1", *block])
    assert original == [b"a", b"1"]
    for each in attributes(Carried):
        expected = getattr(FULL, each.name) if each.name != name else None if name == "crashes" else 0
        assert getattr(carried, each.name) == expected


def test_an_entry_id_that_is_no_text_is_still_an_answer():
    """It is shown, and never sent to Redis."""
    assert split([b"ebentry", b"\xff"])[1].entry == "\ufffd"


def test_what_else_stands_in_the_block_is_no_part_of_the_original():
    """A dead letter's fields, when it comes back."""
    assert split([b"a", b"1", *FULL.fields(), b"ebreason", b"attempts", b"ebgroup", b"charge"]) == ([b"a", b"1"], FULL)


values = st.binary(max_size=4)


@given(count=st.integers(0, 40), most=st.integers(10, 60), carried=carrieds, data=st.data())
def test_what_does_not_fit_into_one_write_travels_in_a_field_of_ours(count, most, carried, data):
    """However much is kept as it is: it comes back whole, in order, and the write has room."""
    original = data.draw(st.lists(values, min_size=2 * count, max_size=2 * count))
    copy = [*original, *carried.fields()]
    most = max(2 * (most // 2), len(carried.fields()) + 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eventbus.streams.packing.MOST_VALUES", most)
        written = packed(copy)
    assert len(written) <= max(most, min(len(copy), most))
    assert len(written) % 2 == 0
    assert split(written) == (original, carried)


def test_what_fits_is_written_as_it_is():
    """Nearly everything."""
    copy = [b"x"] * (MOST_VALUES - 2) + Carried(entry="1-0").fields()
    assert packed(copy) == copy
    assert len(packed([b"x", b"y", *copy])) == MOST_VALUES
    assert packed([b"x", b"y", *copy])[-2] == REST


@pytest.mark.parametrize(
    "rest",
    [b"", b"x", b"{", b"7", b"null", b"true", b'{"a": 1}', b"[7]", b"[null]", b'["eA=="]', b"[" * 100_000, b'["\xff"]', b'["a\\u00e9"]'],
)
def test_a_damaged_rest_is_left_out_and_spoils_nothing_else(rest):
    """Written by another hand."""
    original, carried = split([b"a", b"1", *FULL.fields(), REST, rest])
    assert (original, carried) == ([b"a", b"1"], FULL)
