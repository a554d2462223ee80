"""`eventbus tail`: follow a topic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from eventbus.admin import Admin, Follower
from eventbus.admin.follow import COUNT
from eventbus.cli.entries import HEAD, as_document, as_line
from eventbus.cli.exits import say
from eventbus.cli.options import Output, connected
from eventbus.cli.render import document, line
from eventbus.delivery import Backoff
from eventbus.errors import BackendUnavailable

if TYPE_CHECKING:
    from eventbus.admin import Followed
    from eventbus.cli.moments import Beginning
    from eventbus.streams import Connections


async def tail(
    topic: str, *, priority: str, url: str | None, prefix: str, beginning: Beginning | None, count: int | None, output: Output
) -> None:
    """Show the entries of a topic, or of one of its priorities, as they come, until `count` of them were shown."""
    async with connected(url) as connections:
        after, stream = await _begin(connections, topic, priority, prefix, beginning)
        follower = Follower(connections, stream, after)
        if output is Output.TABLE:
            line(HEAD)
        try:
            await _follow(follower, count, output)
        finally:
            await follower.close()


async def _begin(connections: Connections, topic: str, priority: str, prefix: str, beginning: Beginning | None) -> tuple[str, str]:
    """The id to read after, found once, so that nothing written from now on is passed over; and the stream."""
    async with Admin(connections, prefix=prefix) as admin:
        last, stream = await admin.last_id(topic, priority), admin.stream(topic, priority)
        if others := [each for each in await admin.priorities(topic) if each != priority]:
            say(f"only priority {priority!r} is shown; the topic has others, too: {', '.join(others)}")
        if last == "0-0":
            say(f"{topic!r} has no entries yet; waiting for the first")
        return last if beginning is None else beginning.after(await admin.now()), stream


async def _follow(follower: Follower, count: int | None, output: Output) -> None:
    backoff, failures, shown = Backoff(most=2.0), 0, 0
    while count is None or shown < count:
        try:
            entries = await follower.read(COUNT if count is None else min(COUNT, count - shown))
        except BackendUnavailable as error:
            failures += 1
            if failures == 1:
                say(f"Redis is lost ({error}); going on after {follower.after} when it is back")
            await anyio.sleep(backoff.delay(failures))
            continue
        if failures:
            say(f"Redis is back; going on after {follower.after}" if not entries else "Redis is back")
            failures = 0
        for entry in entries:
            _show(entry, output)
        shown += len(entries)


def _show(entry: Followed, output: Output) -> None:
    if output is Output.JSON:
        document(as_document(entry))
    else:
        line(as_line(entry))
