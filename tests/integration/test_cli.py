"""`eventbus publish`, `tail`, `info` and `pending` on a real Redis."""

from __future__ import annotations

import json

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from eventbus.streams import keys
from tests.support.commands import Command

CREATED = "tests.support.events:OrderCreated"


@pytest_asyncio.fixture
async def start(tmp_path):
    """Starts commands as processes."""
    commands = []

    async def start(*arguments, **options):
        commands.append(await Command.start(*arguments, cwd=tmp_path, **options))
        return commands[-1]

    yield start
    for command in commands:
        await command.kill()


def documents(text):
    return [json.loads(line) for line in text.splitlines()]


# -- publish


async def test_a_validated_event_is_published_and_its_ids_are_printed(run, redis_client):
    """What is printed is what stands in the stream."""
    ended = await run("publish", CREATED, '{"order_id": "o-1"}', "--output", "json", "--prefix", "test.")
    assert (ended.code, ended.err) == (0, "")
    (said,) = documents(ended.out)
    ((entry_id, fields),) = await redis_client.xrange("test.orders")
    assert said == {"topic": "orders", "entry_id": entry_id, "event_id": fields["id"]}
    assert (fields["type"], fields["partitionkey"], fields["source"]) == ("OrderCreated", "o-1", "/eventbus-cli")
    assert json.loads(fields["data"]) == {"order_id": "o-1", "total": "9.99"}


async def test_standard_input_is_published_to_a_topic_as_it_stands(run, redis_client):
    """No class is needed, and no quoting."""
    data = b'{"b":[1,{"c":"\xc3\xa9"}],"a":123456789012345678901234567890}'
    ended = await run("publish", "orders", "-", "--type", "Thing", stdin=data, EVENTBUS_SERVICE="shop")
    assert (ended.code, ended.err) == (0, "")
    ((entry_id, fields),) = await redis_client.xrange("orders")
    assert ended.out == f"published  topic orders  entry {entry_id}  event {fields['id']}\n"
    assert (fields["type"], fields["source"], fields["data"].encode()) == ("Thing", "/shop", data)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("orders", "{}"), "add --type"),
        (("orders", "nonsense", "--type", "Thing"), "not JSON"),
        (("orders", "[1]", "--type", "Thing"), "no JSON object"),
        (("or ders", "{}", "--type", "Thing"), "topic 'or ders'"),
        ((CREATED, '{"order_id": "o-1", "colour": "red"}'), "colour: Extra inputs are not permitted"),
        ((CREATED[:-1], "{}"), "has no 'OrderCreate'"),
        (("orders", '{"a": "' + "x" * 100_000 + '"}', "--type", "Thing"), "max_event_bytes"),
    ],
)
async def test_wrong_input_is_one_sentence_exit_code_2_and_nothing_written(run, redis_client, arguments, said):
    """The same whether it is the JSON, the class, the topic or the size."""
    ended = await run("publish", *arguments, EVENTBUS_MAX_EVENT_BYTES="50000")
    assert (ended.code, ended.out, await redis_client.dbsize()) == (2, "", 0)
    assert said in ended.err
    assert ended.err.count("\n") == 1


async def test_a_key_of_another_redis_type_is_a_failure_in_one_sentence(run, redis_client):
    """Redis's refusal, with the remedy."""
    await redis_client.set("orders", "text")
    for arguments in (("publish", "orders", "{}", "--type", "X"), ("info", "orders"), ("pending", "orders", "g"), ("tail", "orders")):
        ended = await run(*arguments)
        assert (ended.code, ended.out) == (1, "")
        assert "another Redis type" in ended.err
        assert ended.err.count("\n") == 1


async def test_an_embedded_server_of_ones_own_is_refused(run):
    """It would be empty, and end with the command."""
    ended = await run("info", url="embedded://")
    assert (ended.code, ended.out) == (2, "")
    assert "would start an empty server" in ended.err


