"""An audit log over three topics, written while a worker is killed."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from types import SimpleNamespace

from scenarios import audit
from tests.support.crew import crew, until

TOPICS = ("logins", "shop", "profiles")


async def test_the_log_has_every_event_and_repeats_none_but_those_that_the_dead_worker_held(url, tmp_path, monkeypatch):
    """Those are known by their ids, and left out by who reads the log. The feed has what happened since a moment."""
    monkeypatch.setattr(audit, "LOG", tmp_path / "audit.jsonl")
    published = {}

    async def day() -> set[str]:
        events = audit.day([f"user-{number}" for number in range(20)])
        records = await workers.bus.publish_many(events)
        new = {record.event_id: event for record, event in zip(records, events, strict=True)}
        published.update(new)
        await until(lambda: new.keys() & audit.read()[0])
        return set(audit.read()[0])

    async with crew("audit", url, tmp_path) as workers:
        for topic in TOPICS:
            await workers.joined(topic, "audit")
        lost = await workers.lose_one(*TOPICS, group="audit", work=day)
        today = datetime.now(UTC)
        await day()
        await workers.settled(*TOPICS)
        activity = await audit.feed(workers.bus, "user-7", since=today)
        await workers.leave()

    records, repeated = audit.read()
    assert {key: (record["type"], record["data"]["user"]) for key, record in records.items()} == {
        key: (type(event).__name__, event.user) for key, event in published.items()
    }
    lines = Counter(json.loads(line)["id"] for line in filter(None, audit.LOG.read_text().splitlines()))
    assert {key for key, times in lines.items() if times > 1} <= lost.held
    assert repeated == lines.total() - len(lines)
    assert {event for _, event in activity} == set(audit.day([f"user-{number}" for number in range(20)])[21:24])


def test_a_line_that_was_cut_is_not_taken_for_an_event_and_spoils_no_other(tmp_path, monkeypatch):
    """Its event was not acknowledged: it stands in the log a second time, whole."""
    monkeypatch.setattr(audit, "LOG", tmp_path / "audit.jsonl")
    audit.LOG.write_text('\n{"id": "1"}\n{"id": "2", "us\n{"id": "1"}\n{"id": "2"}')
    assert audit.read() == ({"1": {"id": "1"}, "2": {"id": "2"}}, 2)


def test_a_field_of_an_event_does_not_take_the_place_of_its_id():
    """Two events about one order would be one line, read twice."""
    event = SimpleNamespace(model_dump=lambda mode: {"id": "o-1", "type": "express"})
    about = SimpleNamespace(id="e-1", time=datetime(2026, 11, 22, tzinfo=UTC), type="OrderPlaced", topic="orders")
    written = audit.line(event, SimpleNamespace(of=lambda _: about))
    assert (written["id"], written["type"], written["data"]) == ("e-1", "OrderPlaced", {"id": "o-1", "type": "express"})
