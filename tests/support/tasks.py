"""A topic with priorities, and what a test does to it with its own hands."""

from __future__ import annotations

from eventbus import Event, Topic
from eventbus.events import encode
from eventbus.streams import keys

LEVELS = ("high", "normal", "low")
TASKS = Topic("tasks", priorities=LEVELS)


class Task(Event, topic=TASKS, key="name"):
    """What a worker does when it gets this, as an errand."""

    name: str
    do: str = "end"


def tasks(count: int, name: str = "t", do: str = "end") -> list[Task]:
    """So many tasks, numbered."""
    return [Task(name=f"{name}-{number}", do=do) for number in range(count)]


async def put(redis, priority: str, *events: Event, topic: str = TASKS.name) -> list[str]:
    """Write events to the stream of a priority, as a publisher does; returns the entry ids."""
    pipeline = redis.pipeline(transaction=False)
    for event in events:
        pipeline.execute_command("XADD", keys.level(topic, priority), "*", *encode(event, source="/shop"))
    return await pipeline.execute()
