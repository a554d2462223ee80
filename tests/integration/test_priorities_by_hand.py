"""What an operator sees and does who only knows the name of a topic that has priorities."""

from __future__ import annotations

import json

import pytest
import pytest_asyncio

from eventbus import GroupInUse, NotFound
from eventbus.admin import Lag
from eventbus.streams import keys
from eventbus.testing import running
from tests.support.graveyard import bury, heartbeat, letter, make_group
from tests.support.tasks import LEVELS, TASKS, Task, put, tasks

STREAMS = {name: keys.level("tasks", name) for name in LEVELS}


@pytest_asyncio.fixture
async def group(redis_client):
    """A group on every priority that its members have left, with a task waiting at each."""
    await redis_client.zadd(keys.levels("tasks"), {name: place for place, name in enumerate(LEVELS)})
    for name, stream in STREAMS.items():
        await make_group(redis_client, stream=stream)
        await put(redis_client, name, Task(name=name))


def columns(text, *numbers):
    return [[line.split()[number] for number in numbers] for line in text.splitlines()]


@pytest.mark.usefixtures("group")
async def test_a_topic_is_shown_with_all_its_priorities(run, admin):
    """By its name; each with its own length, groups and lag."""
    found = await admin.topic("tasks")
    assert [(each.priority, each.length, each.groups[0].lag) for each in (found, *found.levels)] == [
        ("normal", 1, Lag(1)),
        ("high", 1, Lag(1)),
        ("low", 1, Lag(1)),
    ]
    shown = (await run("info", "tasks")).out
    assert "priority high\ntopic   tasks  (stream {tasks}:p:high)" in shown
    assert columns((await run("info")).out.split("\n", 1)[1], 0, 1, 2) == [
        ["TOPIC", "PRIORITY", "ENTRIES"],
        *(["tasks", name, "1"] for name in LEVELS),
    ]
    listed = columns((await run("groups", "list", "tasks")).out, 0, 1, 2, 3)
    assert listed[0] == ["TOPIC", "PRIORITY", "GROUP", "LAG"]
    assert sorted(listed[1:]) == sorted(["tasks", name, "charge", "1"] for name in LEVELS)


async def test_a_topic_that_was_only_published_urgently_to_is_there(admin, redis_client):
    """Its own stream does not exist yet."""
    await put(redis_client, "high", *tasks(2))
    assert await admin.topic("tasks") is None
    found = await admin.topic(TASKS)  # whoever has the declaration needs nobody who wrote it down
    assert (found.length, [(each.priority, each.length) for each in found.levels]) == (0, [("high", 2)])


@pytest.mark.usefixtures("group")
async def test_what_is_pending_is_listed_of_every_priority(run, redis_client):
    """With the priority it is pending at."""
    for name in ("high", "low"):
        await redis_client.xreadgroup("charge", "one", {STREAMS[name]: ">"})
    result = await run("pending", "tasks", "charge")
    assert [line.split("  ")[0] for line in result.out.splitlines()[1:]] == ["topic (high)", "topic (low)"]


@pytest.mark.usefixtures("group")
async def test_a_dead_letter_is_found_and_redriven_at_its_priority(run, redis_client):
    """The list names the priority, and whoever looks at another one is told."""
    (dead_id,) = await bury(redis_client, letter(), stream=STREAMS["high"])
    assert columns((await run("dead", "list", "tasks")).out, 0, 1, 2) == [["GROUP", "PRIORITY", "DEAD"], ["charge", "high", "1"]]
    other = await run("dead", "list", "tasks", "charge")
    assert "1 dead letter more of the group at priority 'high': --priority high" in other.err
    assert dead_id in (await run("dead", "list", "tasks", "charge", "--priority", "high")).out
    assert "priority     high" in (await run("dead", "show", "tasks", "charge", "--priority", "high")).out
    assert (await run("dead", "redrive", "tasks", "charge", dead_id)).code
    assert (await run("dead", "redrive", "tasks", "charge", "--priority", "high", "--all", "--yes")).code == 0
    assert await redis_client.xlen(keys.retry(STREAMS["high"], "charge")) == 1
    assert await redis_client.xlen(keys.retry("tasks", "charge")) == 0


@pytest.mark.usefixtures("group")
async def test_dead_letters_of_a_priority_are_exported_and_discarded_there(run, redis_client):
    """And no other priority's."""
    for name in ("high", "low"):
        await bury(redis_client, letter(), stream=STREAMS[name])
    exported = await run("dead", "export", "tasks", "charge", "--priority", "low")
    assert [json.loads(line)["priority"] for line in exported.out.splitlines()] == ["low"]
    assert (await run("dead", "discard", "tasks", "charge", "--priority", "low", "--all", "--yes")).code == 0
    assert [await redis_client.xlen(keys.dead(STREAMS[name], "charge")) for name in ("high", "low")] == [1, 0]


async def test_a_priority_that_is_not_there_is_said(run, redis_client):
    """It is not an empty one."""
    await make_group(redis_client, stream="tasks")
    result = await run("dead", "list", "tasks", "charge", "--priority", "urgent")
    assert result.code
    assert "there is no group 'charge' on topic 'tasks', priority 'urgent' of eventbus" in result.err


