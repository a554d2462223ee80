"""Who is measured: every library with its defaults, and at its best documented settings where those differ."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

OURS: Final = "ours"


@dataclass(frozen=True, slots=True)
class Contender:
    """A library at certain settings.

    Attributes:
        name: What commands and results call it.
        title: What the report calls it.
        module: Its file in `benchmarks/peers`.
        environment: Where its library is installed; a file in `benchmarks/requirements`.
        library: The distribution whose version is reported; none where there is no library.
        options: Settings that differ from its defaults.
        pace: The part of a case's events that it is given, so that slow libraries take seconds and not minutes:
            for consuming, and for publishing.
        group: The group whose pending entries show when it is done; "" where it uses no group, and its own count shows.
        makes_group: Whether it makes that group itself, at the beginning of the stream.
        copies: Whether one stored entry can be copied to make a backlog; else it stores all of it itself.
    """

    name: str
    title: str
    module: str
    environment: str
    library: str = ""
    options: dict[str, str] = field(default_factory=dict)
    pace: tuple[float, float] = (1.0, 1.0)
    group: str = "bench"
    makes_group: bool = False
    copies: bool = True


_BATCHED: Final = {"ack": "batch", "count": "500"}

_REDISPY: Final = Contender("redispy", "redis-py", "redispy", "main", "redis", pace=(0.1, 0.15))
_COREDIS: Final = Contender("coredis", "coredis", "coredis", "coredis", "coredis", pace=(0.1, 0.1))
_GLIDE: Final = Contender("glide", "valkey-glide", "glide", "glide", "valkey-glide", pace=(0.1, 0.2))
_FASTSTREAM: Final = Contender("faststream", "FastStream", "faststream", "faststream", "faststream", pace=(0.04, 0.08))
_TASKIQ: Final = Contender("taskiq", "taskiq", "taskiq", "taskiq", "taskiq-redis", pace=(0.02, 0.04))
_STREAQ: Final = Contender("streaq", "streaQ", "streaq", "streaq", "streaq", pace=(0.03, 0.04), group="", copies=False)
_ARQ: Final = Contender("arq", "arq", "arq", "arq", "arq", pace=(0.01, 0.02), group="", copies=False)
_DRAMATIQ: Final = Contender("dramatiq", "Dramatiq", "dramatiq", "dramatiq", "dramatiq", pace=(0.02, 0.04), group="", copies=False)
_RAPIDS: Final = Contender("rapids", "rapids-streams", "rapids", "rapids", "rapids-streams", pace=(0.02, 0.04))
_STREAMBUS: Final = Contender("streambus", "streambus", "streambus", "streambus", "streambus", pace=(0.04, 0.04))

_ALL: Final = (
    Contender(OURS, "eventbus", "ours", "main", makes_group=True),
    Contender("bare", "bare loop", "bare", "main", "hiredis"),
    Contender("hiredis", "blocking hiredis", "hiredis", "main", "hiredis"),
    _REDISPY,
    replace(_REDISPY, name="redispy-batch", title="redis-py, batched acks", options=_BATCHED, pace=(0.5, 0.15)),
    _COREDIS,
    replace(_COREDIS, name="coredis-batch", title="coredis, batched acks", options=_BATCHED, pace=(0.4, 0.1)),
    _GLIDE,
    replace(_GLIDE, name="glide-batch", title="valkey-glide, batched acks", options=_BATCHED, pace=(0.4, 0.2)),
    _FASTSTREAM,
    replace(_FASTSTREAM, name="faststream-batch", title="FastStream, batches of 500", options={"mode": "batch"}, pace=(0.4, 0.08)),
    replace(_FASTSTREAM, name="faststream-workers", title="FastStream, 100 workers", options={"mode": "workers"}),
    _TASKIQ,
    replace(_TASKIQ, name="taskiq-500", title="taskiq, 500 ahead", options={"count": "500", "prefetch": "500"}),
    _STREAQ,
    replace(_STREAQ, name="streaq-100", title="streaQ, 100 at a time", options={"concurrency": "100", "results": "none"}),
    _ARQ,
    replace(_ARQ, name="arq-100", title="arq, 100 at a time", options={"max_jobs": "100", "results": "none"}),
    _DRAMATIQ,
    _RAPIDS,
    replace(_RAPIDS, name="rapids-500", title="rapids-streams, reads of 500", options={"batch": "500"}),
    _STREAMBUS,
    replace(_STREAMBUS, name="streambus-500", title="streambus, reads of 500", options={"batch": "500"}),
)

CONTENDERS: Final = {contender.name: contender for contender in _ALL}