# -- tail


async def test_tail_shows_what_comes_from_now_on_and_ends_with_0_on_ctrl_c(start, redis_url, redis_client):
    """Not what was there before; no group and no key is made."""
    await redis_client.xadd("orders", {"n": "before"}, id="1-0")
    tail = await start("tail", "orders", "--from", "2-0", "--output", "json", url=redis_url)
    now = await start("tail", "orders", url=redis_url)
    await now.line("TIME")
    await _watched(redis_client, 2)
    await redis_client.xadd("orders", {"n": "after"})
    assert json.loads(await tail.line())["fields"] == {"n": "after"}
    assert (await now.line()).endswith("n=after")
    for command in (tail, now):
        command.interrupt()
        ended = await command.ended()
        assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert await redis_client.keys() == ["orders"]


async def test_tail_begins_where_it_is_told_and_ends_after_count(run, redis_client):
    """An id is shown itself; a time and how long ago mean the entries from then on."""
    seconds, _ = await redis_client.time()
    for ago in (1200, 300, 60):
        await redis_client.xadd("orders", {"ago": ago}, id=f"{(seconds - ago) * 1000}-5")
    begins = [("0", "1200"), (f"{(seconds - 300) * 1000}-5", "300"), (f"{(seconds - 300) * 1000}-6", "60"), ("10m", "300"), ("2m", "60")]
    for begin, first in [*begins, ("2020-01-01T00:00:00Z", "1200")]:
        ended = await run("tail", "orders", "--from", begin, "--count", "1", "--output", "json")
        assert (ended.code, [each["fields"]["ago"] for each in documents(ended.out)]) == (0, [first])
    ended = await run("tail", "orders", "--from", "0", "--count", "3", "--output", "json")
    assert [each["fields"]["ago"] for each in documents(ended.out)] == ["1200", "300", "60"]


async def test_tail_never_sends_a_terminal_what_it_would_obey(run, redis_client):
    """An event may be from anybody; both formats."""
    evil = b"\x1b[2J\x9b31m\n\r\xe2\x80\xae"
    await redis_client.xadd("orders", {evil: evil})
    fields = {
        "specversion": "1.0",
        "id": b"e\x1b",
        "type": b"\x1bT",
        "source": "/s",
        "data": b'{"a":"\xc2\x9b"}',
        "partitionkey": b"\xc2\x9b",
    }
    await redis_client.xadd("orders", fields)
    for output in ("table", "json"):
        ended = await run("tail", "orders", "--from", "0", "--count", "2", "--output", output)
        assert ended.code == 0
        assert ended.out.isascii()
        assert "\x1b" not in ended.out
        assert len(ended.out.splitlines()) == {"table": 3, "json": 2}[output]


async def test_tail_says_that_redis_is_lost_and_goes_on_after_the_last_entry(start, own_server):
    """Nothing twice, nothing left out."""
    server = own_server()
    tail = await start("tail", "orders", "--output", "json", url=server.url)
    await tail.error("no entries yet")
    async with Redis.from_url(server.url) as redis:
        await redis.xadd("orders", {"n": 1})
        assert json.loads(await tail.line())["fields"] == {"n": "1"}
        server.kill()
        await tail.error("Redis is lost")
        server.restart()
        await redis.xadd("orders", {"n": 2})
        assert json.loads(await tail.line())["fields"] == {"n": "2"}
    await tail.error("Redis is back")
    tail.interrupt()
    ended = await tail.ended()
    assert (ended.code, ended.out) == (0, "")


async def test_tail_into_a_pipe_that_closes_ends_quietly(start, redis_url, redis_client):
    """`eventbus tail … | head -1`."""
    tail = await start("tail", "orders", "--output", "json", url=redis_url)
    await tail.error("no entries yet")
    tail.process._transport.get_pipe_transport(1).close()
    pipeline = redis_client.pipeline()
    for number in range(100):
        pipeline.xadd("orders", {"n": number})
    await pipeline.execute()
    ended = await tail.ended()
    assert (ended.code, ended.err) == (0, "")


