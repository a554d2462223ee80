"""What renewing the leases of many held entries costs: `make bench-beat`.

A consumer holds entries whose handlers wait. Its beat is run again and again, and the process's CPU time is compared with
the third of the lease in which it happens once.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from typing import TYPE_CHECKING

from benchmarks import server
from benchmarks.peer import GROUP, cpu
from eventbus import Event, EventBus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Held(Event, topic="bench-held"):
    """Something whose handler waits."""

    number: int


def main() -> int:
    """Measure and print; 1 where it is more than it may be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=10_000, help="entries in hand (default 10000)")
    parser.add_argument("--beats", type=int, default=20, help="renewals of all of them (default 20)")
    parser.add_argument("--most", type=float, default=5.0, help="percent of one core that it may take (default 5)")
    given = parser.parse_args()
    with server.running("none", None) as running:
        taken, every = asyncio.run(measured(f"redis://127.0.0.1:{running.port}", given.entries, given.beats))
    median = statistics.median(taken)
    share = 100 * median / every
    print(f"renewing {given.entries:,} entries: {median * 1000:.1f} ms of CPU ({min(taken) * 1000:.1f} to {max(taken) * 1000:.1f})")
    print(f"once every {every:g} s: {share:.2f} % of one core (allowed: {given.most:g} %)")
    return int(share > given.most)


async def measured(url: str, entries: int, beats: int) -> tuple[list[float], float]:
    """Seconds of CPU of each renewal, and the seconds between two of them."""
    bus, held, end = EventBus(url, service="bench"), asyncio.Semaphore(0), asyncio.Event()

    @bus.subscribe(Held, group=GROUP, concurrency=entries)
    async def hold(event: Held) -> None:  # noqa: ARG001 - to be held is all that happens to it
        held.release()
        await end.wait()

    async with bus:
        await bus.publish_many([Held(number=number) for number in range(entries)])
        async with bus.consuming():
            for _ in range(entries):
                await held.acquire()
            (consumer,) = bus.consumers
            taken = [await renewed(consumer.beat.run_once) for _ in range(beats)]
            end.set()
        return taken, bus.settings().lease / 3


async def renewed(beat: Callable[[], Awaitable[None]]) -> float:
    """Seconds of CPU of one renewal."""
    began = cpu()
    await beat()
    return cpu() - began


if __name__ == "__main__":
    sys.exit(main())
