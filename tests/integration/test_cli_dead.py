"""`eventbus dead`, `eventbus groups` and `eventbus trim` on a real Redis."""

from __future__ import annotations

import json

import pytest_asyncio

from eventbus.streams import keys
from tests.support.commands import Command
from tests.support.graveyard import TOMBSTONE, block, bury, heartbeat, letter, make_group

RETRY = keys.retry("orders", "charge")
DEAD = keys.dead("orders", "charge")


@pytest_asyncio.fixture
async def group(redis_client):
    """A group that its members have left."""
    await make_group(redis_client)


def documents(text):
    return [json.loads(line) for line in text.splitlines()]


def rows(text):
    return [line.split() for line in text.splitlines()]


# -- dead list, show


async def test_dead_list_shows_why_events_are_dead_and_no_payload(run, redis_client, group):
    """A line each; what stands in an exception's message may be payload, too."""
    one, two = await bury(redis_client, letter(1), letter(2, reason="rejected", attempts=1, error="", redrives="2"))
    ended = await run("dead", "list", "orders", "charge")
    assert (ended.code, ended.err) == (0, "")
    head, first, second = rows(ended.out)
    assert head == ["ID", "FAILED", "TYPE", "REASON", "ERROR", "ATTEMPTS", "REDRIVES", "ENTRY", "SIZE"]
    assert first[:8] == [one, "2026-11-21T07:16:59.123Z", "OrderCreated", "attempts", "CardDeclined", "5", "0", "1-0"]
    assert second[:7] == [two, "2026-11-21T07:16:59.123Z", "OrderCreated", "rejected", "-", "1", "2"]
    found = documents((await run("dead", "list", "orders", "charge", "--output", "json")).out)
    assert [(each["id"], each["reason"], each["error"]) for each in found] == [
        (one, "attempts", "app.errors.CardDeclined"),
        (two, "rejected", ""),
    ]
    for output in ("table", "json"):
        shown = (await run("dead", "list", "orders", "charge", "--output", output)).out
        assert "9.99" not in shown
        assert "declined by the bank" not in shown


async def test_dead_list_is_paged_and_says_how_to_go_on(run, redis_client, group):
    """On standard error, where it is in nobody's way."""
    ids = await bury(redis_client, *(letter(number) for number in range(5)))
    ended = await run("dead", "list", "orders", "charge", "--count", "3", "--output", "json")
    assert [each["id"] for each in documents(ended.out)] == ids[:3]
    assert ended.err == f"eventbus: there are more: --after {ids[2]} goes on\n"
    ended = await run("dead", "list", "orders", "charge", "--count", "3", "--after", ids[2], "--output", "json")
    assert ([each["id"] for each in documents(ended.out)], ended.err) == (ids[3:], "")
    ended = await run("dead", "list", "orders", "charge", "--newest", "--count", "1", "--output", "json")
    assert [each["id"] for each in documents(ended.out)] == ids[-1:]
    assert (await run("dead", "list", "orders", "charge", "--total")).out == "5\n"


async def test_dead_list_filters(run, redis_client, group):
    """By type, exception, reason, and when it died by the server's clock."""
    seconds, _ = await redis_client.time()
    ids = [f"{(seconds - ago) * 1000}-0" for ago in (7200, 1200, 60)]
    await bury(redis_client, letter(1), letter(2, error="builtins.TimeoutError"), letter(3, reason="rejected", type="OrderPaid"), ids=ids)

    async def found(*options):
        return [each["id"] for each in documents((await run("dead", "list", "orders", "charge", "--output", "json", *options)).out)]

    assert await found("--error", "TimeoutError") == ids[1:2]
    assert await found("--reason", "rejected") == ids[2:]
    assert await found("--type", "OrderPaid") == ids[2:]
    assert await found("--since", "1h") == ids[1:]
    assert await found("--since", "2020-01-01T00:00:00Z", "--until", "10m") == ids[:2]
    assert (await run("dead", "list", "orders", "charge", "--error", "KeyError")).out == "no dead letters that match\n"
    assert (await run("dead", "list", "orders", "charge", "--since", "1h", "--total")).out == "2\n"


