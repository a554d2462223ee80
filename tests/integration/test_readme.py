"""Every code block of the README and of the guides is run, as a reader would run it."""

from __future__ import annotations

import pytest

from tests.servers import Server, packaged
from tests.support.pages import ROOT, Page

SKETCHES = {"design.md", "protocol.md"}
"""They draw what is going to be, beside what is; their blocks are no programs yet."""

PAGES = [ROOT / "README.md", *sorted(page for page in (ROOT / "docs").rglob("*.md") if page.name not in SKETCHES)]


@pytest.fixture
def url():
    """The packaged server stands where pages say `redis://localhost:6379`."""
    server = Server(packaged())
    yield server.url
    server.stop()


@pytest.mark.parametrize("path", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES])
async def test_every_block_of_the_page_runs(path, url, tmp_path):
    """From top to bottom; commands succeed, and what the page shows is printed."""
    await Page(path, url=url, folder=tmp_path).run()


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
