"""The sign-up queue, whose mails are counted while a worker is killed."""

from __future__ import annotations

from collections import Counter
from itertools import count

from scenarios import signup
from tests.support.crew import crew, until


def sent():
    """How often each mail was sent, by its id."""
    return Counter(message_id for _, message_id in signup.mails())


async def test_every_user_gets_a_mail_and_only_what_was_in_hand_at_the_kill_may_be_sent_twice(url, tmp_path, monkeypatch):
    """Each event stands twice in the topic; what was finished is not started again."""
    monkeypatch.setattr(signup, "DATABASE", tmp_path / "signup.sqlite3")
    published, batches = [], count()

    async def more_users() -> set[str]:
        users = signup.newcomers(20, first=1 + 20 * next(batches))
        new = {record.event_id for record in await signup.sign_up(workers.bus, users)}
        published.extend(users)
        await until(lambda: new & sent().keys())
        return set(sent())

    async with crew("signup", url, tmp_path) as workers:
        await workers.joined("signups", "welcome")
        lost = await workers.lose_one("signups", group="welcome", work=more_users)
        await workers.settled("signups")
        await workers.leave()

    assert {recipient for recipient, _ in signup.mails()} == {user.email for user in published}
    assert len(sent()) == len(published)
    assert {message_id for message_id, times in sent().items() if times > 1} <= lost.held
    assert max(sent().values()) <= 2
