"""`eventbus publish`: one event from the shell."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

from eventbus.bus import EventBus
from eventbus.cli.options import Output, reachable
from eventbus.cli.render import document, line
from eventbus.delivery import timestamp

if TYPE_CHECKING:
    from eventbus.delivery import Placing
    from eventbus.events import Event

SERVICE = "eventbus-cli"
"""The source of events published by hand, unless EVENTBUS_SERVICE says whom they are to come from."""


async def publish(event: Event, asked: Placing, *, url: str | None, prefix: str, output: Output) -> None:
    """Publish one event and print its entry id and event id."""
    async with reachable(url) as found:
        service = os.environ.get("EVENTBUS_SERVICE") or SERVICE
        async with EventBus(found, service=service, prefix=prefix) as bus:
            published = await bus.publish(event, **asked)
    if output is Output.JSON:
        document(asdict(published) | ({"due": timestamp(published.due)} if published.due else {}))
    elif published.due:
        line(f"scheduled  topic {published.topic}  due {timestamp(published.due)}  event {published.event_id}")
    else:
        line(f"published  topic {published.topic}  entry {published.entry_id}  event {published.event_id}")