# -- info and pending


async def group_with_entries(redis_client):
    for number in range(1, 6):
        await redis_client.xadd("orders", {"n": number}, id=f"{number}-0")
    private = keys.retry("orders", "charge")
    await redis_client.xgroup_create("orders", "charge", "0")
    await redis_client.xgroup_create(private, "charge", "0", mkstream=True)
    await redis_client.sadd(keys.groups("orders"), "charge", "lost")
    await redis_client.xadd(private, {"n": 1}, id="9-0")
    await redis_client.xreadgroup("charge", "con\x1bsumer", {"orders": ">", private: ">"}, count=2)


async def test_info_shows_a_topic_its_groups_and_consumers(run, redis_client):
    """For people, and as one JSON document."""
    await group_with_entries(redis_client)
    ended = await run("info", "orders")
    assert (ended.code, ended.err) == (0, "")
    rows = [line.split() for line in ended.out.splitlines()]
    assert ["length", "5"] in rows
    assert ["charge", "3", "2", "1", "0", "0", "0", "1", "2-0"] in rows
    assert [row[:4] for row in rows if row[1:2] == [r"con\x1bsumer"]] == [["charge", r"con\x1bsumer", "2", "1"]]
    assert "lost    group lost: eventbus made it" in ended.out
    (found,) = documents((await run("info", "orders", "--output", "json")).out)
    assert (found["length"], found["first"]["id"], found["last"]["id"], found["lost_groups"]) == (5, "1-0", "5-0", ["lost"])
    assert found["groups"][0]["lag"] == {"entries": 3, "exact": True}
    assert found["server"]["memory"] > 0


async def test_a_lag_beyond_the_limit_is_shown_with_a_plus(run, redis_client):
    """`10000+` is not 10000."""
    pipeline = redis_client.pipeline(transaction=False)
    for number in range(1, 10_003):
        pipeline.xadd("orders", {"n": number}, id=f"{number}-0")
    pipeline.xgroup_create("orders", "charge", "0")
    pipeline.xdel("orders", "7-0")
    await pipeline.execute()
    assert ["charge", "10000+", "0", "0", "0", "0", "0", "0", "0-0"] in [
        line.split() for line in (await run("info", "orders")).out.splitlines()
    ]


async def test_info_lists_topics_and_the_servers_memory(run, redis_client):
    """And says how to see the others where none has a group."""
    ended = await run("info")
    assert ended.code == 0
    assert "in use" in ended.out
    assert "no topic has a group" in ended.out
    await group_with_entries(redis_client)
    assert ["orders", "5", "1", "2"] in [line.split()[:4] for line in (await run("info")).out.splitlines()]
    (found,) = documents((await run("info", "--output", "json")).out)
    assert [(each["topic"], each["length"], each["pending"]) for each in found["topics"]] == [("orders", 5, 2)]


async def test_pending_lists_both_streams_and_says_what_it_leaves_out(run, redis_client):
    """One consumer's, or everybody's; a JSON document a line."""
    await group_with_entries(redis_client)
    ended = await run("pending", "orders", "charge", "--count", "1")
    assert ended.code == 0
    rows = [line.split() for line in ended.out.splitlines()]
    assert [(row[0], row[1], row[2], row[-1]) for row in rows[1:]] == [
        ("topic", "1-0", r"con\x1bsumer", "1"),
        ("retry", "9-0", r"con\x1bsumer", "1"),
    ]
    assert "1 more are pending in orders: --count 2" in ended.err
    found = documents((await run("pending", "orders", "charge", "--output", "json")).out)
    assert [(each["stream"], each["id"]) for each in found] == [("orders", "1-0"), ("orders", "2-0"), ("{orders}:retry:charge", "9-0")]
    assert (await run("pending", "orders", "charge", "--consumer", "nobody")).out == "nothing is pending\n"


