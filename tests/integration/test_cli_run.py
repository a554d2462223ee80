"""`eventbus run`: one process, several, and one that follows the source."""

from __future__ import annotations

import json
import os
import re
import signal

import pytest
import pytest_asyncio

from tests.servers import GIVEN
from tests.support.commands import Command, gone

APP = """
import os, sys
from contextlib import asynccontextmanager
from eventbus import Event, EventBus

def say(*words):
    os.write(1, f"{' '.join(map(str, words))}\\n".encode())  # one write: lines of several workers do not mix

class Said(Event, topic="said"):
    word: str

@asynccontextmanager
async def lifespan(bus):
    say("up", os.getpid(), os.environ.get("EVENTBUS_EMBEDDED_SERVERS", ""))
    yield
    say("down", os.getpid())

bus = EventBus(URL, service="shop", lifespan=lifespan)

@bus.subscribe(Said, group="hear")
async def hear(event: Said) -> None:
    print("heard", event.word, flush=True)
"""

# What is tested here does not depend on the server's version.
one_server = pytest.mark.parametrize("shared_server", ["given" if os.environ.get(GIVEN) else "embedded"], indirect=True)
needs_pidfd = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="processes are watched with Linux's pidfd")


@pytest_asyncio.fixture
async def start(tmp_path):
    """Starts `eventbus run app:bus …` in a directory with that program."""
    commands = []

    async def start(*arguments, app=APP, in_code=None, **options):
        (tmp_path / "app.py").write_text(app.replace("URL", repr(in_code)))
        commands.append(await Command.start("run", "app:bus", *arguments, cwd=tmp_path, **options))
        return commands[-1]

    yield start
    for command in commands:
        await command.kill()


async def pids(command, count):
    """The workers, as their lifespans say."""
    return {int((await command.line("up")).split()[1]) for _ in range(count)}


# -- one process


@one_server
async def test_a_bus_runs_until_sigterm_and_handles_what_the_command_line_published(start, redis_url, tmp_path):
    """Import, consume, drain, exit code 0; logs go to standard error, as JSON where asked for."""
    service = await start("--log-format", "json", url=redis_url)
    await service.line("up")
    published = await (await Command.start("publish", "app:Said", '{"word": "hello"}', cwd=tmp_path, url=redis_url)).ended()
    assert published.code == 0
    assert await service.line("heard") == "heard hello"
    service.terminate()
    ended = await service.ended()
    assert ended.code == 0
    assert re.fullmatch(r"down \d+\n", ended.out)
    logs = [json.loads(line) for line in (service.seen + ended.err).splitlines() if line.startswith("{")]
    assert "SIGTERM: finishing what is in hand" in [each["message"] for each in logs]


@one_server
async def test_ctrl_c_ends_a_bus_like_sigterm(start, redis_url):
    """Exit code 0, without a traceback."""
    service = await start(url=redis_url)
    await service.line("up")
    service.interrupt()
    ended = await service.ended()
    assert (ended.code, "Traceback" in ended.err) == (0, False)


@pytest.mark.parametrize(
    ("app", "options", "code", "said"),
    [
        ("", (), 2, "has no 'bus'"),
        ("import no_such_thing", (), 2, "app.py:1: ModuleNotFoundError: No module named 'no_such_thing'"),
        ("import no_such_thing", ("--workers", "3"), 2, "app.py:1: ModuleNotFoundError: No module named 'no_such_thing'"),
        (
            "from eventbus import EventBus\nbus = EventBus('redis://u:secret@h', service='x')",
            ("--url", "redis://h"),
            2,
            "own url",
        ),
        ("from eventbus import EventBus\nbus = EventBus('redis://h')", (), 2, "EVENTBUS_SERVICE"),
        ("from eventbus import EventBus\nbus = EventBus(service='x')", (), 2, "embedded://"),
    ],
)
async def test_what_cannot_run_is_said_in_one_sentence(start, app, options, code, said):
    """Once, whatever the number of workers, and without a password."""
    ended = await (await start(*options, app=app)).ended()
    assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1)
    assert said in ended.err
    assert "secret" not in ended.err


@one_server
async def test_options_reach_a_bus_that_does_not_name_its_own(start, redis_url, redis_client):
    """`--url` and `--prefix`, also in workers."""
    for more in ((), ("--workers", "1")):
        service = await start("--url", redis_url, "--prefix", "test.", *more)
        await service.line("up")
        await redis_client.xadd("test.said", {"specversion": "1.0", "id": "1", "type": "Said", "source": "/t", "data": '{"word":"x"}'})
        assert await service.line("heard") == "heard x"
        service.terminate()
        assert (await service.ended()).code == 0


@one_server
async def test_a_thread_that_does_not_end_does_not_keep_the_process(start, redis_url, redis_client):
    """Python would wait for it for ever; the log names the handler, and the exit code is 1."""
    app = APP.replace("async def hear", "def hear").replace(
        'print("heard"', 'print("holding", flush=True); import threading; threading.Event().wait(); print("heard"'
    )
    service = await start(app=app, url=redis_url, EVENTBUS_DRAIN="0.2")
    await service.line("up")
    await redis_client.xadd("said", {"specversion": "1.0", "id": "1", "type": "Said", "source": "/t", "data": '{"word":"x"}'})
    await service.line("holding")
    service.terminate()
    ended = await service.ended()
    assert ended.code == 1
    assert "1 threads of handler app.hear still run" in ended.err
    assert (await redis_client.xpending("said", "hear"))["pending"] == 1  # left to the lease


