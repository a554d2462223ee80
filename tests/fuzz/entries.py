"""Hostile entries: a corpus that Hypothesis draws, and what a seeded hand makes of it, since a million are drawn too slowly."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, TypeAlias

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Fields: TypeAlias = list[bytes]
"""Names and values in turn."""

CORPUS = 400
"""Entries that Hypothesis draws for a seed."""

MANY = 10_000
"""Fields of the largest entries."""

SHARE_OF_MANY = 1 / 5_000

SHARE_OF_CLEAN = 1 / 20
"""Entries that nothing is wrong with, of a type that is handled and of one that nobody knows: they show that what is right stays so."""

KNOWN, UNKNOWN = b"OrderCreated", b"Unheard"

ENVELOPE = [b"specversion", b"id", b"type", b"source", b"time", b"data", b"partitionkey", b"dataversion"]
EXTENSIONS = [b"traceparent", b"tracestate", b"correlationid", b"causationid", b"tenant"]
OURS = [b"ebentry", b"ebattempts", b"ebcrashes", b"ebhops", b"ebreason", b"ebrest", b"ebgroup", b"ebreplayed", b"eb"]
FLAT = [b"order_id", b"total", b"lines", b"note", b"count", b"at"]

LAYOUTS = [
    ENVELOPE,
    ENVELOPE[:6],
    [*ENVELOPE[:6], *EXTENSIONS],
    FLAT,
    FLAT[:2],
    [*FLAT[:2], *OURS],
    [b"payload"],
    [b"key", b"value"],
    [b'{"id":1}'],
    [],
]
"""The names of an entry: ours, a tutorial's, one field of JSON, Debezium's two, none."""

TOKENS = [
    b"", b"\x00", b"\xff", b"\xc3\x28", b"\x1b[2J", b"\x1b]0;title\x07", b"\r\n2026-01-01T00:00:00.000Z ERROR    forged: line",
    b"\x9b31m", "\u202e".encode(), "\u2028".encode(), "\u009b31m".encode(), b"\xed\xa0\x80", b"\x7f", b"NaN", b"Infinity", b"1e999", b"-0",
    b"9" * 400, b"null", b"default", b"true", b"{}", b"[]", b'"', b"{", b"[" * 300, b'{"a":' * 300, b"%s%n", b"{x}", b"'; --", b"1.0",
    b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", b"00-00000000000000000000000000000000-0000000000000000-ff",
    b"2026-01-01T00:00:00Z", b"0000-00-00T00:00:00Z", b"9999-12-31T23:59:59-23:59", b"a" * 5_000,
]  # fmt: skip
"""What has bitten somebody, somewhere."""

ORDER = b'{"order_id":"o-1","total":"9.99"}'
CHANGE = b'{"op":"u","before":{"id":1},"after":{"id":1,"email":"a@b.c"},"ts_ms":1,"source":{}}'
TYPICAL = {
    b"specversion": [b"1.0", b"1.0", b"1.0", b"1.1", b"2.0"],
    b"type": [KNOWN, KNOWN, b"RowChanged", UNKNOWN, b"Order\x1b[31mCreated"],
    b"source": [b"/fuzz"],
    b"time": [b"2026-01-01T00:00:00.000Z"],
    b"data": [ORDER, ORDER, ORDER, CHANGE, b"{}"],
    b"payload": [ORDER],
    b"value": [CHANGE, b"default", b'{"schema":{},"payload":' + CHANGE + b"}", b'{"schema":{},"payload":null}'],
    b"key": [b'{"id":1}', b"default"],
    b"dataversion": [b"1", b"1", b"1", b"2", b"0"],
    b"partitionkey": [b"o-1", b"o-2"],
    b"order_id": [b"o-1"],
    b"total": [b"9.99", b"9.99", b"many"],
    b"lines": [b'["a"]'],
    b"count": [b"3", b""],
    b"at": [b"2026-01-01T00:00:00Z", b"1767225600", b"2026-01-01"],
}

_noise = st.one_of(
    st.sampled_from(TOKENS), st.binary(max_size=24), st.text(max_size=12).map(lambda text: text.encode(errors="surrogatepass"))
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6), lambda parts: st.lists(parts, max_size=3), max_leaves=6
)
_documents = st.dictionaries(st.sampled_from([name.decode() for name in [*FLAT, b"op", b"after", b"id"]]), _json, max_size=4).map(
    lambda found: json.dumps(found).encode()
)


@st.composite
def entries(draw: st.DrawFn) -> Fields:
    """An entry of one layout or another, with something wrong about it, mostly."""
    names = draw(st.sampled_from(LAYOUTS))
    chosen = [*names]
    for _ in range(draw(st.integers(-2, 2))):
        chosen.insert(draw(st.integers(0, len(chosen))), draw(_noise | st.sampled_from([*OURS, *ENVELOPE])))
    if chosen and not draw(st.integers(0, 3)):
        del chosen[draw(st.integers(0, len(chosen) - 1))]
    if not draw(st.integers(0, 2)):
        chosen = draw(st.permutations(chosen))
    fields: Fields = []
    for name in chosen or [draw(_noise)]:
        typical = st.sampled_from(TYPICAL.get(name, [b"o-1", CHANGE, b"default"]))
        fields += (name, draw(typical if draw(st.integers(0, 9)) else _noise | _documents))
    return fields


def corpus(number: int, size: int = CORPUS) -> list[Fields]:
    """The entries that Hypothesis draws for a seed."""
    found: list[Fields] = []

    @seed(number)
    @settings(max_examples=size, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(entries())
    def collect(fields: Fields) -> None:
        found.append(fields)

    collect()
    return found


def clean(number: int, event_type: bytes) -> Fields:
    """An entry as a publisher of ours writes it."""
    beginning = [b"specversion", b"1.0", b"id", b"clean-%d" % number, b"type", event_type, b"source", b"/fuzz"]
    return [*beginning, b"time", b"2026-01-01T00:00:00.000Z", b"data", ORDER]


def dressed(number: int, token: bytes) -> Fields:
    """An entry that can be handled, whose attributes are not what they look like."""
    fields = clean(number, KNOWN)
    fields[3] = b"dressed-%d" % number + token
    return [*fields, b"partitionkey", b"o-" + token, b"traceparent", token, b"tenant", token]


def hostile(number: int, count: int) -> Iterator[Fields]:
    """So many entries for a seed: the corpus, mutated, with some clean, dressed and very large ones among them."""
    chance, drawn = random.Random(number), corpus(number)
    for at in range(count):
        kind = chance.random()
        if kind < SHARE_OF_CLEAN:
            yield clean(at, KNOWN if chance.random() < 0.5 else UNKNOWN)
        elif kind < 2 * SHARE_OF_CLEAN:
            yield dressed(at, chance.choice(TOKENS))
        elif kind < 2 * SHARE_OF_CLEAN + SHARE_OF_MANY:
            yield [part for place in range(MANY) for part in (b"field-%d" % place, b"x")]
        else:
            yield mutated(chance, chance.choice(drawn), drawn)


def mutated(chance: random.Random, fields: Fields, others: Sequence[Fields]) -> Fields:
    """The same with up to three changes; never empty, and always with a value for each name."""
    pairs = [(fields[at], fields[at + 1]) for at in range(0, len(fields), 2)]
    for _ in range(chance.choice((0, 1, 1, 2, 3))):
        at = chance.randrange(len(pairs))
        name, value = pairs[at]
        match chance.randrange(8):
            case 0:
                pairs[at] = (name, chance.choice(TOKENS))
            case 1:
                cut = chance.randrange(len(value) + 1)
                pairs[at] = (name, value[:cut] + chance.choice(TOKENS) + value[cut:])
            case 2 if len(pairs) > 1:
                del pairs[at]
            case 3:
                pairs.insert(chance.randrange(len(pairs) + 1), (name, chance.choice(pairs)[1]))
            case 4:
                other = chance.choice(others)
                place = chance.randrange(0, len(other), 2)
                pairs.append((other[place], other[place + 1]))
            case 5 if value:
                place = chance.randrange(len(value))
                pairs[at] = (name, value[:place] + bytes([value[place] ^ 1 << chance.randrange(8)]) + value[place + 1 :])
            case 6:
                chance.shuffle(pairs)
            case _:
                pairs[at] = (name + chance.choice(TOKENS)[:40], value)
    return [part for pair in pairs for part in pair]