async def test_what_is_not_there_ends_with_4_and_one_sentence(run, redis_client):
    """A typing error does not look like an empty topic."""
    for arguments in (("info", "orders"), ("pending", "orders", "charge")):
        ended = await run(*arguments)
        assert (ended.code, ended.out, ended.err.count("\n")) == (4, "", 1)
        assert ended.err.startswith("eventbus: there is no ")
    assert await redis_client.dbsize() == 0


async def _watched(redis_client, number):
    """Wait until so many clients are blocked in a read."""
    while (await redis_client.info("clients"))["blocked_clients"] < number:
        pass


# -- scheduled


async def test_an_event_is_scheduled_listed_and_taken_back_by_hand(run, redis_client):
    """Each line of JSON is a document; what is not there any more is not found."""
    ended = await run("publish", CREATED, '{"order_id": "o-1"}', "--delay", "1h", "--output", "json")
    (said,) = documents(ended.out)
    assert said["due"].endswith("Z")
    later = await run("publish", "orders", '{"order_id": "o-2"}', "--type", "Other", "--at", "2031-01-01T02:00:00+02:00")
    assert later.out.startswith("scheduled  topic orders  due 2031-01-01T00:00:00.000Z  event ")
    listed = await run("scheduled", "orders", "--output", "json")
    first, second = documents(listed.out)
    assert (first["event_id"], first["type"], first["due"], first["priority"]) == (said["event_id"], "OrderCreated", said["due"], "normal")
    assert second["due"] == "2031-01-01T00:00:00.000Z"
    table = await run("scheduled", "orders", "--count", "1")
    assert said["event_id"] in table.out
    assert table.err == "eventbus: 1 more are scheduled on orders: --count 2 shows them all\n"
    ended = await run("scheduled", "orders", "--cancel", said["event_id"])
    assert (ended.code, ended.out) == (0, f"cancelled  topic orders  event {said['event_id']}\n")
    again = await run("scheduled", "orders", "--cancel", said["event_id"], "--output", "json")
    assert (again.code, again.out) == (4, "")
    assert await redis_client.zcard(keys.scheduled_due("orders")) == 1
    assert (await run("scheduled", "nowhere")).out == "nothing is scheduled\n"


async def test_an_event_is_published_once_and_under_an_id_by_hand(run, redis_client):
    """The same options as in code."""
    for _ in range(2):
        await run("publish", CREATED, '{"order_id": "o-1"}', "--idempotency-key", "k", "--entry-id", "5-1")
    low = await run("publish", CREATED, '{"order_id": "o-2"}', "--entry-id", "4-1")
    assert (low.code, "5-1" in low.err) == (1, True)
    assert [entry_id for entry_id, _ in await redis_client.xrange("orders")] == ["5-1"]


async def test_a_topic_without_its_class_has_no_priorities(run, redis_client):
    """The message names what to write, since nothing can be declared on the command line."""
    ended = await run("publish", "orders", "--type", "OrderCreated", "{}", "--priority", "high")
    assert (ended.code, ended.out) == (2, "")
    assert "publish MODULE:CLASS, without --type" in ended.err
    assert await redis_client.keys() == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--delay", "soon"), "--delay 'soon': give a span"),
        (("--at", "noon"), "--at 'noon': give a time"),
        (("--at", "2031-01-01T00:00:00"), "has no zone"),
        (("--priority", "high"), "has no priorities"),
        (("--delay", "1s", "--at", "2031-01-01T00:00:00Z"), "give one of them"),
    ],
)
async def test_a_time_or_a_priority_that_is_none_is_refused(run, redis_client, options, said):
    """Nothing is written."""
    ended = await run("publish", CREATED, '{"order_id": "o-1"}', *options)
    assert ended.code == 2
    assert said in ended.err
    assert await redis_client.keys() == []
