"""The demo's audit: every confirmed publish and every handled event, one line each.

It knows nothing of how the bus delivers. Each process writes a file of its own below the directory that
DEMO_LEDGER names; where the variable is not set, nothing is written.
"""

import json
import os
import time
from pathlib import Path
from secrets import token_hex
from typing import Any

from eventbus import Context, Event, EventBus, Published


def audited(bus: EventBus) -> EventBus:
    """Let the bus keep a ledger where DEMO_LEDGER asks for one; returns the bus."""
    directory = os.environ.get("DEMO_LEDGER")
    if directory:
        ledger = Ledger(Path(directory) / f"{os.getpid()}-{token_hex(4)}.jsonl")
        bus.on_published.append(ledger.published)
        bus.middleware.insert(0, ledger.handled)
    return bus


class Ledger:
    """Appends lines to one file; what a call has written survives a kill right after it."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def published(self, event: Event, published: Published) -> None:
        """Note a publish that Redis has confirmed."""
        self._write(what="published", id=published.event_id, topic=published.topic, type=type(event).__name__)

    async def handled(self, event: Any, ctx: Context, call_next: Any) -> None:
        """Note an event after its handler has returned; a middleware."""
        await call_next(event, ctx)
        took = time.time() - ctx.time.timestamp()
        about = {"id": ctx.id, "topic": ctx.topic, "type": ctx.type, "group": ctx.group, "priority": ctx.priority}
        self._write(what="handled", **about, took=round(took, 6))

    def _write(self, **record: str | float) -> None:
        # One unbuffered write per line: a process that is killed loses nothing it claims to have done.
        os.write(self._file, json.dumps({"at": time.time(), **record}).encode() + b"\n")
