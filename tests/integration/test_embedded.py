"""The embedded server: real processes, killed for real."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from redis import Redis

import eventbus.errors
from eventbus.errors import BackendUnavailable, ConfigurationError
from eventbus.streams import embedded, private_server
from eventbus.streams.embedded import EmbeddedServer, acquire, start_embedded
from eventbus.streams.embedded_urls import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="processes are watched with Linux's pidfd")

DEADLINE = 30.0  # seconds; reached only by a failure

PEER = """
import json, os, sys
from eventbus.streams.embedded import acquire
server = acquire(sys.argv[1])
print(json.dumps({"url": server.url, "owned": server.owned}), flush=True)
"""
UNTIL_TOLD = PEER + "sys.stdin.read()\nserver.release()\n"
FORKING = (
    PEER
    + """
if os.fork() == 0:
    again = acquire(sys.argv[1])
    again.release()
    print(json.dumps({"pid": os.getpid(), "url": again.url, "owned": server.owned}), flush=True)
sys.stdin.read()
"""
)
IGNORING_CTRL_C = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n" + UNTIL_TOLD


class Peer:
    """Another process that uses an embedded server."""

    def __init__(self, url: str, script: str = UNTIL_TOLD, **environment: str) -> None:
        root = Path(eventbus.errors.__file__).parents[1]
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(root), **environment},
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        text = self.process.stdout.readline()
        if not text:
            _, errors = self.process.communicate(timeout=DEADLINE)
            pytest.fail(f"the peer ended: {errors}")
        return text

    def said(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.line())
        return answer

    def end(self) -> None:
        """Let it release its server and exit."""
        self.process.communicate(timeout=DEADLINE)
        assert self.process.returncode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE)


class Watched:
    """A process whose end can be waited for, though it is not our child."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)

    def ended(self, seconds: float = DEADLINE) -> bool:
        return bool(select.select([self._descriptor], [], [], seconds)[0])

    def kill(self) -> None:
        signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
        assert self.ended()


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    """Start peers; none of them is left."""
    peers: list[Peer] = []

    def start(*arguments: Any, **environment: str) -> Peer:
        peers.append(Peer(*arguments, **environment))
        return peers[-1]

    yield start
    for each in peers:
        each.kill()
        for stream in (each.process.stdin, each.process.stdout, each.process.stderr):
            if stream:
                stream.close()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """After each test this process uses no server and hands none on."""
    before = os.environ.pop(VARIABLE, None)
    shared_before = dict(embedded._state.shared)
    yield
    assert embedded._state.shared == shared_before
    assert VARIABLE not in os.environ
    if before is not None:
        os.environ[VARIABLE] = before


def client(url: str) -> Redis:
    return Redis.from_url(url, decode_responses=True)


def watched(url: str) -> tuple[Watched, Watched]:
    """Find the server behind a url, and its watchdog."""
    with client(url) as redis:
        pid = redis.info("server")["process_id"]
    parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
    return Watched(pid), Watched(int(parent))


def home(server: EmbeddedServer | dict[str, Any]) -> Path:
    url = server["url"] if isinstance(server, dict) else server.url
    return Path(url.removeprefix("unix://")).parent


def at(directory: Path) -> str:
    return f"embedded://{quote(str(directory))}"


def test_a_server_in_memory_is_private_and_writes_nothing() -> None:
    """Only its user reaches it, by a unix socket; neither snapshots nor an append-only file are kept."""
    with acquire("embedded://") as server, client(server.url) as redis:
        assert server.owned
        assert stat.S_IMODE(home(server).stat().st_mode) == 0o700
        settings = {**redis.config_get("appendonly"), **redis.config_get("save"), **redis.config_get("port")}
        assert settings == {"appendonly": "no", "save": "", "port": "0"}
        assert redis.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        info = redis.info("server")
        assert Path(info["executable"]) == Path(server.executable)
        assert server.version >= (6, 2, 0)


def test_users_in_one_process_share_a_server_until_the_last_one_leaves() -> None:
    """Leaving twice counts once; after the last the server, its watchdog and its directory are gone."""
    first, second = acquire("embedded://"), acquire("embedded://")
    assert first.url == second.url
    server, watchdog = watched(first.url)
    first.release()
    first.release()
    with client(second.url) as redis:
        assert redis.ping()
    second.release()
    assert server.ended(0)
    assert watchdog.ended(0)
    assert not home(second).exists()


@pytest.mark.asyncio
async def test_start_and_stop_serve_async_code() -> None:
    """The same server, from a running event loop."""
    server = await start_embedded("embedded://")
    process, _ = watched(server.url)
    await server.stop()
    assert process.ended(0)


