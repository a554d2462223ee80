"""A dead letter: the event as it came, and what became of it; whatever was raised, there is one."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest

from eventbus.delivery import Carried, Decision, Delivery, Ended, Ending, Outcome, dead_letter, split, timestamp
from eventbus.delivery.letter import FRAMES, MESSAGE, TRACEBACK

CARRIED = Carried(entry="3-0", attempts=5, crashes=1)
DELIVERY = Delivery(b"9-0", [b"type", b"Ordered", b"ebreason", b"mine", b"data", b"\xff"], private=True, token="t", count=2)


def letter(error=None, *, reason="attempts", ended=Ending.RAISED, words="its handler raised", event_type="Ordered"):
    """Our block, by name; the original fields are looked at on the way."""
    decision = Decision(Outcome.DEAD, CARRIED, reason=reason)
    fields = dead_letter(DELIVERY, Ended(ended, words, error, event_type), decision, group="charge", consumer="billing.host.7.ab")
    assert fields[: len(DELIVERY.fields)] == DELIVERY.fields
    assert split(fields) == (DELIVERY.fields, CARRIED)
    block = [part.decode() for part in fields[len(DELIVERY.fields) :]]
    return dict(zip(block[::2], block[1::2], strict=True))


def raised(error):
    """The error with a traceback."""
    try:
        raise error
    except Exception as caught:  # noqa: BLE001 - it is what is tested
        return caught


class Odd(Exception):
    class Inner(Exception):
        pass


def test_a_dead_letter_is_the_event_with_what_became_of_it_behind():
    """A publisher's fields that are called as ours stand before ours, and are not read."""
    found = letter(raised(Odd.Inner("no money")))
    assert found.pop("ebtraceback").endswith("Odd.Inner: no money\n")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found.pop("ebfailed"))
    assert found == {
        "ebentry": "3-0",
        "ebattempts": "5",
        "ebcrashes": "1",
        "ebreason": "attempts",
        "ebgroup": "charge",
        "ebdeliveries": "2",
        "eberror": f"{__name__}.Odd.Inner",
        "ebmessage": "no money",
        "ebconsumer": "billing.host.7.ab",
        "ebtype": "Ordered",
    }


def test_without_an_exception_the_reason_in_words_is_the_message():
    """What could not be decoded, say; a type that is not known is left out."""
    found = letter(ended=Ending.UNDECODABLE, reason="undecodable", words="no data", event_type="")
    assert {"eberror", "ebtraceback", "ebtype"}.isdisjoint(found)
    assert (found["ebreason"], found["ebmessage"]) == ("undecodable", "no data")


def test_a_long_message_is_cut_at_its_end_and_a_long_traceback_at_its_beginning():
    """The error itself stands last."""
    found = letter(raised(ValueError("x" * 100_000)))
    assert found["ebmessage"] == "x" * MESSAGE
    assert len(found["ebtraceback"]) <= TRACEBACK
    assert found["ebtraceback"].endswith("xxx\n")


def test_of_a_deep_traceback_the_innermost_frames_are_kept():
    """Where the error is."""

    def dive(depth):
        if depth == 0:
            raise RuntimeError("the bottom")
        dive(depth - 1)

    with pytest.raises(RuntimeError) as caught:
        dive(50)
    found = letter(caught.value)
    assert found["ebtraceback"].count(", in dive") <= FRAMES + 1
    assert "RuntimeError: the bottom" in found["ebtraceback"]


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("not even this")


def test_an_error_that_raises_when_it_is_printed_makes_a_dead_letter_too():
    """It is the user's; the event must not be lost for it."""
    found = letter(raised(Unspeakable()))
    assert found["ebmessage"] == "its message cannot be read: RuntimeError"
    assert found["eberror"] == f"{__name__}.Unspeakable"
    assert found["ebtraceback"]


def test_an_error_whose_traceback_cannot_be_read_makes_a_dead_letter_too(monkeypatch):
    """Whatever is wrong with it."""

    def wrong(*_, **__):
        raise KeyError

    monkeypatch.setattr("traceback.format_exception", wrong)
    assert letter(ValueError("x"))["ebtraceback"] == "its traceback cannot be read: KeyError"


def test_text_that_is_no_unicode_is_written_down_all_the_same():
    """A path with lone surrogates, as the operating system gives it."""
    found = letter(raised(OSError("/tmp/\udcff")))
    assert found["ebmessage"] == "/tmp/\\udcff"


def test_an_error_that_was_never_raised_has_no_frames():
    """A timeout of ours, say."""
    found = letter(TimeoutError("the handler did not end within 3 s"), ended=Ending.TIMED_OUT)
    assert (found["eberror"], found["ebtraceback"]) == ("builtins.TimeoutError", "TimeoutError: the handler did not end within 3 s\n")


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 11, 21, 7, 16, 59, 123999, tzinfo=UTC), "2026-11-21T07:16:59.123Z"),
        (datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))), "2025-12-31T23:00:00.000Z"),
    ],
)
def test_times_are_written_in_utc_with_milliseconds(moment, text):
    """RFC 3339, as an envelope's."""
    assert timestamp(moment) == text
