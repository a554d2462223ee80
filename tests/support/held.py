"""Rooms that stop at a named point, so that a test decides what happens in between."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from eventbus import EventBus
from eventbus.consuming import Rooms
from eventbus.streams import Batch, GroupReader


class Stop:
    """A place where whoever comes by is held once it was armed, until `release`.

    Attributes:
        reached: Set when somebody is held.
    """

    def __init__(self, *, armed: bool = False) -> None:
        self.armed = armed
        self.reached = asyncio.Event()
        self._open = asyncio.Event()

    def arm(self) -> None:
        """Hold the next who comes by."""
        self.armed = True
        self.reached.clear()
        self._open.clear()

    def release(self) -> None:
        """Let go on whoever is held, and hold nobody."""
        self.armed = False
        self._open.set()

    async def passing(self) -> None:
        if self.armed:
            self.reached.set()
            await self._open.wait()


def before(room: type, method: str, stop: Stop) -> Any:
    """The room, held before a method does anything."""

    async def held(self, *arguments, **options):
        await stop.passing()
        return await getattr(super(kind, self), method)(*arguments, **options)

    kind = type(f"Held{room.__name__}", (room,), {method: held})
    return kind


def reading_late(stop: Stop) -> Any:
    """A reader, held when a reply has come and nobody has taken what is in it."""

    class Late(GroupReader):
        async def read(self, count, take, *, few):
            batches: list[Batch] = []
            brought = await super().read(count, batches.append, few=few)
            await stop.passing()
            for batch in batches:
                take(batch)
            return brought

    return Late


def planted(
    url: str, *, service: str = "billing", lease: float = 1.0, claim_interval: float = 0.1, drain: float = 1.0, **rooms: Any
) -> EventBus:
    """A bus with other rooms in the places named."""

    class PlantedBus(EventBus):
        pass

    PlantedBus.rooms = replace(Rooms(), **rooms)
    return PlantedBus(url, service=service, lease=lease, claim_interval=claim_interval, drain=drain)
