"""Commands whose constant parts are packed once say the same as commands that are packed each time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus.errors import EventTooLarge
from eventbus.events import Event, Identity, adopt, encode, identity
from eventbus.publishing.writing import Writing
from eventbus.streams import pack


class Noted(Event, topic="notes", key="author", version=3):
    text: str
    author: str = ""


class Counted(Event, topic="counts"):
    number: int


IDENTITIES = st.none() | st.builds(Identity, st.text("abc-1", min_size=1), st.sampled_from(["", "2026-11-21T07:16:59Z"]))
EVENTS = st.builds(Noted, text=st.text(), author=st.text("Müller ", max_size=5)) | st.builds(Counted, number=st.integers())
HEADERS = st.dictionaries(st.sampled_from(["tenant", "correlationid", "traceparent"]), st.text("xyzß", min_size=1))


@given(st.lists(st.tuples(EVENTS, IDENTITIES, HEADERS), max_size=6))
def test_a_command_is_what_packing_the_entry_gives(published):
    """Whatever came before it: other headers, another key, an event that brought an id and perhaps no time."""
    writings = {kind: Writing(kind, "t", "app:t", source="/shop", max_bytes=1 << 20) for kind in (Noted, Counted)}
    for event, brought, headers in published:
        if brought:
            adopt(event, brought)
        expected = pack(b"XADD", "app:t", b"*", *encode(event, source="/shop", headers=headers))
        assert writings[type(event)].command(event, headers) == (expected, identity(event).id)


def test_an_entry_that_is_too_large_is_refused():
    """Also when others were written before."""
    writing = Writing(Counted, "counts", "counts", source="/shop", max_bytes=200)
    writing.command(Counted(number=1), None)
    with pytest.raises(EventTooLarge):
        writing.command(Counted(number=10**100), None)
