"""What `docs/wire.md` tells authors of other clients, held against the scripts, the keys and the numbers themselves."""

from __future__ import annotations

import inspect
import re
from importlib.resources import files

import pytest

from eventbus.consuming import beat, claimer, gate, marks, mover, promoter, settler
from eventbus.delivery import CRASHES, Carried
from eventbus.delivery.carried import LATEST, MOST, REST
from eventbus.delivery.letter import MESSAGE, TRACEBACK
from eventbus.delivery.outcome import UNHANDLED, Reason
from eventbus.events import Event, encode
from eventbus.events.event import LONGEST_TYPE
from eventbus.events.names import LONGEST
from eventbus.streams import entries, group, keys, reader
from eventbus.streams import marks as mark_commands
from eventbus.streams.packing import MOST_VALUES
from eventbus.streams.scripts import script
from eventbus.supervision import promotion
from tests.support.pages import ROOT

PAGE = (ROOT / "docs" / "wire.md").read_text(encoding="utf-8")
SCRIPTS = sorted(path.name.removesuffix(".lua") for path in (files("eventbus.streams") / "lua").iterdir())


def section(heading):
    """What stands below a heading, up to the next one of its kind or above."""
    level = heading.partition(" ")[0]
    return re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)", PAGE, re.MULTILINE | re.DOTALL)[1]


def rows(heading):
    """The rows of the first table below a heading: their cells."""
    table = re.search(r"(?:^\|.*\n)+", section(heading), re.MULTILINE)[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]


def one_line(text):
    """Without what only tells how it is set: line ends, comment marks, and what the page puts around numbers."""
    return " ".join(re.sub(r"^-- *|[`·]", " ", text, flags=re.MULTILINE).split())


# -- scripts

CLIENTS = re.findall(r"^### `(\w+)`$", PAGE, re.MULTILINE)
INTERNAL = [name for _, names in rows("### Not for clients") for name in re.findall(r"`(\w+)`", names)]


def told(name):
    """The list of a script's section, by what each point begins with."""
    points = re.findall(r"^- ([A-Z][\w ]+): (.*(?:\n  .*)*)", section(f"### `{name}`"), re.MULTILINE)
    return {label: one_line(text) for label, text in points}


def head(name):
    """The same of its file."""
    text = re.match(r"(--.*\n)+", script(name).source)[0]
    parts = {label: re.search(rf"^-- {label} +(.*\n(?:--  .*\n)*)", text, re.MULTILINE)[1] for label in ("KEYS", "ARGV", "Returns")}
    parts["One step because"] = re.search(r"^-- (?:Atomic|A script) because: (.*\n(?:--(?: .*)?\n)*)", text, re.MULTILINE)[1]
    return {label: one_line(part) for label, part in parts.items()}


def test_every_script_is_named_once_for_clients_or_not_for_them():
    """A new one is thought about; one that is gone is not documented."""
    assert sorted(CLIENTS + INTERNAL) == SCRIPTS


@pytest.mark.parametrize("name", CLIENTS)
def test_keys_arguments_and_answers_are_those_of_the_file(name):
    """Word by word: whoever changes a script changes what others rely on. Of the reason the beginning will do."""
    page, file = told(name), head(name)
    assert list(page) == list(file)
    for label in ("KEYS", "ARGV", "Returns"):
        assert page[label] == file[label]
    assert file["One step because"].startswith(page["One step because"])


@pytest.mark.parametrize("name", CLIENTS)
def test_what_is_done_with_the_answers_is_said(name):
    """Behind the list; the head of a file does not know."""
    assert re.search(r"\n\n[A-Z0-9].*\.\n*\Z", section(f"### `{name}`"), re.DOTALL)


# -- keys


def spelled():
    """What each function of the one module that spells keys makes of `t`, `g` and the like, with its own description."""
    values = {"stream": "t", "group": "g", "priority": "high", "key": "key"}
    public = {name: each for name, each in inspect.getmembers(keys, inspect.isfunction) if not name.startswith("_")}
    return {each(*(values[name] for name in inspect.signature(each).parameters)): inspect.getdoc(each) for each in public.values()}


def test_every_key_stands_in_the_table_and_no_other():
    """Under the name that operators find."""
    assert {row[0].strip("`") for row in rows("## Keys")} == set(spelled())


