"""The demo, run as a newcomer runs it: its numbers, its exit codes, and that it notices what is lost."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(180)  # whole services start, work, drain and end in it


@asynccontextmanager
async def demo(*arguments):
    """The demo with its output piped; ended, if a test leaves early, so that nothing stays behind."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.demo", *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            process.terminate()
        await process.communicate()


async def played(*arguments):
    """(exit code, output, published, handled, missing) of a demo that ends by itself."""
    async with demo(*arguments) as process:
        output = (await process.communicate())[0].decode()
    return process.returncode, output, *totals(output)


def totals(output):
    """The three numbers of the very last line."""
    last = output.splitlines()[-1]
    found = re.fullmatch(r"published (\d+) handled (\d+) missing (\d+)", last)
    assert found, output
    return tuple(int(number) for number in found.groups())


async def test_the_demo_kills_busy_workers_and_nothing_is_missing():
    """Workers that hold entries are killed with -9 all the time, and every group still handles everything."""
    code, output, published, handled, missing = await played("--seconds", "10", "--kill-every", "1.5")
    assert (code, missing) == (0, 0), output
    assert published == handled > 300, output
    replaced = int(re.search(r"^(\d+) workers killed while they held entries$", output, re.MULTILINE)[1])
    assert replaced >= 3, output
    assert len(re.findall(r"killed \(-9\) while it held [1-9]\d* entr", output)) == replaced, output


async def test_the_demo_notices_a_bus_that_acknowledges_too_early():
    """A bus that acknowledges before the handler has run loses what a killed worker held: named, and exit code 1."""
    code, output, published, handled, missing = await played(
        "--seconds", "10", "--kill-every", "1", "--stall", "8", "--app", "payments=tests.support.hasty:bus", "--kill", "payments"
    )
    assert code == 1, output
    assert missing == published - handled > 0, output
    assert "nothing has moved for 8 s" in output
    assert re.search(r"^missing in orders/payments: OrderCreated [0-9a-f-]{36}", output, re.MULTILINE), output


async def test_a_service_that_does_not_start_ends_the_demo_with_its_log():
    """The log says what is wrong; the demo does not wait for it."""
    code, output, *numbers = await played("--seconds", "600", "--app", "shipping=services.shipping.nowhere:bus")
    assert code == 1, output
    assert numbers == [0, 0, 0]
    assert "ended by itself" in output
    assert "nowhere" in output.partition("its log ends:")[2]


async def test_ctrl_c_drains_and_ends_with_the_same_last_line():
    """Workers stay until orders that were under way have come to their end, however slow one of them is."""
    async with demo("--app", "payments=tests.support.slow:bus") as process:
        seen = b""
        while not re.search(rb"running +published [1-9]", seen):
            line = await process.stdout.readline()
            assert line, seen
            seen += line
        os.kill(process.pid, signal.SIGINT)
        output = (await process.communicate())[0].decode()
    published, handled, missing = totals(output)
    assert process.returncode == 0, output
    assert published == handled > 0
    assert missing == 0


async def test_a_wrong_app_is_refused_before_anything_starts():
    """The names that exist are given."""
    async with demo("--app", "billing=somewhere:bus") as process:
        output = (await process.communicate())[0].decode()
    assert process.returncode == 2
    assert "NAME being one of devices, shop, sensors, payments" in output
