"""What a durability is in Redis's words: the command that waits for it, and the servers that have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventbus.delivery import Replicated
from eventbus.errors import ConfigurationError
from eventbus.streams import ServerFacts, pack

if TYPE_CHECKING:
    from eventbus.delivery import Durability

WAITAOF_SINCE: Final = (7, 2)

NO_FILE: Final = "its append-only file is off: set `appendonly yes`"


def wait(durability: Durability, seconds: float) -> bytes:
    """The command that waits so long, for the writes of its own connection."""
    milliseconds = max(1, int(seconds * 1000))  # 0 would wait for ever
    if isinstance(durability, Replicated):
        return pack(b"WAIT", durability.replicas, milliseconds)
    return pack(b"WAITAOF", 1, 0, milliseconds)


def counted(reply: int | list[int]) -> int:
    """How many copies the answer to `wait` names: of WAIT replicas, of WAITAOF the disk of this server."""
    return reply if isinstance(reply, int) else reply[0]


def copies(durability: Durability) -> int:
    """How many copies beside the primary's memory are asked for."""
    return durability.replicas if isinstance(durability, Replicated) else 1


def spelled(durability: Durability) -> str:
    """As it stands in messages."""
    if not isinstance(durability, Replicated):
        return durability
    return "1 replica" if durability.replicas == 1 else f"{durability.replicas} replicas"


def check_fsync(facts: ServerFacts) -> None:
    """Refuse a server that has no WAITAOF, or no file.

    Raises:
        ConfigurationError: This server cannot do "fsync".
    """
    if facts.version < WAITAOF_SINCE:
        found = f"this {facts.product.capitalize()} is {'.'.join(map(str, facts.version))}"
        raise ConfigurationError(
            f'durability="fsync" needs WAITAOF of Redis 7.2 or Valkey 7.2, and {found}; nothing was written. '
            "Upgrade it; or set `appendfsync always`, so that every confirmed event is on disk, and leave out durability"
        )
    if not facts.append_only:
        raise ConfigurationError(f'durability="fsync" cannot be had of this server, {NO_FILE}; nothing was written')