# -- workers


@one_server
async def test_sigterm_ends_all_workers_with_exit_code_0(start, redis_url):
    """The first signal lets each of them drain; the parent waits for all."""
    parent = await start("--workers", "3", url=redis_url)
    workers = await pids(parent, 3)
    parent.terminate()
    ended = await parent.ended()
    assert ended.code == 0
    assert {int(line.split()[1]) for line in ended.out.splitlines() if line.startswith("down")} == workers
    assert ended.err.count("ended with exit code 0") == 3


@one_server
@needs_pidfd
async def test_a_killed_worker_is_replaced_and_the_others_stay(start, redis_url):
    """The log says how it ended."""
    parent = await start("--workers", "2", url=redis_url)
    first, second = await pids(parent, 2)
    os.kill(first, signal.SIGKILL)
    said = await parent.error("SIGKILL")
    assert re.search(r"worker [12] was killed by SIGKILL after \d+\.\d s; starting again in 0\.[2-5] s", said)
    (third,) = await pids(parent, 1)
    assert third not in (first, second)
    os.kill(second, 0)
    parent.terminate()
    assert (await parent.ended()).code == 0


@one_server
async def test_a_second_signal_does_not_wait_for_handlers(start, redis_url, redis_client):
    """A handler that would never return is cancelled at once; its entry goes to whoever is next."""
    app = APP.replace('print("heard"', 'import anyio; print("holding", flush=True); await anyio.sleep_forever(); print("heard"')
    parent = await start("--workers", "1", app=app, url=redis_url)
    (worker,) = await pids(parent, 1)
    await redis_client.xadd("said", {"specversion": "1.0", "id": "1", "type": "Said", "source": "/t", "data": '{"word":"x"}'})
    await parent.line("holding")
    # Both signals wait for the worker at once, as they do when it is busy: of two equal ones it would see one.
    os.kill(worker, signal.SIGSTOP)
    parent.interrupt()
    await parent.error("SIGINT: finishing what is in hand")
    parent.terminate()  # another signal: the same one twice in a moment counts once
    await parent.error("SIGTERM again")
    os.kill(worker, signal.SIGCONT)
    ended = await parent.ended()
    assert ended.code == 0
    assert "worker 1 ended with exit code 0" in ended.err
    assert (await redis_client.xpending("said", "hear"))["pending"] == 0
    assert await redis_client.xlen("{said}:retry:hear") == 1  # released, for whoever is next


@one_server
async def test_ctrl_c_in_a_terminal_reaches_workers_once(start, redis_url, redis_client, tmp_path):
    """It goes to the whole process group; a worker that saw it beside the one passed on would cut its drain."""
    holding = 'import anyio; print("holding", flush=True)\n    while not os.path.exists("go"): await anyio.sleep(0.01)\n    print("heard"'
    parent = await start("--workers", "1", app=APP.replace('print("heard"', holding), url=redis_url)
    await parent.line("up")
    await redis_client.xadd("said", {"specversion": "1.0", "id": "1", "type": "Said", "source": "/t", "data": '{"word":"x"}'})
    await parent.line("holding")
    os.killpg(parent.process.pid, signal.SIGINT)
    await parent.error("finishing what is in hand")
    await parent.error("finishing what is in hand")
    (tmp_path / "go").touch()
    assert await parent.line("heard") == "heard x"
    assert (await parent.ended()).code == 0
    assert (await redis_client.xpending("said", "hear"))["pending"] == 0


@one_server
@needs_pidfd
async def test_workers_end_when_their_parent_is_killed(start, redis_url):
    """Nobody would replace or stop them."""
    parent = await start("--workers", "2", url=redis_url)
    workers = await pids(parent, 2)
    parent.process.kill()
    for pid in workers:
        await gone(pid)
    ended = await parent.ended()
    assert ended.out.count("down") == 2


@one_server
async def test_a_configuration_that_cannot_work_ends_all_workers_with_2(start, redis_url):
    """A restart would end the same way; here the workers see another environment than their parent."""
    only_there = "if any(thread.name == 'eventbus parent' for thread in threading.enumerate()): raise ValueError('only here')"
    app = f"{APP}\nimport threading\n{only_there}\n"
    ended = await (await start("--workers", "2", app=app, url=redis_url)).ended()
    assert ended.code == 2
    assert "ValueError: only here" in ended.err
    assert "starting it again would not help" in ended.err


async def test_workers_share_the_embedded_server_of_their_parent(start):
    """Also where the url is in code; else each would have a server of its own."""
    parent = await start("--workers", "2", in_code="embedded://")
    servers = {(await parent.line("up")).split(maxsplit=2)[2] for _ in range(2)}
    assert len(servers) == 1
    assert "unix://" in servers.pop()
    parent.terminate()
    assert (await parent.ended()).code == 0


# -- reload


@one_server
async def test_a_changed_source_starts_the_program_again(start, redis_url, tmp_path):
    """One that fails is said, and waits for the next change."""
    parent = await start("--reload", url=redis_url)
    (first,) = await pids(parent, 1)
    (tmp_path / "app.py").write_text("import no_such_thing")
    assert await parent.line("down") == f"down {first}"
    await parent.error("app.py changed: starting again")
    await parent.error("No module named 'no_such_thing'")
    await parent.error("ended with exit code 2; waiting for a change")
    (tmp_path / "app.py").write_text(APP.replace("URL", "None"))
    (second,) = await pids(parent, 1)
    assert second != first
    parent.terminate()
    assert (await parent.ended()).code == 0