async def test_dead_list_without_a_group_says_which_groups_have_some(run, redis_client, group):
    """Also one that was abandoned."""
    assert (await run("dead", "list", "orders")).out == "no group of topic orders has dead letters\n"
    await bury(redis_client, letter(1), letter(2))
    await bury(redis_client, letter(1), group="abandoned")
    ended = await run("dead", "list", "orders")
    assert [row[:2] for row in rows(ended.out)] == [["GROUP", "DEAD"], ["abandoned", "1"], ["charge", "2"]]
    found = documents((await run("dead", "list", "orders", "--output", "json")).out)
    assert [(each["topic"], each["group"], each["dead"]) for each in found] == [("orders", "abandoned", 1), ("orders", "charge", 2)]
    assert found[0]["oldest"]["age"] >= 0


async def test_dead_show_tells_what_happened_and_shows_the_event(run, redis_client, group):
    """The newest, or one by its id; with its traceback line by line."""
    one, two = await bury(redis_client, letter(1), letter(2, consumer="b\x1bad"))
    ended = await run("dead", "show", "orders", "charge")
    assert (ended.code, ended.err) == (0, "")
    shown = rows(ended.out)
    assert shown[0][:3] == ["dead", "letter", two]
    assert ["reason", "attempts"] in shown
    assert ["message", "declined", "by", "the", "bank"] in shown
    assert ["consumer", r"b\x1bad"] in shown
    assert ["app.errors.CardDeclined:", "declined", "by", "the", "bank"] in shown
    assert ["data", '{"order_id":"o-2","total":"9.99"}'] in shown
    (found,) = documents((await run("dead", "show", "orders", "charge", one, "--output", "json")).out)
    assert (found["id"], found["attempts"], found["event"]["type"], found["event"]["key"]) == (one, 5, "OrderCreated", "o-1")
    assert found["event"]["data"] == {"order_id": "o-1", "total": "9.99"}
    assert found["traceback"].startswith("Traceback")
    assert {"name": "partitionkey", "value": "o-1"} in found["fields"]
    assert found["block"][0] == {"name": "ebentry", "value": "1-0"}


async def test_dead_show_of_a_tombstone_and_of_what_is_no_event(run, redis_client, group):
    """Neither looks like an empty event."""
    tomb, raw = await bury(redis_client, TOMBSTONE, [b"\xff", b"\x00", *block("3-0", reason="undecodable", type="")])
    assert "a tombstone" in (await run("dead", "show", "orders", "charge", tomb)).out
    assert r"\xff  \x00" in (await run("dead", "show", "orders", "charge", raw)).out
    for dead_id in (tomb, raw):
        (found,) = documents((await run("dead", "show", "orders", "charge", dead_id, "--output", "json")).out)
        assert found["event"] is None


# -- dead redrive, discard, export


async def test_dead_redrive_hands_back_what_was_named(run, redis_client, group):
    """A second time there is no such dead letter, which ends with 4."""
    one, two, tomb = await bury(redis_client, letter(1), letter(2), TOMBSTONE)
    ended = await run("dead", "redrive", "orders", "charge", one)
    assert (ended.code, ended.out, ended.err) == (0, "redriven 1 dead letter to group charge\n", "")
    ended = await run("dead", "redrive", "orders", "charge", one, two)
    assert (ended.code, ended.out, ended.err) == (
        4,
        "redriven 1 dead letter to group charge\n",
        f"eventbus: there is no dead letter {one}\n",
    )
    ended = await run("dead", "redrive", "orders", "charge", tomb, "--output", "json")
    assert ended.code == 1
    assert f"nothing to redrive: {tomb}" in ended.err
    assert documents(ended.out) == [{"done": 0, "missing": [], "tombstones": [tomb], "large": [], "dry_run": False}]
    assert (await redis_client.xlen(RETRY), await redis_client.xlen(DEAD)) == (2, 1)