@pytest.mark.asyncio
async def test_the_event_loop_turns_while_a_server_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The start waits for something only the loop can do."""
    turned = threading.Event()

    def acquired(_: str) -> bool:
        return turned.wait(DEADLINE)

    monkeypatch.setattr(embedded, "acquire", acquired)
    asyncio.get_running_loop().call_soon(turned.set)
    assert await start_embedded("embedded://")


def test_children_use_the_server_of_their_parent(peer: Callable[..., Peer]) -> None:
    """A child that asks for the same url joins, in memory too; its end leaves the server running."""
    with acquire("embedded://") as server:
        child = peer("embedded://")
        assert child.said() == {"url": server.url, "owned": False}
        child.end()
        with client(server.url) as redis:
            assert redis.ping()


def test_a_process_that_is_no_child_has_a_memory_of_its_own(peer: Callable[..., Peer]) -> None:
    """`embedded://` is shared by inheritance only."""
    with acquire("embedded://") as server:
        del os.environ[VARIABLE]
        assert peer("embedded://").said()["url"] != server.url


def test_a_child_whose_parents_server_is_gone_starts_another(peer: Callable[..., Peer]) -> None:
    """A handed-on url that nobody serves any more is passed over."""
    owner = peer("embedded://")
    gone = owner.said()["url"]
    owner.end()
    heir = peer("embedded://", **{VARIABLE: json.dumps({"embedded://": gone})})
    answer = heir.said()
    assert answer["owned"]
    assert answer["url"] != gone


def test_a_server_ends_with_its_killed_owner(peer: Callable[..., Peer]) -> None:
    """The owner can do nothing after kill -9, and yet neither server nor directory are left."""
    owner = peer("embedded://")
    answer = owner.said()
    server, watchdog = watched(answer["url"])
    owner.kill()
    assert server.ended()
    assert watchdog.ended()
    assert not home(answer).exists()


def test_a_server_ends_with_an_owner_that_exits_without_leaving(peer: Callable[..., Peer]) -> None:
    """The interpreter's exit is enough, and waits for the server's end."""
    owner = peer("embedded://", PEER + "sys.stdin.read()\n")
    answer = owner.said()
    server, _ = watched(answer["url"])
    owner.end()
    assert server.ended(0)
    assert not home(answer).exists()


def test_a_forked_child_uses_its_parents_server_and_does_not_keep_it(peer: Callable[..., Peer], tmp_path: Path) -> None:
    """A fork copies the pipe and the lock that mean ownership; the copy lets go of both."""
    owner = peer(at(tmp_path), FORKING)
    answer = owner.said()
    server, _ = watched(answer["url"])
    forked = owner.said()
    child = Watched(forked.pop("pid"))
    assert forked == {"url": answer["url"], "owned": False}
    owner.kill()
    with acquire(at(tmp_path)) as heir:
        assert heir.owned
        assert heir.url != answer["url"]
    assert server.ended()
    assert not child.ended(0)
    owner.process.stdin.close()  # type: ignore[union-attr]
    assert child.ended()


def test_the_exit_of_a_forked_child_leaves_the_server_running(peer: Callable[..., Peer]) -> None:
    """The child runs the interpreter's exit too, and must not take its parent's server along."""
    owner = peer("embedded://", PEER + "if os.fork():\n    os.wait()\n    print('null', flush=True)\n    sys.stdin.read()\n")
    answer = owner.said()
    assert owner.said() is None
    with client(answer["url"]) as redis:
        assert redis.ping()


def test_ctrl_c_in_the_terminal_does_not_end_the_server_before_its_owner(peer: Callable[..., Peer]) -> None:
    """A terminal signals the whole group; the owner may still want to drain."""
    owner = peer("embedded://", IGNORING_CTRL_C)
    answer = owner.said()
    server, _ = watched(answer["url"])
    os.killpg(owner.process.pid, signal.SIGINT)
    with client(answer["url"]) as redis:
        # Redis acts on a signal in its cron, ten times a second; this answer comes after several of them.
        assert redis.blpop(["nothing"], timeout=1) is None
    owner.end()
    assert server.ended(0)


def test_data_in_a_directory_outlives_the_server(tmp_path: Path) -> None:
    """What was written before an orderly stop is there at the next start; missing directories are made."""
    url = at(tmp_path / "not yet" / "there")
    with acquire(url) as server, client(server.url) as redis:
        assert redis.config_get("append*")["appendfsync"] == "everysec"
        redis.xadd("orders", {"n": 1})
    with acquire(url) as server, client(server.url) as redis:
        assert server.owned
        assert redis.xlen("orders") == 1


def test_data_in_a_directory_outlives_a_killed_owner(peer: Callable[..., Peer], tmp_path: Path) -> None:
    """The next start, even right after the kill, owns a new server that holds everything acknowledged.

    The old server still answers at that moment; joining it would mean to lose it at once.
    """
    owner = peer(at(tmp_path))
    answer = owner.said()
    with client(answer["url"]) as redis:
        for n in range(100):
            redis.xadd("orders", {"n": n})
    owner.kill()
    with acquire(at(tmp_path)) as server, client(server.url) as redis:
        assert server.owned
        assert server.url != answer["url"]
        assert redis.xlen("orders") == 100


def test_another_process_joins_the_server_of_a_directory(peer: Callable[..., Peer], tmp_path: Path) -> None:
    """It need not be a child, and may spell the directory otherwise; its end leaves the server running."""
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "data")
    with acquire(at(tmp_path / "data")) as server:
        del os.environ[VARIABLE]
        other = peer(at(link))
        assert other.said() == {"url": server.url, "owned": False}
        other.end()
        with client(server.url) as redis:
            assert redis.ping()


def test_processes_that_start_at_once_get_one_server(peer: Callable[..., Peer], tmp_path: Path) -> None:
    """One of them owns it, all others join."""
    racers = [peer(at(tmp_path)) for _ in range(5)]
    answers = [racer.said() for racer in racers]
    assert sorted(answer["owned"] for answer in answers) == [False] * 4 + [True]
    assert len({answer["url"] for answer in answers}) == 1


def test_what_a_crashed_machine_left_behind_is_no_obstacle(peer: Callable[..., Peer], tmp_path: Path) -> None:
    """A lock file that nobody holds and a socket that nobody serves are taken over; others find the new server."""
    stale = tmp_path / "eventbus-stale-with-a-longer-name-than-the-next"
    stale.mkdir()
    (stale / "owner").touch()
    (stale / "redis.sock").touch()
    (tmp_path / "eventbus.lock").write_text(f"unix://{stale}/redis.sock")
    with acquire(at(tmp_path)) as server:
        assert server.owned
        del os.environ[VARIABLE]
        assert peer(at(tmp_path)).said() == {"url": server.url, "owned": False}


def test_a_server_that_outlived_its_owner_and_its_watchdog_is_replaced(peer: Callable[..., Peer], tmp_path: Path) -> None:
    """Nobody owns it any more: it is ended, and its data is served by a new one."""
    owner = peer(at(tmp_path))
    answer = owner.said()
    orphan, watchdog = watched(answer["url"])
    watchdog.kill()
    owner.kill()
    with client(answer["url"]) as redis:
        redis.xadd("orders", {"n": 1})
    with acquire(at(tmp_path)) as server, client(server.url) as redis:
        assert orphan.ended()
        assert not home(answer).exists()
        assert server.owned
        assert redis.xlen("orders") == 1


def test_the_owner_ends_a_server_whose_watchdog_was_killed() -> None:
    """Leaving does not rely on the watchdog."""
    with acquire("embedded://") as server:
        process, watchdog = watched(server.url)
        watchdog.kill()
        with acquire("embedded://") as again:
            assert again.url == server.url
    assert process.ended()
    assert not home(server).exists()


def test_a_server_that_died_is_replaced_for_the_next_user(tmp_path: Path) -> None:
    """While the owner lives on, with the data the dead one had written."""
    first = acquire(at(tmp_path))
    with client(first.url) as redis:
        redis.xadd("orders", {"n": 1})
    watched(first.url)[0].kill()
    second = acquire(at(tmp_path))
    assert second.url != first.url
    first.release()
    with client(second.url) as redis:
        assert redis.xlen("orders") == 1
    second.release()


def test_a_long_data_path_is_no_obstacle(peer: Callable[..., Peer], tmp_path: Path) -> None:
    """A unix socket's path has about 100 bytes, so the socket is elsewhere; others find it all the same."""
    deep = tmp_path.joinpath(*["a directory with a long näme and 'quotes'"] * 6)
    with acquire(at(deep)) as server:
        assert len(server.url) < 110
        del os.environ[VARIABLE]
        assert peer(at(deep)).said() == {"url": server.url, "owned": False}


