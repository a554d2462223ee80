"""Carries out a schedule of faults on a rig, and notes each one as it happens."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING, Final

from tests.chaos.servers import answering

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.faults import Fault
    from tests.chaos.proxy import Link
    from tests.chaos.rig import Rig

BUSY_WITHIN: Final = 1.0
"""Seconds to wait for a worker to run a handler, so that its death hurts."""

TRAP: Final = 4.0
"""Seconds to wait for the command that is to be cut or whose reply is to be lost, and for a connection."""

LONGER: Final = 10.0
"""Seconds that a fault of a link may last beyond its time until it has met something."""

REDIS_BACK: Final = 60.0
"""Seconds for Redis to read its file again."""

WRITES: Final = (b"EVALSHA", b"XADD")


class Attack:
    """Makes the faults of a run.

    Args:
        rig: Whom they meet.
        faults: In the order of their times.
        made: What was made before.

    Attributes:
        made: Faults by kind.
    """

    def __init__(self, rig: Rig, faults: Sequence[Fault], made: dict[str, int] | None = None) -> None:
        self._rig = rig
        self._faults = faults
        self.made: dict[str, int] = made or {}
        self._on: set[tuple[str, str]] = set()

    async def run(self, began: float) -> None:
        """Make each fault at its time; returns when the last one is over."""
        async with asyncio.TaskGroup() as tasks:
            for fault in self._faults:
                await asyncio.sleep(max(0.0, began + fault.at - time.monotonic()))
                tasks.create_task(self._make(fault))

    async def _make(self, fault: Fault) -> None:
        key = fault.kind, fault.places[0]
        while key in self._on:  # two of a kind on one place follow each other
            await asyncio.sleep(0.05)
        self._on.add(key)
        try:
            if await getattr(self, f"_{fault.kind}")(fault):
                self.made[fault.kind] = self.made.get(fault.kind, 0) + 1
        finally:
            self._on.discard(key)

    def _note(self, how: str, kind: str, of: str, **rest: object) -> None:
        self._rig.history.fault("fault", how, kind=kind, of=of, **rest)

    # -- processes

    async def _kill(self, fault: Fault) -> bool:
        place = self._rig.place(fault.places[0])
        await self._until_busy(place.name)
        return place.kill()

    async def _until_busy(self, name: str) -> None:
        until = time.monotonic() + BUSY_WITHIN
        while not self._rig.running(name) and time.monotonic() < until:
            await asyncio.sleep(0.002)

    async def _pause(self, fault: Fault) -> bool:
        place = self._rig.place(fault.places[0])
        await self._until_busy(place.name)
        process = place.process
        if not place.alive:
            return False
        self._note("invoke", "pause", process)
        place.signal(signal.SIGSTOP)
        await asyncio.sleep(fault.seconds)
        if place.process == process:
            place.signal(signal.SIGCONT)
        self._note("ok", "pause", process)
        return True

    async def _term(self, fault: Fault) -> bool:
        places = [self._rig.place(name) for name in fault.places]
        hit = [place for place in places if place.terminate()]
        if hit and fault.seconds:
            await asyncio.sleep(fault.seconds)
            if hit[0].kill():  # in the middle of its drain
                self.made["kill"] = self.made.get("kill", 0) + 1
        return bool(hit)

    # -- Redis

    async def _redis(self, fault: Fault) -> bool:
        server = self._rig.server
        if server is None:
            return False
        self._note("invoke", "redis", "*")
        server.kill()
        await asyncio.sleep(fault.seconds)
        await asyncio.to_thread(server.restart)
        await answering(server.url, within=REDIS_BACK)
        self._note("ok", "redis", "*")
        return True

    # -- links

    async def _cut(self, fault: Fault) -> bool:
        return await self._spring(fault, "cut", (fault.detail.encode(),) if fault.detail else WRITES)

    async def _drop(self, fault: Fault) -> bool:
        return await self._spring(fault, "drop", (fault.detail.encode(),))

    async def _spring(self, fault: Fault, kind: str, commands: tuple[bytes, ...]) -> bool:
        name, sprung = fault.places[0], asyncio.Event()
        link = self._rig.links[name]

        def done() -> None:
            self._note("invoke", kind, name, command=fault.detail)
            self._note("ok", kind, name)
            sprung.set()

        link.trap(kind, commands, done)
        try:
            async with asyncio.timeout(TRAP):
                await sprung.wait()
        except TimeoutError:
            if link.disarm() and kind == "cut":
                done()
                link.cut()
        return sprung.is_set()

    async def _hole(self, fault: Fault) -> bool:
        link = await self._connected(fault.places[0])
        self._note("invoke", "hole", fault.places[0])
        link.hits, link.swallows = 0, True
        await self._until_hit(link, fault.seconds)
        link.swallows = False
        link.cut()
        self._note("ok", "hole", fault.places[0], hits=link.hits)
        return True

    async def _delay(self, fault: Fault) -> bool:
        link = await self._connected(fault.places[0])
        self._note("invoke", "delay", fault.places[0])
        link.hits, link.late_by = 0, float(fault.detail)
        await self._until_hit(link, fault.seconds)
        link.late_by = 0.0
        self._note("ok", "delay", fault.places[0], hits=link.hits)
        return True

    async def _split(self, fault: Fault) -> bool:
        link = await self._connected(fault.places[0])
        self._note("invoke", "split", fault.places[0])
        link.hits, link.splits = 0, True
        await self._until_hit(link, fault.seconds)
        link.splits = False
        self._note("ok", "split", fault.places[0], hits=link.hits)
        return True

    async def _connected(self, name: str) -> Link:
        """The link of a place, once somebody is connected there: its process may be dead at the moment."""
        link, until = self._rig.links[name], time.monotonic() + TRAP
        while not link.pairs and time.monotonic() < until:
            await asyncio.sleep(0.02)
        return link

    async def _until_hit(self, link: Link, seconds: float) -> None:
        """Let a fault last as long as it should, and longer where it has met nothing yet: its process may be stopped."""
        await asyncio.sleep(seconds)
        until = time.monotonic() + LONGER
        while not link.hits and time.monotonic() < until:
            await asyncio.sleep(0.02)