async def test_dead_redrive_by_a_filter_and_dry(run, redis_client, group):
    """What would be done is said first by the same rules."""
    await bury(redis_client, letter(1, error="builtins.TimeoutError"), letter(2), TOMBSTONE)
    ended = await run("dead", "redrive", "orders", "charge", "--all", "--dry-run")
    assert (ended.code, ended.out) == (0, "would redrive 2 dead letters to group charge\n")
    assert await redis_client.xlen(DEAD) == 3
    ended = await run("dead", "redrive", "orders", "charge", "--error", "TimeoutError", "--rate", "50")
    assert (ended.code, ended.out) == (0, "redriven 1 dead letter to group charge\n")
    assert await redis_client.xlen(DEAD) == 2


async def test_redriving_all_and_discarding_ask_first(run, redis_client, group):
    """Where nobody can be asked, nothing is done."""
    await bury(redis_client, letter(1), letter(2))
    for command, said in (
        ("redrive", "all 2 dead letters of group 'charge' on topic 'orders' will be handled again"),
        ("discard", "2 dead letters of group 'charge' on topic 'orders' will be deleted for good"),
    ):
        ended = await run("dead", command, "orders", "charge", "--all")
        assert (ended.code, ended.out) == (2, "")
        assert ended.err == f"eventbus: {said}. Nothing was done: add --yes to go on without being asked\n"
    assert await redis_client.xlen(DEAD) == 2
    assert (await run("dead", "redrive", "orders", "charge", "--all", "--yes")).code == 0
    assert (await redis_client.xlen(DEAD), await redis_client.xlen(RETRY)) == (0, 2)


async def test_dead_discard_deletes_what_was_named(run, redis_client, group):
    """And says what was not there."""
    one, _ = await bury(redis_client, letter(1), letter(2, reason="rejected"))
    assert (await run("dead", "discard", "orders", "charge", "--reason", "rejected", "--dry-run")).out == (
        "would discard 1 dead letter of group charge\n"
    )
    assert await redis_client.xlen(DEAD) == 2
    ended = await run("dead", "discard", "orders", "charge", "--reason", "rejected", "--yes")
    assert (ended.code, ended.out) == (0, "discarded 1 dead letter of group charge\n")
    ended = await run("dead", "discard", "orders", "charge", one, "1-0", "--yes", "--output", "json")
    assert (ended.code, documents(ended.out)) == (4, [{"done": 1, "missing": ["1-0"], "dry_run": False}])
    assert ended.err == "eventbus: there is no dead letter 1-0\n"
    assert await redis_client.xlen(DEAD) == 0


async def test_dead_export_writes_json_lines_that_a_terminal_survives(run, redis_client, group):
    """Nothing of them is obeyed, everything of them is there."""
    evil = "\x1b[2J\x9b\u2028é"
    one, two = await bury(redis_client, [b"a", evil.encode(), b"\xff", b"\xfe", *block("3-0")], letter(2))
    ended = await run("dead", "export", "orders", "charge")
    assert (ended.code, ended.err, len(ended.out.splitlines())) == (0, "", 2)
    assert not set(ended.out) & set("\x1b\x9b\u2028")
    first, second = documents(ended.out)
    assert first["fields"] == [{"name": "a", "value": evil}, {"name_base64": "/w==", "value_base64": "/g=="}]
    assert (first["id"], second["id"]) == (one, two)
    assert [each["id"] for each in documents((await run("dead", "export", "orders", "charge", two)).out)] == [two]
    assert (await run("dead", "export", "orders", "charge", "--reason", "rejected")).out == ""
    assert await redis_client.xlen(DEAD) == 2


