"""Every code block of the README and of the guides is run, as a reader would run it."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.servers import Server, packaged
from tests.support.commands import Command
from tests.support.pages import ROOT, Page, blocks, typed

pytestmark = pytest.mark.timeout(180)  # a page starts a dozen processes, one after another

DOCS = ROOT / "docs"

SKETCHES = {DOCS / "design.md", DOCS / "protocol.md"}
"""They draw what is going to be, beside what is; their blocks are no programs yet."""

TRANSCRIPTS = {DOCS / "cli.md"}
"""Transcripts with crashes and mistakes in them. The commands have tests of their own; here their spelling is held."""

COMPARED = {DOCS / "howto" / "troubleshooting.md"}
"""Transcripts of troubles, which `test_troubleshooting.py` brings about to compare what is printed."""

FAMILIES = {"dead", "groups"}
"""Commands that have commands of their own."""

EVERY_PAGE = [ROOT / "README.md", ROOT / "services" / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
PAGES = [page for page in EVERY_PAGE if page not in SKETCHES | TRANSCRIPTS | COMPARED]


def name(page):
    return str(page.relative_to(ROOT))


@pytest.fixture
def url():
    """The packaged server stands where pages say `redis://localhost:6379`."""
    server = Server(packaged())
    yield server.url
    server.stop()


@pytest.mark.parametrize("path", PAGES, ids=name)
async def test_every_block_of_the_page_runs(path, url, tmp_path):
    """From top to bottom; commands succeed, and what the page shows is printed."""
    await Page(path, url=url, folder=tmp_path).run()


@pytest.mark.parametrize("path", sorted(TRANSCRIPTS), ids=name)
async def test_every_command_of_a_transcript_exists(path, tmp_path):
    """Each command and each option is one that its `--help` names."""
    commands = [shlex.split(each.command) for block in blocks(path.read_text()) for each in typed(block.text)]
    ours = [words for words in commands if words[0] == "eventbus"]
    assert ours
    for command in sorted({_command(words) for words in ours}):
        ended = await (await Command.start(*command, "--help", cwd=tmp_path)).ended()
        assert ended.code == 0, ended
        used = {word.partition("=")[0] for words in ours if _command(words) == command for word in words if word.startswith("--")}
        assert used <= set(re.findall(r"--[a-z-]+", ended.out)), command


def _command(words):
    """`eventbus dead list …` is the command `dead list`."""
    return tuple(words[1:3]) if words[1] in FAMILIES else (words[1],)


@pytest.mark.parametrize("path", EVERY_PAGE, ids=name)
def test_links_between_pages_lead_somewhere(path):
    """Each relative link names a file or a folder, and a heading that the page has."""
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", path.read_text()):
        file, _, heading = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), link
        if heading:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}, link


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```yaml\na: 1\n```\n", "nobody runs a block of 'yaml'"),
        ("```\nplain\n```\n", "nobody runs a block of 'no language'"),
        ("  ```python\n  indented\n  ```\n", "a fence is indented, or not closed"),
        ("```console\n$ curl example\n```\n", "nobody runs 'curl example'"),
        ("```console\n$ pip install 'eventbus[everything]'\n```\n", "extras that do not exist: {'everything'}"),
        ("```console\n$ make no-such-target\n```\n", "make no-such-target ended with 2"),
        ("```console\n$ python -c 'raise SystemExit(3)'\n```\n", "ended with 3"),
        ("```python\nnumber = 1\n```\n\n```python\nassert number == 2\n```\n", ""),
    ],
)
async def test_a_block_that_is_wrong_or_unknown_fails(tmp_path, text, complaint):
    """Else a page could go untested without anybody noticing."""
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(AssertionError) as failure:
        await Page(page, url="", folder=tmp_path).run()
    assert complaint in str(failure.value)


async def test_output_that_is_shown_but_not_printed_fails(tmp_path):
    """What a page shows below a command is looked for."""
    page = tmp_path / "page.md"
    page.write_text("```console\n$ python -c 'print(1)'\n2\n```\n")
    with pytest.raises(AssertionError, match="nobody printed '2', but:\n1"):
        await Page(page, url="", folder=tmp_path).run()
