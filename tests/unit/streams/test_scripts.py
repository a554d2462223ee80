"""The Lua scripts: their heads, and how they are sent."""

from __future__ import annotations

import re
from hashlib import sha1
from importlib.resources import files

import pytest

from eventbus.errors import BackendRefused
from eventbus.streams.scripts import run_script, script

NAMES = sorted(path.name.removesuffix(".lua") for path in (files("eventbus.streams") / "lua").iterdir())


def head_of(name):
    return script(name).source.split("\n", 1)[0], re.match(r"(--.*\n)+", script(name).source)[0]


def test_there_are_scripts():
    """Else the tests below show nothing."""
    assert {"ack", "claim", "ensure_group", "move", "trim"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_script_begins_with_its_purpose_keys_arguments_answer_and_reason(name):
    """Whoever reads it need not read the caller."""
    first, head = head_of(name)
    assert re.fullmatch(r"-- [A-Z].*[a-z,.:]", first)
    for part in (r"^-- KEYS  1 ", r"^-- ARGV  (1 |for each )", r"^-- Returns ", r"^-- (Atomic|A script) because: "):
        assert re.search(part, head, re.MULTILINE), f"{name}.lua has no line {part}"


@pytest.mark.parametrize("name", NAMES)
def test_a_script_names_every_key_and_argument_it_uses(name):
    """Numbered as in the head; more than one key that a number does not name is `then`."""
    _, head = head_of(name)
    body = script(name).source.removeprefix(head)
    for kind in ("KEYS", "ARGV"):
        used = {int(number) for number in re.findall(rf"{kind}\[(\d+)\]", body)}
        described = re.search(rf"-- {kind}  (.*(?:\n--       .*)*)", head)[1]
        named = {int(number) for number in re.findall(r"(?:^|  )(\d+)…? ", described)}
        assert used <= named, f"{name}.lua uses {kind} {used - named} without a word"


@pytest.mark.parametrize("name", NAMES)
def test_a_script_touches_only_keys_that_it_was_given(name):
    """A cluster refuses others: no key is put together in a script."""
    for call in re.findall(r"redis\.p?call\(([^)]*)\)", script(name).source):
        command, *rest = [part.strip() for part in call.split(",")]
        if command == "'TIME'":
            continue
        first = rest[rest.index("'STREAMS'") + 1] if "'STREAMS'" in rest else rest[1] if command in ("'XGROUP'", "'XINFO'") else rest[0]
        # `key` is a parameter, `asked` a table of KEYS by group, `streams` one by priority.
        assert first.startswith(("KEYS[", "asked[", "streams[")) or first == "key", f"{name}.lua: {call}"


class Server:
    """A wire whose server knows some scripts."""

    def __init__(self, *known):
        self.known = set(known)
        self.sent = []

    async def one(self, *words):
        self.sent.append(words)
        if words[0] == "EVALSHA" and words[1] not in self.known:
            raise BackendRefused("no such script", code="NOSCRIPT")
        return b"done"


async def test_a_known_script_is_sent_by_its_hash_alone():
    """Forty bytes in place of a page."""
    text = script("ack")
    assert text.sha == sha1(text.source.encode()).hexdigest()
    server = Server(text.sha)
    assert await run_script(server, "ack", ("stream", "hash"), ("g", b"t", 1)) == b"done"
    assert server.sent == [("EVALSHA", text.sha, 2, "stream", "hash", "g", b"t", 1)]


async def test_a_server_that_forgot_a_script_is_sent_its_text_once():
    """After a restart or a failover; NOSCRIPT means that nothing was done."""
    text, server = script("ack"), Server()
    assert await run_script(server, "ack", ("stream",), ("g",)) == b"done"
    assert server.sent == [("EVALSHA", text.sha, 1, "stream", "g"), ("EVAL", text.source, 1, "stream", "g")]


async def test_any_other_refusal_of_a_script_is_raised():
    """It is an answer, not a lost script: nothing is sent again."""
    sent = []

    class Refusing:
        async def one(self, *words):
            sent.append(words[0])
            raise BackendRefused("full", code="OOM")

    with pytest.raises(BackendRefused, match="full"):
        await run_script(Refusing(), "ack", ("stream",), ("g",))
    assert sent == ["EVALSHA"]
