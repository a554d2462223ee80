"""The guide to troubleshooting shows what is really printed, in the very troubles it tells of."""

from __future__ import annotations

import asyncio
import logging
import re
import shlex
import shutil

import pytest
from redis.asyncio import Redis

from tests.servers import Server, newest_on_path, packaged
from tests.support.pages import ROOT, blocks, typed
from tests.support.troubles import TROUBLES, Shop

PAGE = ROOT / "docs" / "howto" / "troubleshooting.md"
ON_PAGES = re.compile(r"redis://(\w+:\w+@)?localhost:6379(?:/0)?")
LOGGED = re.compile(r"^    (?:DEBUG|INFO|WARNING|ERROR) +eventbus.*$", re.MULTILINE)

CHANGING = re.compile(
    r"""\d{4}-\d\d-\d\dT[\d:.]+Z         # times
    | \b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b  # event ids
    | \b\d{13}-\d+\b | \b\d{13}\b           # entry ids, milliseconds
    | \b\w+\.[\w-]+\.\d+\.[0-9a-f]{8}\b   # consumer names
    | \b\d+(\.\d+)?(ms|s)\b | \b\d+[mhd]\d+[msh]\b   # spans
    | \b\d+(\.\d+)?\ (B|KiB|MiB|GiB)(?!\w)      # sizes
    | \bredis\ \d+\.\d+\.\d+\b | \b(redis|unix)://\S*?(?=:?(\s|$))   # servers
    | (?<=\(integer\)\ )\d{2,}               # what grows: bytes, milliseconds
    | (?<=NOPERM\ )[^(]+                    # a sentence of Redis's that differs from version to version
    """,
    re.VERBOSE,
)


def masked(text):
    """A text without what differs from run to run; how columns are filled up differs, too."""
    lines = text.replace("tests.support.troubles.", "app.").splitlines()
    return [re.sub(r"\s+", " ", CHANGING.sub("~", line)).strip() for line in lines]


def sections():
    """The sections of the page that show commands: heading to text."""
    found = re.findall(r"^#{2,3} (.+)\n((?:(?!^#{2,3} ).*\n)*)", PAGE.read_text(), re.MULTILINE)
    return {heading: text for heading, text in found if "```console" in text}


@pytest.fixture(scope="module")
def server():
    """The newest server there is: older ones print less."""
    server = Server(newest_on_path() or packaged())
    yield server
    server.stop()


@pytest.fixture
def redis_url(server):
    """In the place of the fixture of that name, so that `run` uses it."""
    yield server.url
    server.flush()


async def typed_at(url, run, command):
    """What a command prints, where the page's server is the test's."""
    words = shlex.split(ON_PAGES.sub(lambda found: url.replace("unix://", f"unix://{found[1] or ''}"), command))
    if words[0] == "eventbus":
        ended = await run(*words[1:])
        return ended.out + ended.err
    assert words[0] == "redis-cli", command
    program = shutil.which("redis-cli") or packaged().path.with_name("redis-cli")
    # As in a terminal: numbered, and texts quoted.
    process = await asyncio.create_subprocess_exec(
        program, "-s", url.removeprefix("unix://"), "--no-raw", *words[1:], stdout=asyncio.subprocess.PIPE
    )
    return (await process.communicate())[0].decode()


@pytest.mark.parametrize("heading", TROUBLES)
async def test_what_the_page_shows_is_printed(heading, redis_url, run, caplog):
    """Line by line, ids, times and sizes aside; and every log line it quotes was written."""
    caplog.set_level(logging.INFO, "eventbus")
    text = sections()[heading]
    async with Redis.from_url(redis_url, decode_responses=True) as redis, TROUBLES[heading](Shop(redis_url, redis)):
        for each in [each for block in blocks(text) for each in typed(block.text)]:
            printed = await typed_at(redis_url, run, each.command)
            assert masked("\n".join(each.shown)) == masked(printed), f"{each.command} prints:\n{printed}"
    logged = {line for record in caplog.records for line in masked(f"{record.levelname} {record.name}: {record.getMessage()}")}
    assert set(masked("\n".join(LOGGED.findall(text)))) <= logged


def test_every_transcript_of_the_page_is_one_of_a_trouble():
    """So that none goes untested."""
    assert list(sections()) == list(TROUBLES)
