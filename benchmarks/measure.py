"""One measurement: a server without keys, fresh processes, and what both cost."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks.backlog import prepare
from benchmarks.child import WARM
from benchmarks.control import Refused
from benchmarks.events import FIRST
from benchmarks.processes import Failed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.cases import Case
    from benchmarks.contenders import Contender
    from benchmarks.control import Control
    from benchmarks.processes import Process
    from benchmarks.rig import Rig

PATIENCE: Final = 60.0
"""Seconds for the last acknowledgement after the last handler."""

LOOK: Final = 0.001
"""Seconds between two looks whether everything is acknowledged, once everything is handled."""

LOOK_SELDOM: Final = 0.01
"""The same while several processes handle: each look costs the server a little."""

SETTLE: Final = 0.5
"""Seconds that a consumer gets to wait for its first event, before another process publishes it."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one measurement found.

    Attributes:
        events: How many were measured.
        seconds: From the first handler's call to the last acknowledgement; or from the first publish to the last confirmation.
        rate: Events a second.
        client_us: Microseconds of CPU an event, of the process or processes that were measured.
        server_us: Microseconds of CPU an event, of the server.
        peak_mb: The most memory a process had.
        grew_mb: The same less what it had after its imports, and after it had made the events that it publishes.
        p50_ms: Half of the events were handled within so many milliseconds of their publishing; None where not asked.
        p99_ms: The same for 99 of 100.
    """

    events: int
    seconds: float
    rate: float
    client_us: float
    server_us: float
    peak_mb: float
    grew_mb: float
    p50_ms: float | None = None
    p99_ms: float | None = None


def measure(rig: Rig, case: Case, contender: Contender) -> Measured:
    """Measure a case for a contender.

    Raises:
        Failed: A process did not do its task, or what was handled is not what was published.
    """
    rig.server.control.do("FLUSHALL")
    try:
        return (_publish if case.kind == "publish" else _consume)(rig, case, contender)
    finally:
        rig.server.control.do("FLUSHALL")


# -- publishing


def _publish(rig: Rig, case: Case, contender: Contender) -> Measured:
    count, control = case.count(contender.pace), rig.server.control
    with rig.process("publish", contender, case, count=count) as process:
        process.hear("ready")
        server_began = control.cpu()
        process.say("go")
        said = process.hear("published")
        server = control.cpu() - server_began
    if contender.group and (found := control.do("XLEN", case.streams[0])) != count + WARM:
        raise Failed(f"{contender.name} published {count + WARM:,} events, and the stream has {found:,}")
    return _measured(count, said["ended"] - said["began"], server, [said])


# -- consuming


def _consume(rig: Rig, case: Case, contender: Contender) -> Measured:
    count, feeds = case.count(contender.pace), case.kind != "consume"
    prepare(rig, case, contender, 0 if feeds else max(count, case.backlog))
    with ExitStack() as stack:
        workers = [stack.enter_context(process) for process in _workers(rig, case, contender, count)]
        feeder = stack.enter_context(rig.process("feed", contender, case, count=count)) if feeds else None
        for process in (*workers, *([feeder] if feeder else ())):
            process.hear("ready")
        server_began = rig.server.control.cpu()
        for worker in workers:
            worker.say("go")
        if feeder:
            time.sleep(SETTLE)
            feeder.say("go")
            feeder.hear("fed")
        _wait(rig, case, contender, workers)
        ended = time.perf_counter()
        server = rig.server.control.cpu() - server_began
        for worker in workers:
            worker.say("stop")
        said = [worker.hear("consumed") for worker in workers]
    check(contender.name, said, count, any_of=case.backlog)
    return _measured(count, ended - min(each["began"] for each in said if each["handled"]), server, said)


def _workers(rig: Rig, case: Case, contender: Contender, count: int) -> Iterator[Process]:
    share = count if case.workers == 1 else 0  # several do not know when all of them are done
    return (rig.process("consume", contender, case, consumer=f"c{number}", count=share) for number in range(case.workers))


def _wait(rig: Rig, case: Case, contender: Contender, workers: list[Process]) -> None:
    """Wait until every event was handled and nothing but what others hold is pending."""
    if case.workers == 1:
        workers[0].hear("handled")
    if not contender.group or case.count(contender.pace) < case.backlog:
        return
    control, until = rig.server.control, time.monotonic() + PATIENCE
    while not all(_settled(control, stream, contender.group, case) for stream in case.streams):
        if time.monotonic() > until:
            raise Failed(f"{contender.name} handled everything, and left entries pending for {PATIENCE:g} s")
        if any(worker.ended for worker in workers):
            raise Failed(f"{contender.name}: a worker ended by itself")
        time.sleep(LOOK if case.workers == 1 else LOOK_SELDOM)


def _settled(control: Control, stream: str, group: str, case: Case) -> bool:
    try:
        return control.pending(stream, group) == case.held and (case.workers == 1 or control.all_read(stream, group))
    except Refused:
        return False  # a library that makes its group has not made it yet


def check(name: str, said: list[dict[str, Any]], count: int, *, any_of: int = 0) -> None:
    """Compare what handlers added up with what was published.

    Args:
        name: Of the contender.
        said: What its processes reported.
        count: How many events there were to handle.
        any_of: A backlog of which they may be any part, if it is larger.

    Raises:
        Failed: They differ.
    """
    handled, total = (sum(each[what] for each in said) for what in ("handled", "total"))
    right = handled >= count if any_of > count else (handled, total) == (count, sum(range(FIRST, FIRST + count)))
    if not right:
        raise Failed(f"{name} handled {handled:,} of {count:,} events, or others than those that were published")


# -- what it comes to


def _measured(count: int, seconds: float, server: float, said: list[dict[str, Any]]) -> Measured:
    delays = [delay / 1e6 for each in said for delay in each.get("delays", ())]
    return Measured(
        events=count,
        seconds=round(seconds, 4),
        rate=round(count / seconds, 1),
        client_us=round(sum(each["cpu"] for each in said) / count * 1e6, 2),
        server_us=round(server / count * 1e6, 2),
        peak_mb=round(max(each["peak_mb"] for each in said), 1),
        grew_mb=round(max(each["peak_mb"] - each["before_mb"] for each in said), 1),
        p50_ms=round(delays[len(delays) // 2], 3) if delays else None,
        p99_ms=round(delays[len(delays) * 99 // 100], 3) if delays else None,
    )