def test_a_long_temporary_directory_is_no_obstacle(peer: Callable[..., Peer], tmp_path: Path) -> None:
    """The socket then goes where paths are short."""
    deep = tmp_path.joinpath(*["long" * 10] * 3)
    deep.mkdir(parents=True)
    assert len(peer("embedded://", TMPDIR=str(deep)).said()["url"]) < 110


def test_a_server_that_ends_while_starting_is_shown_with_its_log(tmp_path: Path) -> None:
    """Damaged data: the reason is in the error, and nothing is left running or locked."""
    (tmp_path / "appendonly.aof").write_text("this is no append-only file\n")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"(?s)log ends with.*Bad file format"):
            acquire(at(tmp_path))


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file stands where the directory should be."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"cannot keep its data in .*file/data: Not a directory"):
        acquire(at(tmp_path / "file" / "data"))


def test_a_locked_directory_without_an_answer_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stranger holds the lock: no second server is started beside it."""
    monkeypatch.setattr(embedded, "START_TIMEOUT", 0.0)
    lock = embedded._locked(tmp_path)
    assert lock is not None
    with pytest.raises(BackendUnavailable, match="is locked by a server that does not answer"):
        acquire(at(tmp_path))
    os.close(lock)


def test_a_start_that_takes_too_long_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline passed: the server is ended and its directory removed."""
    homes: list[Path] = []

    def short() -> Path:
        homes.append(made())
        return homes[-1]

    made = private_server._home
    monkeypatch.setattr(private_server, "_home", short)
    monkeypatch.setattr(private_server, "START_TIMEOUT", 0.0)
    with pytest.raises(BackendUnavailable, match="did not answer within"):
        acquire("embedded://")
    assert not homes[0].exists()
