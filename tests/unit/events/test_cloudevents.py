"""Our entries are CloudEvents: the `cloudevents` package, which knows nothing of us, takes and reads them."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from cloudevents.core.bindings.http import from_binary, to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from eventbus.events import Envelope, Event, decode, encode, identity

HEADERS = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "vendor=1",
    "correlationid": "c-1",
    "causationid": "c-2",
    "tenant": "Zürich 7",
}


class OrderShipped(Event, topic="orders", key="order_id", version=2):
    order_id: str
    parcels: list[int]


@pytest.fixture
def event():
    """One with everything that can stand in an envelope."""
    return OrderShipped(order_id="ö-42", parcels=[1, 2])


def as_cloudevent(fields):
    """An entry in the package's terms: attributes by name, `time` as a datetime, `data` apart."""
    texts = [part.decode() for part in fields]
    attributes = dict(zip(texts[::2], texts[1::2], strict=True))
    data = json.loads(attributes.pop("data"))
    return CloudEvent({**attributes, "time": datetime.fromisoformat(attributes["time"])}, data)


def test_an_entry_is_a_valid_cloudevent_with_the_same_attributes(event):
    """The package refuses missing attributes, wrong names and wrong types."""
    theirs = as_cloudevent(encode(event, source="/shipping", headers=HEADERS))
    ours = identity(event)
    assert (theirs.get_specversion(), theirs.get_id(), theirs.get_type()) == ("1.0", ours.id, "OrderShipped")
    assert (theirs.get_source(), theirs.get_time()) == ("/shipping", datetime.fromisoformat(ours.time))
    assert theirs.get_data() == {"order_id": "ö-42", "parcels": [1, 2]}
    assert {name: theirs.get_extension(name) for name in HEADERS} == HEADERS
    assert (theirs.get_extension("partitionkey"), theirs.get_extension("dataversion")) == ("ö-42", "2")


def test_it_reads_back_from_the_packages_json_format(event):
    """What a gateway would send on."""
    theirs = as_cloudevent(encode(event, source="/shipping", headers=HEADERS))
    again = JSONFormat().read(None, JSONFormat().write(theirs))
    assert again.get_attributes() == theirs.get_attributes()
    assert again.get_data() == theirs.get_data()


def test_it_reads_back_from_the_packages_http_binding(event):
    """Attribute by attribute in headers, as our entries are attribute by attribute in fields."""
    theirs = as_cloudevent(encode(event, source="/shipping", headers=HEADERS))
    again = from_binary(to_binary(theirs, JSONFormat()), JSONFormat())
    assert again.get_attributes() == theirs.get_attributes()
    assert again.get_data() == theirs.get_data()


def test_a_cloudevent_of_another_program_is_an_event_of_ours(event):
    """Field by field, in whatever order, as a producer in another language would write it."""
    theirs = JSONFormat().write(CloudEvent({"type": "OrderShipped", "source": "https://shop.example/1"}, event.model_dump(mode="json")))
    document = json.loads(theirs)
    document["data"] = json.dumps(document["data"])
    envelope = Envelope.parse([part.encode() for pair in document.items() for part in pair])
    assert (envelope.id, envelope.source) == (document["id"], "https://shop.example/1")
    assert envelope.time == datetime.fromisoformat(document["time"])
    assert decode(OrderShipped, envelope.data) == event
