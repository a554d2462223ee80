"""What is published is what is handled, whatever it holds."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventbus.events import BigInt, Envelope, Event, Value, adopt, decode, encode, identity

ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
FIRST, LAST = datetime(2, 1, 1), datetime(9998, 1, 1)  # noqa: DTZ001 - hypothesis adds the zones
MOMENTS = st.datetimes(min_value=FIRST, max_value=LAST, timezones=ZONES)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
ATTRIBUTES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)
HEADERS = st.dictionaries(st.from_regex(r"x[a-z0-9]{0,20}", fullmatch=True) | st.sampled_from(["traceparent", "correlationid"]), ATTRIBUTES)


class Color(Enum):
    RED = "red"
    BLUE = 2


class Part(Value):
    name: str
    at: datetime | None
    parts: list[Part]


class Everything(Event, topic="everything", key="key", version=7):
    key: str
    text: str
    amount: Decimal
    number: int
    big: BigInt
    share: float
    raw: bytes
    at: datetime
    day: date
    took: timedelta
    uuid: UUID
    color: Color
    either: int | str | None
    many: dict[str, list[Decimal]]
    pair: tuple[int, datetime]
    some: frozenset[int]
    part: Part


PARTS = st.recursive(
    st.builds(Part, name=TEXTS, at=st.none() | MOMENTS, parts=st.just([])),
    lambda below: st.builds(Part, name=TEXTS, at=st.none() | MOMENTS, parts=st.lists(below, max_size=2)),
    max_leaves=3,
)
EVENTS = st.builds(
    Everything,
    key=st.just("") | ATTRIBUTES,
    text=TEXTS,
    amount=st.decimals(allow_nan=False, allow_infinity=False),
    number=st.integers(),
    big=st.integers(),
    share=st.floats(allow_nan=False, allow_infinity=False),
    raw=TEXTS.map(str.encode),
    at=MOMENTS,
    day=st.dates(),
    took=st.timedeltas(timedelta(days=-1000), timedelta(days=1000)),
    uuid=st.uuids(),
    color=st.sampled_from(Color),
    either=st.none() | st.integers() | TEXTS,
    many=st.dictionaries(TEXTS, st.lists(st.decimals(allow_nan=False, allow_infinity=False), max_size=2), max_size=2),
    pair=st.tuples(st.integers(), MOMENTS),
    some=st.frozensets(st.integers(), max_size=1),
    part=PARTS,
)


# No database: tests leave nothing in the working directory. No deadline: the machine may be busy.
@settings(database=None, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(event=EVENTS, headers=HEADERS)
def test_an_event_survives_its_journey(event, headers):
    """Fields, id, time, key, version and headers; and on a second journey it is the same event."""
    fields = encode(event, source="/everything", headers=headers, max_bytes=10**9)
    envelope = Envelope.parse(fields)
    arrived = decode(Everything, envelope.data)
    adopt(arrived, envelope.identity)
    assert arrived == event
    assert identity(arrived) == identity(event)
    assert envelope.time == datetime.fromisoformat(identity(event).time).astimezone(UTC)
    assert (envelope.type, envelope.version, envelope.source, envelope.key) == ("Everything", 7, "/everything", event.key or None)
    assert envelope.headers == {name: value for name, value in headers.items() if name.startswith("x")}
    assert (envelope.traceparent, envelope.correlation_id) == (headers.get("traceparent"), headers.get("correlationid"))
    assert encode(arrived, source="/everything", headers=headers, max_bytes=10**9) == fields
