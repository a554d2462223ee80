"""What every client makes of an entry: the fixture that clients in other languages run, through our own code."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from eventbus.delivery import split, timestamp
from eventbus.errors import DecodeError
from eventbus.events import Envelope
from tests.support.conformance import FOLDER, cases, fields_of, kind_of

FILES = ("damaged", "envelope", "foreign", "private")
EVERY = [pytest.param(file, case, id=f"{file}: {case['name']}") for file in FILES for case in cases(file)]
NAMED = ("traceparent", "tracestate", "correlationid", "causationid")
"""Attributes that a case names only where they are present."""


def decoded(file, case):
    """A case as its file writes what it decodes to; None where it is foreign."""
    fields, carried = split(fields_of(case)) if file == "private" else (fields_of(case), None)
    envelope = Envelope.parse(fields)
    if envelope is None:
        return None
    found = {
        "id": envelope.id,
        "type": envelope.type,
        "version": envelope.version,
        "source": envelope.source,
        "time": None if envelope.time is None else timestamp(envelope.time),
        "key": envelope.key,
        "headers": envelope.headers,
        "data": json.loads(envelope.data.decode(), parse_constant=refuse),
        "traceparent": envelope.traceparent,
        "tracestate": envelope.tracestate,
        "correlationid": envelope.correlation_id,
        "causationid": envelope.causation_id,
    }
    found = {name: value for name, value in found.items() if name not in NAMED or value is not None}
    return found if carried is None else {**found, "carried": asdict(carried)}


def refuse(constant):
    raise ValueError(constant)


def test_the_fixture_is_what_this_looks_at():
    """No file is passed over, and each has cases."""
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(FILES)
    assert all(cases(file) for file in FILES)


@pytest.mark.parametrize("file", FILES)
def test_cases_have_names_of_their_own_and_a_reason(file):
    """A failure in another language names one."""
    names = [case["name"] for case in cases(file)]
    assert len(set(names)) == len(names)
    for case in cases(file):
        assert case.keys() == {"name", "why", "fields", kind_of(case)}
        assert case["name"]
        assert case["why"]
        assert len(case["fields"]) % 2 == 0


@pytest.mark.parametrize(("file", "case"), EVERY)
def test_an_entry_is_read_as_the_fixture_says(file, case):
    """Every member of it, or that it is foreign, or that it is refused."""
    if kind_of(case) == "refused":
        with pytest.raises((DecodeError, ValueError)):
            decoded(file, case)
    else:
        assert decoded(file, case) == case.get("decodes")
