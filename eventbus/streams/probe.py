"""What kind of server this is, and what of its configuration is dangerous for a bus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from eventbus.errors import ConfigurationError

if TYPE_CHECKING:
    from eventbus.streams.wire import Wire

FLOOR: Final = (6, 2)
"""The oldest server with the commands that are used here (XPENDING with exclusive ranges)."""


def version_text(version: tuple[int, ...]) -> str:
    """Write a version as people do: `6.2.14`."""
    return ".".join(map(str, version))


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What `INFO` tells that matters here.

    Attributes:
        version: Redis's version, or the one of Redis that a Valkey claims compatibility with.
        product: "redis" or "valkey".
        append_only: Whether an append-only file is written.
        memory: Bytes in use.
        maxmemory: Its limit in bytes, 0 for none.
        eviction: Its `maxmemory-policy`.
    """

    version: tuple[int, ...]
    product: str
    append_only: bool
    memory: int
    maxmemory: int
    eviction: str

    @property
    def version_text(self) -> str:
        """The version as people write it."""
        return version_text(self.version)


async def probe(wire: Wire) -> ServerFacts:
    """Ask the server what it is. One INFO, which managed Redis allows where CONFIG GET is refused.

    Raises:
        BackendUnavailable: No answer.
        ConfigurationError: The server is older than `FLOOR`.
    """
    facts = parse_info((await wire.one("INFO")).decode(errors="replace"))
    if facts.version < FLOOR:
        raise ConfigurationError(f"this Redis is {facts.version_text}; eventbus needs Redis {version_text(FLOOR)} or Valkey 7.2, or newer")
    return facts


def parse_info(text: str) -> ServerFacts:
    """Read the facts from the answer to `INFO`."""
    values = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    product = "valkey" if "valkey_version" in values else "redis"
    version = tuple(int(part) for part in values.get("redis_version", "0").split(".") if part.isdigit())
    return ServerFacts(
        version=version,
        product=product,
        append_only=values.get("aof_enabled") == "1",
        memory=int(values.get("used_memory", "0")),
        maxmemory=int(values.get("maxmemory", "0")),
        eviction=values.get("maxmemory_policy", "noeviction"),
    )


def dangers(facts: ServerFacts, *, in_memory: bool) -> list[str]:
    """Say what of a server's configuration can lose events, each with its remedy.

    Args:
        facts: What the server is.
        in_memory: The server keeps nothing on purpose (`embedded://`), so that persistence is no matter.
    """
    found: list[str] = []
    if not facts.append_only and not in_memory:
        # Measured: RDB only lost every event acknowledged since the last snapshot to a kill -9.
        found.append(
            "the append-only file is off: a crash of Redis loses events it confirmed; "
            "set `appendonly yes` (and `appendfsync everysec` or `always`)"
        )
    if facts.maxmemory and not facts.eviction.startswith(("noeviction", "volatile-")):
        found.append(
            f"maxmemory-policy is {facts.eviction}: Redis may evict a whole stream with its groups; set `maxmemory-policy noeviction`"
        )
    return found