@pytest.mark.parametrize("key", ["{t}:group:g", "{t}:members:g", "{t}:owner:g", "{t}:replay:g"])
def test_every_field_of_a_hash_is_told(key):
    """As the function that spells the key describes it."""
    (row,) = [row for row in rows("## Keys") if row[0] == f"`{key}`"]
    fields = set(re.findall(r"`(\w+)`", spelled()[key]))
    assert fields
    assert fields <= set(re.findall(r"`(\w+)`", row[2]))


@pytest.mark.parametrize("key", spelled())
def test_a_key_is_of_a_type_and_somebody_writes_it(key):
    """Four cells, none of them empty."""
    (row,) = [row for row in rows("## Keys") if row[0] == f"`{key}`"]
    assert len(row) == 4
    assert row[1] in {"stream", "hash", "set", "sorted set", "list", "text"}
    assert all(row)


# -- fields


class Full(Event, topic="orders", key="order_id", version=2):
    order_id: str = "o-1"


def test_fields_stand_in_the_table_in_the_order_in_which_they_are_written():
    """Others write them so, too, to share their names in Redis's memory."""
    headers = dict.fromkeys(("traceparent", "tracestate", "correlationid", "causationid"), "x")
    written = [name.decode() for name in encode(Full(), source="/shop", headers={**headers, "others": "x"})[::2]]
    names = [name for row in rows("## Entries") for name in re.findall(r"\w+", row[0])]
    assert written == names


def test_the_block_of_a_copy_stands_in_the_table_in_the_order_in_which_it_is_written():
    """With what did not fit at its end."""
    full = Carried(entry="1-1", attempts=1, crashes=1, hops=1, hopped=1, redrives=1, replayed=True)
    names = [name for row in rows("### In private streams") for name in re.findall(r"eb\w+", row[0])]
    assert names == [*(name.decode() for name in full.fields()[::2]), REST.decode()]


# -- numbers

NUMBERS = {
    "names": f"have 1 to {LONGEST} bytes",
    "types": f"no blanks, up to {LONGEST_TYPE} bytes",
    "highest count": f"above {MOST:,} (`ebhopped`: {LATEST}) they are that",
    "values of a copy": f"more than {MOST_VALUES:,} names and values",
    "message": f"`ebmessage` (up to {MESSAGE:,} characters)",
    "traceback": f"`ebtraceback` (the last {TRACEBACK:,})",
    "lost starts": f"At {CRASHES} it is not run: dead letter `{Reason.CRASHES}`. At {CRASHES - 1} it is at its last start",
    "unhandled": f"After {UNHANDLED / 3600:.0f} hours it is a dead letter (`{Reason.UNHANDLED}`)",
    "unhandled, as an argument": f"ARGV 5 {UNHANDLED * 1000:.0f}",
    "ids a call": f"give `beat`, `mark` and `start` at most {beat.PAGE} ids a call, `ack` and `finish` {settler.ENOUGH}",
    "entries a call": f"`move`, `drop` and `rescue` {mover.MOST} entries or {mover.MOST_BYTES >> 20} MiB",
    "a claim": f"look at {entries.WINDOW:,} rows and take {entries.CLAIM_BYTES >> 20} MiB",
    "a claim's last starts": f"ARGV 8 is {claimer.LASTS} less the entries you hold at their last start, and ARGV 9 is {CRASHES}",
    "a promotion": f"ARGV 3 is {promoter.WINDOW}, ARGV 4",
    "a promotion of what is scheduled": f"ARGV 1 is {promotion.WINDOW}, ARGV 2 {promotion.WINDOW_BYTES}",
    "a read": f"BLOCK {reader.BLOCK * 1000:.0f} STREAMS t {{t}}:retry:g > >`, always both",
    "own rows": f"XPENDING KEY group - + {entries.PENDING_PAGE} consumer",
    "due times": f"ARGV 2 is {group.MEND_PAGE}, ARGV 3 {group.MEND_BYTES}",
    "leftovers": f"ARGV 6 is {mark_commands.LEFTOVERS}",
    "names of events": f"longer than {marks.LONGEST} characters",
}


@pytest.mark.parametrize("what", NUMBERS)
def test_a_number_is_the_one_that_holds(what):
    """Said in these words."""
    assert NUMBERS[what] in " ".join(PAGE.split())


def test_a_mark_is_asked_for_as_many_as_a_beat():
    """The page names one number for both."""
    assert gate.PAGE == beat.PAGE


def test_a_lease_is_sure_for_two_thirds_of_it():
    """As the page says in words."""
    assert pytest.approx(2 / 3) == gate.FRESH
    assert "a lease that was confirmed within its last two thirds" in " ".join(PAGE.split())