@pytest.mark.usefixtures("group")
async def test_a_group_is_renamed_at_every_priority(admin, redis_client):
    """It stands where it stood at each, and its dead letters come along."""
    await bury(redis_client, letter(), stream=STREAMS["low"])
    await admin.rename_group("tasks", "charge", "bill")
    for stream in STREAMS.values():
        assert [each["name"] for each in await redis_client.xinfo_groups(stream)] == ["bill"]
    assert await admin.dead_letters("tasks", "bill", priority="low").count() == 1


@pytest.mark.usefixtures("group")
async def test_what_keeps_a_group_from_being_renamed_at_one_priority_keeps_it_at_all(admin, redis_client):
    """Nothing is changed: a group of two names would be served by nobody who knows both."""
    await heartbeat(redis_client, stream=STREAMS["low"])
    with pytest.raises(GroupInUse, match="lives; stop them"):
        await admin.rename_group("tasks", "charge", "bill")
    for stream in STREAMS.values():
        assert [each["name"] for each in await redis_client.xinfo_groups(stream)] == ["charge"]


@pytest.mark.usefixtures("group")
async def test_a_renaming_that_was_cut_short_goes_on(admin, redis_client):
    """Where it is done already, there is nothing to do."""
    await redis_client.xgroup_destroy("tasks", "charge")
    await redis_client.srem(keys.groups("tasks"), "charge")
    await admin.rename_group("tasks", "charge", "bill")
    assert [each["name"] for each in await redis_client.xinfo_groups(STREAMS["high"])] == ["bill"]
    with pytest.raises(NotFound):
        await admin.rename_group("tasks", "charge", "bill")


@pytest.mark.usefixtures("group")
async def test_a_group_is_abandoned_at_every_priority_with_what_it_owed_at_all_of_them(admin, redis_client):
    """Nothing is left that holds back trimming; a look changes nothing."""
    await redis_client.xadd(keys.retry(STREAMS["low"], "charge"), {"n": 1})
    for dry_run in (True, False):
        owed = await admin.abandon_group("tasks", "charge", dry_run=dry_run)
        assert (owed.unread, owed.retry) == (Lag(3), 1)
    for stream in STREAMS.values():
        assert await redis_client.xinfo_groups(stream) == []
        assert await redis_client.smembers(keys.groups(stream)) == set()
    with pytest.raises(NotFound):
        await admin.abandon_group("tasks", "charge")


@pytest.mark.usefixtures("group")
async def test_one_priority_is_trimmed_by_hand_and_the_others_are_named(run, redis_client):
    """Each is a stream of its own."""
    for name, stream in STREAMS.items():
        await put(redis_client, name, Task(name="another"))
        await redis_client.xreadgroup("charge", "one", {stream: ">"}, noack=True)
    result = await run("trim", "tasks", "--priority", "high", "--max-len", "0", "--exact")
    assert result.out.startswith("trimmed  topic tasks (high)  removed 1 settled")
    assert "--priority normal, --priority low" in result.err
    assert [await redis_client.xlen(stream) for stream in STREAMS.values()] == [1, 2, 2]


@pytest.mark.usefixtures("group")
async def test_a_tail_shows_one_priority_and_names_the_others(run):
    """By default what was published without any."""
    result = await run("tail", "tasks", "--from", "0", "--count", "1", "--priority", "high", "--output", "json")
    assert json.loads(result.out.splitlines()[0])["data"]["name"] == "high"
    assert "the topic has others, too: normal, low" in result.err


async def test_what_a_group_owes_is_counted_for_every_priority(redis_url, redis_client):
    """Metrics have the priority as a label; those of other topics do not."""
    from prometheus_client import CollectorRegistry

    from eventbus import EventBus
    from eventbus.observe.prometheus import instrument
    from tests.support.redis_hands import until

    bus, registry = EventBus(redis_url, service="billing"), CollectorRegistry()

    @bus.subscribe(Task, group="work")
    async def work(event: Task) -> None: ...

    instrument(bus, registry)
    place = {"topic": "tasks", "group": "work"}
    async with running(bus) as run:
        await put(redis_client, "high", *tasks(3))
        await run.idle()
        value = registry.get_sample_value
        assert value("eventbus_handled_total", place | {"outcome": "ack", "priority": "high"}) == 3
        assert value("eventbus_handled_total", place | {"outcome": "ack", "priority": "low"}) == 0
        assert value("eventbus_handler_duration_seconds_count", place | {"type": "Task", "priority": "high"}) == 3
        await until(lambda: value("eventbus_topic_length", {"topic": "tasks", "priority": "low"}) is not None)
        assert {name: value("eventbus_group_lag", place | {"priority": name}) for name in LEVELS} == dict.fromkeys(LEVELS, 0)


@pytest.mark.usefixtures("group")
async def test_a_replay_is_of_one_priority_and_names_the_others(run):
    """Else "replayed 0 entries" would look like the whole topic; a priority that is not there is named by its stream."""
    result = await run("replay", "tasks", "charge", "--from", "0", "--dry-run", "--priority", "high")
    assert "only priority 'high' is replayed; the topic has others, too: normal, low" in result.err
    result = await run("replay", "tasks", "charge", "--from", "0", "--dry-run", "--priority", "urgent")
    assert "there is no topic 'tasks' (stream '{tasks}:p:urgent') on this server" in result.err
    assert result.code == 4