async def test_a_long_redrive_says_how_far_it_is_and_ctrl_c_says_where_it_stopped(redis_client, redis_url, tmp_path, group):
    """The same command goes on."""
    await bury(redis_client, *(letter(number) for number in range(10_000)))
    command = await Command.start("dead", "redrive", "orders", "charge", "--all", "--yes", "--rate", "100", cwd=tmp_path, url=redis_url)
    try:
        assert "of 10000 so far" in await command.error("redriven ")
        command.interrupt()
        ended = await command.ended()
    finally:
        await command.kill()
    left = await redis_client.xlen(DEAD)
    assert (ended.code, ended.out) == (130, "")
    assert "were redriven, the others are still dead; the same command goes on" in ended.err
    assert 0 < left < 10_000
    assert await redis_client.xlen(RETRY) == 10_000 - left


# -- what is not there


async def test_what_is_not_there_ends_with_4_and_one_sentence(run, redis_client, group):
    """A typing error does not look like good news."""
    for arguments in (
        ("dead", "list", "payments"),
        ("dead", "list", "orders", "chrage"),
        ("dead", "show", "orders", "chrage"),
        ("dead", "show", "orders", "charge"),
        ("dead", "show", "orders", "charge", "1-0"),
        ("dead", "redrive", "orders", "chrage", "--all"),
        ("dead", "discard", "orders", "chrage", "--all"),
        ("dead", "export", "orders", "chrage"),
        ("dead", "export", "orders", "charge", "1-0"),
        ("groups", "list", "payments"),
        ("groups", "rename", "orders", "chrage", "billing"),
        ("groups", "abandon", "orders", "chrage"),
        ("trim", "payments", "--max-len", "1"),
    ):
        ended = await run(*arguments)
        assert (ended.code, ended.out, ended.err.count("\n")) == (4, "", 1), arguments
        assert ended.err.startswith("eventbus: there is no "), arguments
    ended = await run("dead", "redrive", "orders", "charge", "1-0")
    assert (ended.code, ended.err) == (4, "eventbus: there is no dead letter 1-0\n")


# -- groups, trim


async def test_groups_list_shows_what_each_owes_and_names_those_nobody_serves(run, redis_client, group):
    """Of one topic, or of all."""
    await bury(redis_client, letter(1))
    await heartbeat(redis_client)
    seconds, _ = await redis_client.time()
    await make_group(redis_client, "old", stream="payments", served=(seconds - 2 * 86_400) * 1000)
    await make_group(redis_client, "lost", stream="payments")
    await redis_client.xgroup_destroy("payments", "lost")
    ended = await run("groups", "list", "orders")
    assert (ended.code, ended.err) == (0, "")
    assert [row[:9] for row in rows(ended.out)][1:] == [["orders", "charge", "0", "0", "0", "0", "0", "1", "1"]]
    ended = await run("groups", "list")
    assert ["payments", "old"] in [row[:2] for row in rows(ended.out)]
    assert "lost  topic payments  group lost: eventbus made it" in ended.out
    assert "nobody has served group 'old' of topic 'payments' for 2d0h; it holds back trimming" in ended.err
    assert ended.err.count("\n") == 1
    found = documents((await run("groups", "list", "--output", "json")).out)
    assert [(each["topic"], each["name"], each["lost"]) for each in found] == [
        ("orders", "charge", False),
        ("payments", "old", False),
        ("payments", "lost", True),
    ]
    assert (found[0]["dead"], found[0]["living"]) == (1, 1)


async def test_groups_rename_and_its_refusal(run, redis_client, group):
    """Done, or said in one sentence what is in the way."""
    await heartbeat(redis_client)
    ended = await run("groups", "rename", "orders", "charge", "billing")
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert "billing.host.1.abc lives; stop them, and wait for the lease" in ended.err
    await redis_client.delete(keys.members("orders", "charge"))
    ended = await run("groups", "rename", "orders", "charge", "billing")
    assert (ended.code, ended.out, ended.err) == (0, "renamed  topic orders  group charge is billing now\n", "")
    ended = await run("groups", "rename", "orders", "billing", "charge", "--output", "json")
    assert documents(ended.out) == [{"topic": "orders", "old": "billing", "new": "charge"}]


