"""Dramatiq over Redis lists, with the middleware it has by itself and the one for `async def`; eight threads."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import AsyncIO

from benchmarks.peer import Peer, Tally, Task, handler

if TYPE_CHECKING:
    from collections.abc import Callable


class Library(Peer):
    """One actor, which decodes the event and calls the handler."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.broker = RedisBroker(host="127.0.0.1", port=task.port)
        self.broker.add_middleware(AsyncIO())
        dramatiq.set_broker(self.broker)

    async def open(self) -> None:
        self.actor = self._actor(Tally(0, _nothing))

    async def publish(self, event: Any) -> None:
        self.actor.send(event.model_dump(mode="json"))

    async def consume(self, tally: Tally) -> None:
        self._actor(tally)
        dramatiq.Worker(self.broker).start()
        await asyncio.Event().wait()

    def _actor(self, tally: Tally) -> Any:
        return dramatiq.actor(decoding(self.task, tally), actor_name="handle", broker=self.broker)


def decoding(task: Task, tally: Tally) -> Callable[[Any], Any]:
    """The handler, given what JSON makes of an event."""
    one, model = handler(task, tally), task.model

    async def handle(data: Any) -> None:
        await one(model.model_validate(data))

    def handle_in_thread(data: Any) -> None:
        one(model.model_validate(data))

    return handle_in_thread if task.handler == "thread" else handle


def _nothing() -> None:
    """A publisher handles nothing."""
