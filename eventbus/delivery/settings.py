"""A bus's settings: the argument, else the `EVENTBUS_*` variable, else the default."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from eventbus.errors import ConfigurationError
from eventbus.events import check_name, is_count, is_seconds, is_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


SHORTEST_LEASE: Final = 1.0
"""Seconds. A third of it passes between heartbeats, a sixth at most between tries to reconnect."""

LONGEST_LEASE: Final = 3_600.0
"""Seconds. A handler may run for days on any lease; a longer one only keeps a dead worker's events waiting, and is
usually meant in milliseconds."""

_N = TypeVar("_N", int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a bus can be told, checked.

    Attributes:
        url: Where Redis is. No default: a bus never picks a server by itself.
        service: The name of the service; the `source` of its events, the prefix of its groups and consumers.
        prefix: Put before every topic's name, for several environments on one Redis. Default none.
        lease: Seconds after which a pending entry of a silent consumer may be claimed. Default 30.
        claim_interval: Seconds between sweeps for stale entries. Default 5.
        drain: Seconds that handlers get to finish at shutdown. Default 25.
        max_event_bytes: Largest entry that is published. Default 1 MiB.
        concurrency: Handlers of one subscription that run at a time, where it does not say. Default 32.
        prefetch: Entries read ahead of the handlers. Default: what they finish in a tenth of a second, at least
            twice the concurrency, at most 1,000.
    """

    url: str = field(repr=False)  # it may hold a password
    service: str
    prefix: str = ""
    lease: float = 30.0
    claim_interval: float = 5.0
    drain: float = 25.0
    max_event_bytes: int = 1_048_576
    concurrency: int = 32
    prefetch: int | None = None


def _text(value: object) -> str:
    if not is_text(value):
        raise ValueError("a text that is not empty is expected")
    return str(value)


def _prefix(value: object) -> str:
    return "" if value == "" else check_name("prefix", _text(value))


def _service(value: object) -> str:
    return check_name("service", _text(value))


def _seconds(value: object) -> float:
    wanted = "a number of seconds above 0 is expected"
    number = _number(float, value, wanted)
    if not is_seconds(number):
        raise ValueError(wanted)
    return number


def _lease(value: object) -> float:
    seconds = _seconds(value)
    if seconds < SHORTEST_LEASE:
        raise ValueError(f"at least {SHORTEST_LEASE:g} s are needed: heartbeats and reconnects are shares of it")
    if seconds > LONGEST_LEASE:
        raise ValueError(f"at most {LONGEST_LEASE:g} s: it is given in seconds, and handlers may run longer on any lease")
    return seconds


def _count(value: object) -> int:
    wanted = "a whole number, at least 1, is expected"
    number = _number(int, value, wanted)
    if not is_count(value if isinstance(value, float) else number):
        raise ValueError(wanted)
    return number


def _number(kind: Callable[[Any], _N], value: object, wanted: str) -> _N:
    if isinstance(value, bool):
        raise ValueError(wanted)  # noqa: TRY004 - one kind of complaint for every bad value
    try:
        return kind(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(wanted) from None


_READERS: Final[Mapping[str, Callable[[object], Any]]] = {
    "url": _text,
    "service": _service,
    "prefix": _prefix,
    "lease": _lease,
    "claim_interval": _seconds,
    "drain": _seconds,
    "max_event_bytes": _count,
    "concurrency": _count,
    "prefetch": _count,
}

_MISSING: Final = {
    "url": (
        "no Redis url: pass EventBus('redis://localhost:6379', …) or set EVENTBUS_URL; to try things out without a server use 'embedded://'"
    ),
    "service": "no service name: pass EventBus(…, service='billing') or set EVENTBUS_SERVICE",
}


def check_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Check the arguments that were given (those that are not None).

    Raises:
        ConfigurationError: Names the argument, its value (never the url's) and what is expected.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    return {name: _read(name, value, f"{name}=") for name, value in given.items()}


def resolve(arguments: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Complete checked arguments by variables and defaults.

    Args:
        arguments: What `check_arguments` returned.
        environment: Usually `os.environ`. An empty variable counts as not set.

    Raises:
        ConfigurationError: A bad variable, by its name; or no url, no service anywhere.
    """
    found = dict(arguments)
    for name in _READERS:
        variable = f"EVENTBUS_{name.upper()}"
        if name not in found and environment.get(variable):
            found[name] = _read(name, environment[variable], f"{variable}=")
    for name, message in _MISSING.items():
        if name not in found:
            raise ConfigurationError(message)
    return Settings(**found)


def _read(name: str, value: object, label: str) -> Any:
    try:
        return _READERS[name](value)
    except (ValueError, ConfigurationError) as error:
        # A url may hold a password, so its value is never shown.
        shown = "…" if name == "url" else repr(value)
        raise ConfigurationError(f"{label}{shown}: {error}") from None