async def test_groups_abandon_says_what_is_owed_and_asks_first(run, redis_client, group):
    """Dead letters stay where they are, and it says so."""
    await redis_client.xadd("orders", {"n": 1})
    await redis_client.xadd(RETRY, {"n": 1})
    await bury(redis_client, letter(1))
    owed = "1 unread, 0 pending, 1 to retry, 0 parked"
    ended = await run("groups", "abandon", "orders", "charge")
    assert (ended.code, ended.out) == (2, "")
    assert f"will be given up with what it owes ({owed})" in ended.err
    ended = await run("groups", "abandon", "orders", "charge", "--dry-run")
    assert (ended.code, ended.out.splitlines()[0]) == (0, f"would abandon  topic orders  group charge  it owed: {owed}")
    assert await redis_client.exists(RETRY)
    ended = await run("groups", "abandon", "orders", "charge", "--yes")
    assert (ended.code, ended.out) == (
        0,
        f"abandoned  topic orders  group charge  it owed: {owed}\nits dead letters are kept (1): eventbus dead list orders charge\n",
    )
    assert not await redis_client.exists(RETRY)
    assert (await run("dead", "list", "orders", "charge", "--total")).out == "1\n"
    await make_group(redis_client, "again")
    (found,) = documents((await run("groups", "abandon", "orders", "again", "--yes", "--output", "json")).out)
    assert (found["group"], found["unread"], found["retry"]) == ("again", {"entries": 1, "exact": True}, 0)


async def test_trim_removes_what_is_settled_and_asks_before_anything_else(run, redis_client, group):
    """Dry, exact, hard."""
    for number in range(1, 11):
        await redis_client.xadd("orders", {"n": number}, id=f"{number}-0")
    read = await redis_client.xreadgroup("charge", "me", {"orders": ">"}, count=6)
    await redis_client.xack("orders", "charge", *(entry_id for entry_id, _ in read[0][1]))
    ended = await run("trim", "orders", "--max-len", "2", "--dry-run")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == "would trim  topic orders  removed 5 settled, 0 unsettled  left 5\nsettled before 6-0, where charge stands\n"
    assert await redis_client.xlen("orders") == 10
    ended = await run("trim", "orders", "--max-len", "2", "--exact", "--output", "json")
    (found,) = documents(ended.out)
    assert (found["settled"], found["unsettled"], found["left"], found["watermark"], found["dry_run"]) == (5, 0, 5, "6-0", False)
    ended = await run("trim", "orders", "--max-len", "2", "--hard", "--exact")
    assert (ended.code, ended.out) == (2, "")
    assert "2 entries of topic 'orders' that are not handled by every group will be lost" in ended.err
    ended = await run("trim", "orders", "--max-len", "2", "--hard", "--exact", "--yes")
    assert ended.out.splitlines()[0] == "trimmed  topic orders  removed 1 settled, 2 unsettled  left 2"
    assert (await run("trim", "orders", "--max-age", "7d", "--exact", "--output", "json")).code == 0
    await redis_client.xgroup_destroy("orders", "charge")
    assert "lost groups stop trimming: charge;" in (await run("trim", "orders", "--max-len", "1")).err


async def test_info_shows_what_waits_and_what_is_dead(run, redis_client, group):
    """Beside what is pending."""
    await bury(redis_client, letter(1), letter(2))
    copy = await redis_client.xadd(keys.parked("orders", "charge"), {"n": 1})
    await redis_client.zadd(keys.due("orders", "charge"), {copy: 1})
    ended = await run("info", "orders")
    assert ["GROUP", "LAG", "PENDING", "RETRY", "PARKED", "DUE", "DEAD", "CONSUMERS", "LAST", "DELIVERED"] in rows(ended.out)
    assert ["charge", "0", "0", "0", "1", "1", "2", "0", "0-0"] in rows(ended.out)
    (found,) = documents((await run("info", "orders", "--output", "json")).out)
    assert [found["groups"][0][name] for name in ("parked", "due", "dead", "living")] == [1, 1, 2, 0]
