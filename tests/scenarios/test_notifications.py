"""Notifications of three priorities, pushed while a worker is killed."""

from __future__ import annotations

import signal
from statistics import fmean

from scenarios import notifications
from tests.support.crew import crew, stop, until

EACH = 60


def places():
    """Where in the line each notification was shown, by its id."""
    return {push_id: place for place, (push_id, _) in enumerate(notifications.shown())}


async def test_every_notification_is_pushed_and_alarms_overtake_newsletters(url, tmp_path, monkeypatch):
    """They are published last, and all but those that the dead worker held come before most of the newsletters."""
    monkeypatch.setattr(notifications, "DATABASE", tmp_path / "notifications.sqlite3")
    batches = []

    async def notify() -> set[str]:
        for process in workers.living:  # so that all of it is there before any of it is pushed
            stop(process)
        batches.append(await notifications.notify(workers.bus, EACH))  # newsletters first, alarms last
        for process in workers.living:
            process.send_signal(signal.SIGCONT)
        await until(lambda: len(places().keys() & batches[-1]) > 6)
        return set(places())

    async with crew("notifications", url, tmp_path) as workers:
        await workers.joined("notifications", "push")
        lost = await workers.lose_one("notifications", group="push", work=notify)
        await workers.settled("notifications")
        await workers.leave()

    place = places()
    assert place.keys() == {push_id for batch in batches for push_id in batch}
    assert len(place) == len(notifications.shown())
    for batch in batches:
        newsletters, alarms = ([place[each] for each in part if each not in lost.held] for part in (batch[:EACH], batch[-EACH:]))
        assert fmean(alarms) < fmean(newsletters)
