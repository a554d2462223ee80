"""Bugs to plant, each by putting a room of its own in another one's place. No line of eventbus knows of them.

Every one has been shipped by somebody. Each names the checker that must catch it.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from eventbus.delivery import Ended, Ending
from eventbus.events.identity import new_identity
from eventbus.publishing.sender import Sender
from eventbus.streams import Beaten, Destination, Moved
from eventbus.streams.packing import packed

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventbus import EventBus

Bus = type["EventBus"]


def room(name: str, make: Callable[[Any], Any]) -> Callable[[Bus], Bus]:
    """A plant that replaces one room by a subclass of it."""

    def plant(bus: Bus) -> Bus:
        return _with_rooms(bus, **{name: make(getattr(bus.rooms, name))})

    return plant


def rooms_of(pattern: str, **made: Callable[[Any], Any]) -> Callable[[Bus], Bus]:
    """A plant that replaces rooms of one pattern by subclasses of them."""

    def plant(bus: Bus) -> Bus:
        own = getattr(bus.rooms, pattern)
        return _with_rooms(bus, **{pattern: replace(own, **{name: make(getattr(own, name)) for name, make in made.items()})})

    return plant


def _with_rooms(bus: Bus, **rooms: Any) -> Bus:
    return type("PlantedBus", (bus,), {"rooms": replace(bus.rooms, **rooms)})


# -- settling


def _ack_before_handler(base: Any) -> Any:
    class AckFirst(base):
        async def _see_through(self, run, delivery):
            self._finish(delivery, Ended(Ending.HANDLED))
            await super()._see_through(run, delivery)
            return Ended(Ending.LOST)  # it is settled already

    return AckFirst


def _unfenced_move(base: Any) -> Any:
    class Unfenced(base):
        async def move(self, copies, destination, *, private, token):
            for copy in copies:
                await _copy(self, copy, destination)
                await self._wire.one("XACK", self.group.source(private=private), self.group.name, copy.entry_id)
            return [Moved.DONE] * len(copies)

    return Unfenced


def _two_calls(base: Any) -> Any:
    class TwoCalls(base):
        async def move(self, copies, destination, *, private, token):
            source = self.group.source(private=private)
            for copy in copies:
                if await self._wire.one("XPENDING", source, self.group.name, copy.entry_id, copy.entry_id, 1, self.consumer):
                    await _copy(self, copy, destination)
                    await self._wire.one("XACK", source, self.group.name, copy.entry_id)
            return [Moved.DONE] * len(copies)

    return TwoCalls


def _retry_to_topic(base: Any) -> Any:
    class ToTopic(base):
        async def move(self, copies, destination, *, private, token):
            if destination is Destination.DEAD:
                return await super().move(copies, destination, private=private, token=token)
            for copy in copies:
                await self._wire.one("XADD", self.group.stream, "*", *copy.fields)
                await self._wire.one("XACK", self.group.source(private=private), self.group.name, copy.entry_id)
            return [Moved.DONE] * len(copies)

    return ToTopic


async def _copy(commands: Any, copy: Any, destination: Destination) -> None:
    """Write a copy as `move` does, without looking at anything."""
    written = await commands._wire.one("XADD", commands._key(destination), "*", *packed(copy.fields))
    if copy.delay is not None:
        await commands._wire.one("ZADD", commands.group.due, int((time.time() + copy.delay) * 1000), written)


def _skip_by_liveness(base: Any) -> Any:
    class ByLiveness(base):
        async def drop(self, entries, *, private, token):
            entries = list(entries)
            if await self._others_live():
                return await super().drop(entries, private=private, token=token)
            source = self.group.source(private=private)
            await self._wire.one("XACK", source, self.group.name, *(entry_id for entry_id, _ in entries))
            return [Moved.DONE] * len(entries)

        async def _others_live(self):
            flat = await self._wire.one("HGETALL", self.group.members)
            seconds, _ = await self._wire.one("TIME")
            members = {flat[at]: json.loads(flat[at + 1]) for at in range(0, len(flat), 2)}
            return any(
                int(seconds) * 1000 - member["time"] < member["lease"] * 1000
                for name, member in members.items()
                if name != self.consumer.encode()
            )

    return ByLiveness


# -- leases


def _unfenced_beat(base: Any) -> Any:
    class Unfenced(base):
        async def beat(self, ids, *, private, token):
            if ids:
                await self._wire.one("XCLAIM", self.group.source(private=private), self.group.name, self.consumer, 0, *ids, "JUSTID")
            return Beaten(frozenset(ids), frozenset())

    return Unfenced


def _queued_not_beaten(bus: Bus) -> Bus:
    started: WeakSet[Any] = WeakSet()

    class Work(bus.rooms.work):
        def pop(self):
            if delivery := super().pop():
                started.add(delivery)
            return delivery

    class InHand(bus.rooms.in_hand):
        def __iter__(self):
            return (delivery for delivery in super().__iter__() if delivery in started)

    return _with_rooms(bus, work=Work, in_hand=InHand)


# -- claims


def _no_claim_loop(base: Any) -> Any:
    class NoClaims(base):
        async def run(self, alive):
            alive()
            await self.stopping.wait()

    return NoClaims


def _cursor_at_start(base: Any) -> Any:
    class AtStart(base):
        async def claim(self, **rest):
            claimed = await super().claim(**rest | {"cursor": b""})
            return claimed and replace(claimed, cursor=b"")

    return AtStart


def _claims_in_hand(bus: Bus) -> Bus:
    class Claims(bus.rooms.entries):
        async def claim(self, *, private, **rest):
            if (claimed := await super().claim(private=private, **rest)) is None:
                return None
            own = await self.held(private=private, after=None)
            again = [found for found in (await self.recover(own, private=private))[1] if found[1]]
            return replace(claimed, entries=[*claimed.entries, *again])

    class InHand(bus.rooms.in_hand):
        def take(self, delivery, *, taken_over=False):
            return super().take(delivery, taken_over=taken_over) or taken_over

    return _with_rooms(bus, entries=Claims, in_hand=InHand)


def _crash_to_neighbours(bus: Bus) -> Bus:
    """Whatever is handed over counts as started, and is taken over without regard to who can start it."""

    class ChargesAll(bus.rooms.entries):
        async def claim(self, *, private, **rest):
            claimed = await super().claim(private=private, **rest | {"lasts": 1_000})
            counts = [(entry_id, count) for entry_id, _, count in claimed.entries] if claimed else []
            if counts:
                await super().mark(counts, private=private, token=claimed.token)
            return claimed

    class InHand(bus.rooms.in_hand):
        room = 1_000

    return _with_rooms(bus, entries=ChargesAll, in_hand=InHand)


# -- reading


def _cancelled_read(base: Any) -> Any:
    class Impatient(base):
        async def read(self, count, take, **rest):
            try:
                async with asyncio.timeout(random.uniform(0.002, 0.05)):
                    return await super().read(count, take, **rest)
            except TimeoutError:
                await self.connect()
                return 0

    return Impatient


# -- tidying


def _deletes_the_silent(base: Any) -> Any:
    class Deletes(base):
        async def retire(self, *, silence):
            gone = [name for name, seconds in await self._silent() if seconds > SILENT]
            for name in gone:
                await self._wire.one("XGROUP", "DELCONSUMER", self.group.stream, self.group.name, name)
                await self._wire.one("XGROUP", "DELCONSUMER", self.group.private, self.group.name, name)
                await self._wire.one("HDEL", self.group.members, name)
            return [name.decode() for name in gone]

        async def _silent(self):
            flat = await self._wire.one("HGETALL", self.group.members)
            seconds, micro = await self._wire.one("TIME")
            now = int(seconds) + int(micro) / 1e6
            return [(flat[at], now - json.loads(flat[at + 1])["time"] / 1000) for at in range(0, len(flat), 2)]

    return Deletes


SILENT: Final = 1.5
"""Seconds of silence after which the planted janitor deletes a consumer, with all it owes."""


def _trims_pending(bus: Bus) -> Bus:
    class Trims(bus.janitor_class):
        async def trim(self, topic, *priority):
            rows = await self._wire.one("XINFO", "GROUPS", topic.name)
            last = [dict(zip(row[::2], row[1::2], strict=True))[b"last-delivered-id"] for row in rows]
            await self._wire.one("XTRIM", topic.name, "MINID", min(last, default=b"0-0"))
            return await super().trim(topic, *priority)

    return type("PlantedBus", (bus,), {"janitor_class": Trims})


# -- publishing


def _fresh_ids(bus: Bus) -> Bus:
    class FreshIds(Sender):
        def _requeue(self, again):
            for each in again:
                each.command = each.command.replace(each.event_id.encode(), new_identity().id.encode())
            super()._requeue(again)

    class Publisher(bus.publisher_class):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self._sender = FreshIds(self._wire, self.counts)

    return type("PlantedBus", (bus,), {"publisher_class": Publisher})


@dataclass(frozen=True, slots=True)
class Plant:
    """A bug.

    Attributes:
        checker: Who must catch it.
        put: Plants it into a bus class.
    """

    checker: str
    put: Callable[[Bus], Bus]


PLANTS: Final = {
    "ack before handler": Plant("accounting", room("executors", _ack_before_handler)),
    "no claim loop": Plant("liveness", room("claimer", _no_claim_loop)),
    "cursor always at the start": Plant("liveness", room("entries", _cursor_at_start)),
    "claim takes ids in hand": Plant("lease safety", _claims_in_hand),
    "delconsumer with pending": Plant("total-queue", room("group", _deletes_the_silent)),
    "fresh event id at each try": Plant("total-queue", _fresh_ids),
    "unfenced beat": Plant("lease safety", room("entries", _unfenced_beat)),
    "unfenced move": Plant("lease safety", room("entries", _unfenced_move)),
    "xadd and xack in two calls": Plant("accounting", room("entries", _two_calls)),
    "retry to the topic": Plant("total-queue", room("entries", _retry_to_topic)),
    "trim past pending": Plant("accounting", _trims_pending),
    "queued entries not beaten": Plant("explained", _queued_not_beaten),
    "cancelled read": Plant("explained", room("reader", _cancelled_read)),
    "crash charged to neighbours": Plant("accounting", _crash_to_neighbours),
    "skip by liveness": Plant("accounting", room("entries", _skip_by_liveness)),
}


def plants() -> dict[str, Plant]:
    """Every bug by its name, those of the patterns included."""
    from tests.chaos.patterns import PATTERNS  # which need `Plant`

    return {**PLANTS, **{name: plant for pattern in PATTERNS.values() for name, plant in pattern.plants.items()}}


def planted_bus(bus: Bus, name: str) -> Bus:
    """A bus class that carries a bug."""
    return plants()[name].put(bus)
