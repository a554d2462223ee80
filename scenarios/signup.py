"""A queue of sign-ups: every new user gets a welcome mail, once.

Promised: no user goes without; and what the group has finished does not start again, though each event is published
twice here, as by a publisher that did not hear the answer. What remains possible: a worker that dies between the mail
and its mark has that mail sent again. Nobody but the mail server can close that gap: by the id that each mail carries.

Look at `idempotent=True`, and at the mails in signup.sqlite3.
"""

import asyncio
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from eventbus import Context, Event, EventBus, Published

DATABASE = Path(os.environ.get("SCENARIO_FOLDER", ".")) / "signup.sqlite3"
ANSWER = 0.02
"""Seconds that a mail server takes to answer."""


class UserSignedUp(Event, topic="signups", key="user_id"):
    user_id: str
    email: str


bus = EventBus(os.environ.get("EVENTBUS_URL") or "embedded://", service="signup")


@bus.subscribe(UserSignedUp, group="welcome", idempotent=True, concurrency=4)
def welcome(user: UserSignedUp, ctx: Context) -> None:
    """Send the mail. Libraries for mail block, so this is no coroutine: it runs in a thread."""
    send(user.email, message_id=ctx.id)


# -- stands for a mail server, which sends whatever it is given


@contextmanager
def outbox() -> Generator[sqlite3.Connection]:
    """Open what the mail server has sent, for one transaction."""
    with closing(sqlite3.connect(DATABASE, timeout=30, isolation_level="IMMEDIATE")) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS mails (recipient TEXT, message_id TEXT)")
        yield db


def send(recipient: str, *, message_id: str) -> None:
    """Send a mail, and wait for the answer. A server that drops a message id it knows would send it once for certain."""
    with outbox() as db:
        db.execute("INSERT INTO mails VALUES (?, ?)", (recipient, message_id))
    time.sleep(ANSWER)


def mails() -> list[tuple[str, str]]:
    """List what was sent: recipients and message ids."""
    with outbox() as db:
        return db.execute("SELECT recipient, message_id FROM mails").fetchall()


# -- the sign-ups


def newcomers(count: int, *, first: int = 1) -> list[UserSignedUp]:
    numbers = range(first, first + count)
    return [UserSignedUp(user_id=f"u-{number}", email=f"user{number}@example.org") for number in numbers]


async def sign_up(bus: EventBus, users: list[UserSignedUp]) -> list[Published]:
    """Publish each event twice: one object has one id, and so have its copies."""
    return await bus.publish_many(copy for user in users for copy in (user, user))


async def settled(bus: EventBus) -> bool:
    """Whether the group has nothing left to do."""
    topic = await bus.admin.topic("signups")
    groups = topic.groups if topic else ()
    return all(not (group.lag.entries or group.pending or group.parked or group.retry_entries) for group in groups)


async def main() -> None:
    DATABASE.unlink(missing_ok=True)
    users = newcomers(50)
    async with bus.consuming():
        await sign_up(bus, users)
        while not await settled(bus):
            await asyncio.sleep(0.1)
    sent = Counter(recipient for recipient, _ in mails())
    print(f"{len(users)} users, {2 * len(users)} events, {sent.total()} mails")
    print(f"users without a mail: {len(users) - len(sent)}, with more than one: {sum(count > 1 for count in sent.values())}")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
