"""Lua scripts by name: sent by their hash, loaded when the server does not know them."""

from __future__ import annotations

from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from eventbus.errors import BackendRefused

if TYPE_CHECKING:
    from collections.abc import Sequence


class Caller(Protocol):
    """What sends a command and returns its reply: a `Wire`, or the first turn on a new connection of one."""

    async def one(self, *words: str | bytes | int) -> Any:
        """Send one command; raises as `Wire.one`."""
        ...


class Script(NamedTuple):
    """A script's text and the hash by which the server knows it."""

    source: str
    sha: str


@cache
def script(name: str) -> Script:
    """Read `lua/<name>.lua` from the package."""
    source = (files("eventbus.streams") / "lua" / f"{name}.lua").read_text(encoding="utf-8")
    return Script(source, sha1(source.encode(), usedforsecurity=False).hexdigest())


async def load_script(wire: Caller, name: str) -> None:
    """Make a script known to the server, for commands that are packed beforehand; raises as `run_script`."""
    await wire.one("SCRIPT", "LOAD", script(name).source)


async def run_script(wire: Caller, name: str, keys: Sequence[str | bytes], arguments: Sequence[str | bytes | int]) -> Any:
    """Run a script.

    A restarted or promoted server has forgotten it and answers NOSCRIPT, having done nothing: then the
    text itself is sent, which also loads it.

    Raises:
        BackendUnavailable: No answer; the script may have run.
        BackendRefused: Redis answered with an error.
    """
    text = script(name)
    rest = (len(keys), *keys, *arguments)
    try:
        return await wire.one("EVALSHA", text.sha, *rest)
    except BackendRefused as error:
        if error.code != "NOSCRIPT":
            raise
    return await wire.one("EVAL", text.source, *rest)
