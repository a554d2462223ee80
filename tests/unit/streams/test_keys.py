"""The keys of a stream: what stands in Redis is part of the protocol."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from eventbus.streams import Group, keys


def test_every_key_is_spelled_as_the_protocol_says():
    """Operators and other languages look for these names."""
    assert keys.retry("test:orders", "charge") == "{test:orders}:retry:charge"
    assert keys.group("test:orders", "charge") == "{test:orders}:group:charge"
    assert keys.groups("test:orders") == "{test:orders}:groups"
    assert keys.members("test:orders", "charge") == "{test:orders}:members:charge"
    assert keys.replay("test:orders", "charge") == "{test:orders}:replay:charge"


def test_what_belongs_to_the_stream_of_a_priority_begins_with_its_name():
    """And stays in the topic's slot: braces do not nest."""
    high = keys.level("test:orders", "high")
    assert high == "{test:orders}:p:high"
    assert keys.retry(high, "charge") == "{test:orders}:p:high:retry:charge"
    assert keys.groups(high) == "{test:orders}:p:high:groups"
    assert keys.level("test:orders", "normal") == "test:orders"


def test_what_is_finished_is_finished_in_all_priorities():
    """A copy of it may stand in any of them."""
    for stream in ("test:orders", keys.level("test:orders", "high")):
        assert keys.done(stream, "charge") == "{test:orders}:done:charge"
        assert keys.doing(stream, "charge") == "{test:orders}:doing:charge"


def test_a_group_knows_its_keys():
    """And where an entry of it stands."""
    group = Group("orders", "charge")
    assert (group.private, group.hash, group.members) == ("{orders}:retry:charge", "{orders}:group:charge", "{orders}:members:charge")
    assert (group.source(private=False), group.source(private=True)) == ("orders", "{orders}:retry:charge")


names = st.text(st.characters(codec="utf-8", exclude_characters="{}#"), min_size=1, max_size=20)


def slot_of(key):
    """What Redis Cluster hashes of a key."""
    opening = key.find("{")
    closing = key.find("}", opening + 1)
    return key[opening + 1 : closing] if opening >= 0 and closing > opening + 1 else key


@given(stream=names, group=names)
def test_all_keys_of_a_stream_share_its_hash_slot_and_no_two_are_the_same(stream, group):
    """One script may touch them all in a cluster."""
    found = [stream, keys.retry(stream, group), keys.group(stream, group), keys.groups(stream), keys.members(stream, group)]
    found += [keys.replay(stream, group), keys.done(stream, group), keys.doing(stream, group)]
    assert {slot_of(key) for key in found} == {stream}
    assert len(set(found)) == len(found)
