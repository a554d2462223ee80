"""`eventbus publish`: one event from the shell."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from eventbus.bus import EventBus
from eventbus.cli.options import Output, reachable
from eventbus.cli.render import document, line

if TYPE_CHECKING:
    from eventbus.events import Event

SERVICE = "eventbus-cli"
"""The source of events published by hand, unless EVENTBUS_SERVICE says whom they are to come from."""


async def publish(event: Event, *, url: str | None, prefix: str, output: Output) -> None:
    """Publish one event and print its entry id and event id."""
    async with reachable(url) as found:
        service = os.environ.get("EVENTBUS_SERVICE") or SERVICE
        async with EventBus(found, service=service, prefix=prefix) as bus:
            published = await bus.publish(event)
    if output is Output.JSON:
        document(published)
    else:
        line(f"published  topic {published.topic}  entry {published.entry_id}  event {published.event_id}")
