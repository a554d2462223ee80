"""Worker processes of a scenario, of which one is killed while it holds entries.

They are started as a user starts them, `eventbus run scenarios.signup:bus`, with a lease of a second.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

from redis.asyncio import Redis

from eventbus import EventBus

ROOT = Path(__file__).parents[2]
DEADLINE = 40.0  # seconds; reached only by a failure
PAUSE = 0.05  # seconds between two looks: the processors belong to the workers


@dataclass(frozen=True)
class Lost:
    """A worker that was killed, and the ids of the events that it held."""

    pid: int
    held: frozenset[str]


@dataclass
class Crew:
    """Workers of one group, as the test sees them.

    Attributes:
        bus: An open bus of the test's own, on the same server.
        client: A client that looks at what is really in Redis.
    """

    bus: EventBus
    client: Redis
    log: Path
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def lose_one(self, *topics: str, group: str, work) -> Lost:
        """Kill a worker between an effect and its acknowledgement.

        One after the other is stopped and looked at. What a stopped process holds stays what it is, so that the kill hits
        what was seen; one that does not hold what it should is woken, and the next one is looked at.

        Args:
            topics: The topics that the group is about.
            group: The group.
            work: Called, and awaited, before each look: gives the workers something to do, and returns the ids of events
                that had their effect. The worker that is killed holds one of them.
        """
        async with asyncio.timeout(DEADLINE):
            for process in cycle(self.living):
                effects = await work()  # asked before the stop: a process may stop with the database locked
                stop(process)
                held = await self._held(topics, group, process.pid)
                if held & effects:
                    process.kill()
                    await process.wait()
                    return Lost(process.pid, held)
                process.send_signal(signal.SIGCONT)
        raise AssertionError("unreachable")

    @property
    def living(self) -> list[asyncio.subprocess.Process]:
        return [process for process in self.processes if process.returncode is None]

    async def settled(self, *topics: str) -> None:
        """Wait until every group of the topics has settled everything, at two looks in a row."""
        async with asyncio.timeout(DEADLINE):
            looks = 0
            while looks < 2:
                looks = looks + 1 if not any([await self._owes(topic) for topic in topics]) else 0
                await asyncio.sleep(PAUSE)

    async def joined(self, topic: str, group: str) -> None:
        """Wait until all of them are members of the group."""
        async with asyncio.timeout(DEADLINE):
            while await self.client.hlen(f"{{{topic}}}:members:{group}") < len(self.processes):
                assert len(self.living) == len(self.processes), self.log.read_text()
                await asyncio.sleep(PAUSE)

    async def leave(self) -> None:
        """Ask those that live to end, and see them end well."""
        survivors = self.living
        for process in survivors:
            process.terminate()
        assert {await process.wait() for process in survivors} == {0}, self.log.read_text()

    async def _owes(self, topic) -> bool:
        found = await self.bus.admin.topic(topic)
        groups = [group for level in (found, *found.levels) for group in level.groups]
        return any(group.lag.entries or group.pending or group.parked or group.retry_entries for group in groups)

    async def _held(self, topics, group, pid) -> frozenset[str]:
        await self.client.ping()  # whatever the process sent before it was stopped has been read by now
        sources = [source for topic in topics for source in await self.bus.admin.pending(topic, group, count=10_000) or ()]
        async with self.client.pipeline(transaction=False) as pipeline:
            for source in sources:
                for entry in source.entries:
                    if pid_of(entry.consumer) == pid:
                        pipeline.xrange(source.stream, entry.id, entry.id)
            return frozenset(rows[0][1]["id"] for rows in await pipeline.execute())


def stop(process: asyncio.subprocess.Process) -> None:
    """Freeze a process; returns when it is."""
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)


def pid_of(consumer: str) -> int:
    """Consumers are called service.host.pid.random."""
    return int(consumer.split(".")[-2])


async def until(condition, *, pause: float = 0.005) -> None:
    """Wait until a condition holds; it is looked at often, since a worker is to be stopped before it goes on."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(pause)


@asynccontextmanager
async def crew(scenario: str, url: str, folder: Path):
    """Two workers of a scenario, which do not outlive the block."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("EVENTBUS_", "SCENARIO_"))}
    clean |= {"EVENTBUS_URL": url, "EVENTBUS_LEASE": "1", "EVENTBUS_CLAIM_INTERVAL": "0.2", "SCENARIO_FOLDER": str(folder)}
    command = (sys.executable, "-m", "eventbus", "run", f"scenarios.{scenario}:bus")
    log = folder / "workers.log"
    async with EventBus(url, service="test") as bus, Redis.from_url(url, decode_responses=True) as client:
        found = Crew(bus, client, log)
        try:
            with log.open("wb") as output:
                for _ in range(2):
                    found.processes.append(
                        await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=clean, stdout=output, stderr=output)
                    )
            yield found
        except TimeoutError as error:
            error.add_note(log.read_text())
            raise
        finally:
            for process in found.living:
                process.kill()
            for process in found.processes:
                await process.wait()
