"""An event's id belongs to the object: made once, kept, and outside of what the event says."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from threading import Barrier
from uuid import UUID

from eventbus.events import Event, Identity, adopt, identity
from eventbus.events.identity import CHANCE_BITS, new_identity, uuid7, written


class Happened(Event, topic="t"):
    n: int = 0


def test_the_id_is_made_at_the_first_call_and_kept():
    """So that publishing again publishes the same event."""
    event = Happened()
    assert identity(event) is identity(event)
    assert identity(event).id != identity(Happened()).id


def test_the_id_is_a_uuid_of_version_7_with_the_time_in_it():
    """RFC 9562; the same moment that `time` names."""
    made = new_identity()
    parsed = UUID(made.id)
    assert (parsed.version, parsed.variant, str(parsed)) == (7, "specified in RFC 4122", made.id)
    assert parsed.int >> 80 == round(datetime.fromisoformat(made.time).timestamp() * 1000)


def test_the_example_of_the_rfc_comes_out():
    """RFC 9562, appendix A.6: 017F22E2-79B0-7CC3-98C4-DC0C0C07398F."""
    assert uuid7(0x017F22E279B0, 0xCC3 << 62 | 0x18C4DC0C0C07398F) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


def test_all_chance_is_used_and_version_and_variant_stand():
    """All 74 bits."""
    assert uuid7(0, 0) == "00000000-0000-7000-8000-000000000000"
    assert uuid7(2**48 - 1, 2**74 - 1) == "ffffffff-ffff-7fff-bfff-ffffffffffff"
    assert len({uuid7(0, 1 << bit) for bit in range(CHANCE_BITS)}) == 74


def test_ids_of_later_milliseconds_sort_later():
    """Databases like that."""
    assert uuid7(1000, 2**74 - 1) < uuid7(1001, 0)


FORKED = """
import os, random
from eventbus.events.identity import new_identity
random.seed(7)
print(new_identity().id, flush=True)
if child := os.fork():
    os.waitpid(child, 0)
random.seed(7)
print(new_identity().id, flush=True)
"""


def test_a_forked_process_makes_other_ids_than_its_parent():
    """Both would else go on in the same series; so would programs that seed `random` for a simulation."""
    ids = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=True).stdout.split()
    assert len({each[14:] for each in ids}) == 3  # without the time


def test_a_time_is_written_in_utc_with_milliseconds():
    """Always all three of them."""
    assert written(1_795_245_419_123) == "2026-11-21T07:16:59.123Z"
    assert written(0) == "1970-01-01T00:00:00.000Z"
    assert written(1_795_245_419_007) == "2026-11-21T07:16:59.007Z"


def test_the_identity_is_no_part_of_what_the_event_says():
    """Neither of its fields, nor of equality, nor of its repr."""
    one, other = Happened(n=1), Happened(n=1)
    identity(one)
    assert one == other
    assert hash(one) == hash(other)
    assert (repr(one), one.model_dump(), one.model_fields_set) == ("Happened(n=1)", {"n": 1}, {"n"})


def test_a_copy_is_another_event():
    """However it was made."""
    event = Happened(n=1)
    made = identity(event)
    for twin in (event.model_copy(), copy.copy(event), copy.deepcopy(event), pickle.loads(pickle.dumps(event))):
        assert twin == event
        assert identity(twin).id != made.id


def test_an_adopted_identity_stays():
    """A decoded event that is published again is the same event."""
    event = Happened()
    adopt(event, Identity("abc", ""))
    assert identity(event) == Identity("abc", "")


def test_threads_that_race_agree_on_one_id():
    """Two publishes of one object must not be two events."""
    threads = 8
    start = Barrier(threads)

    def ask(event):
        start.wait()
        return identity(event).id

    with ThreadPoolExecutor(threads) as pool:
        for event in [Happened() for _ in range(200)]:
            assert len(set(pool.map(ask, [event] * threads))) == 1
