"""What is measured together, taking turns: only numbers of one heat are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from benchmarks.cases import CASES, Case
from benchmarks.contenders import CONTENDERS, OURS, Contender


@dataclass(frozen=True, slots=True)
class Entrant:
    """A contender in a case."""

    case: Case
    contender: Contender

    @property
    def name(self) -> str:
        """What results call it."""
        return f"{self.case.name}/{self.contender.name}"


@dataclass(frozen=True, slots=True)
class Heat:
    """Entrants that take turns: A, B, C and again."""

    name: str
    entrants: tuple[Entrant, ...]


def entrant(name: str) -> Entrant:
    """An entrant by its name, "case/contender".

    Raises:
        KeyError: There is no such case or contender.
    """
    case, _, contender = name.partition("/")
    return Entrant(CASES[case], CONTENDERS[contender])


def heat(name: str, *names: str) -> Heat:
    """A heat of entrants by their names; those without a case are contenders in the case that the heat is named after."""
    return Heat(name, tuple(entrant(each if "/" in each else f"{name}/{each}") for each in names))


TABLE: Final = (
    heat("consume-once", OURS, "bare", "faststream"),
    heat("consume-plain", OURS, "bare", "faststream", "faststream-batch", "hiredis"),
    heat("consume-1ms", OURS, "bare"),
    heat("publish-100", OURS, "publish-gather/ours", "faststream", "glide", "redispy"),
    heat("publish-many", OURS, "faststream", "hiredis"),
    heat("publish-each", OURS, "redispy", "hiredis"),
    heat("latency", OURS, "redispy", "faststream"),
    heat("both", OURS, "faststream"),
    heat("memory", OURS),
)
"""`make bench`: what the targets ask for."""

_FRAMEWORKS: Final = (
    "faststream", "faststream-batch", "faststream-workers", "taskiq", "taskiq-500", "streaq", "streaq-100", "arq", "arq-100",
    "dramatiq", "rapids", "rapids-500", "streambus", "streambus-500",
)  # fmt: skip
_DEFAULTS: Final = ("faststream", "taskiq", "streaq", "arq", "dramatiq", "rapids", "streambus")
_CLIENTS: Final = ("redispy", "coredis", "glide")
_BATCHED: Final = ("redispy-batch", "coredis-batch", "glide-batch")

ALL: Final = (
    heat("consume-once", OURS, "bare", *_CLIENTS, *_BATCHED, *_FRAMEWORKS),
    heat("consume-plain", OURS, "bare", "hiredis", *_CLIENTS, *_BATCHED, *_FRAMEWORKS),
    heat("consume-1ms", OURS, "bare", "faststream-workers", "taskiq", "streaq-100", "arq-100"),
    heat("consume-thread", OURS, "faststream", "taskiq", "dramatiq"),
    heat("consume-batch", OURS, "consume-batch-500/ours", "consume-plain/ours", "consume-once/ours", "consume-plain/faststream-batch"),
    heat("publish-each", OURS, "bare", "hiredis", *_CLIENTS, *_DEFAULTS),
    heat("publish-100", OURS, "publish-gather/ours", "bare", *_CLIENTS, *_DEFAULTS),
    heat("publish-1000", OURS, "bare", "glide", "coredis"),
    heat("publish-many", OURS, "bare", "hiredis", *_CLIENTS, "faststream", "streaq", "rapids"),
    heat("both", OURS, "bare", "redispy", *_DEFAULTS),
    heat("latency", OURS, "bare", *_CLIENTS, *_DEFAULTS),
    heat("memory", OURS, "bare", "redispy", *_DEFAULTS),
    heat("memory-4KB", OURS, "bare", "redispy", "faststream"),
    heat("consume-50B", OURS, "bare", "faststream", "faststream-batch"),
    heat("consume-4KB", OURS, "bare", "faststream", "faststream-batch"),
    heat("publish-50B", OURS, "bare", "faststream", "glide"),
    heat("publish-4KB", OURS, "bare", "faststream", "glide"),
    heat("topics", "consume-once/ours", "consume-4-topics/ours", "consume-16-topics/ours", "consume-once/redispy-batch",
         "consume-4-topics/redispy-batch", "consume-16-topics/redispy-batch"),
    heat("workers", "consume-once/ours", "consume-2-workers/ours", "consume-4-workers/ours", "consume-once/bare",
         "consume-2-workers/bare", "consume-4-workers/bare"),
    heat("length", "consume-10k/ours", "consume-1M/ours", "consume-10k/bare", "consume-1M/bare"),
    heat("held", "consume-once/ours", "consume-held/ours", "consume-once/bare", "consume-held/bare"),
)  # fmt: skip
"""`make bench-all`: every case, every library."""


def of(name: str) -> Heat:
    """The heat of a name, with all who may be in it.

    Raises:
        KeyError: There is none.
    """
    return {each.name: each for each in (*TABLE, *ALL)}[name]
