"""When to look for stale entries. Pure: time comes from outside."""

from __future__ import annotations

from typing import Final

JITTER: Final = 0.2
"""Share by which an interval is shortened at random, so that the members of a group do not sweep at one moment."""


class Sweeps:
    """Decides when a sweep may begin.

    After a start, and after an outage, owners get a third of the lease to renew what they hold: everything
    looks stale then. All the graces between two sweeps that were answered last no longer than one lease
    together, outages not counted, so that a link that goes up and down cannot keep a sweep off.

    Args:
        lease: Seconds of the lease.
        interval: Seconds from the beginning of one sweep to that of the next.
        now: The time of the start.
    """

    def __init__(self, *, lease: float, interval: float, now: float) -> None:
        self._lease = lease
        self._interval = interval
        self._due = now
        self._spent = 0.0
        self._held_from = self._held_until = now
        self._hold(now)

    def began(self, *, now: float) -> None:
        """The process begins to sweep: what it waited for until now was no grace."""
        self._hold(now)

    def waited(self, seconds: float, *, now: float) -> None:
        """There was no answer for so many seconds, and now there is one."""
        if seconds > self._lease / 3:
            self._put_off(seconds, now)

    def refused(self, seconds: float, *, now: float) -> None:
        """Writes had been refused for so many seconds, and now they are not.

        That is noticed late, by a heartbeat at the latest: a third of the lease must be added. An owner's row may
        be stale before its next try from half of the lease on.
        """
        if seconds > self._lease / 6:
            self._put_off(seconds, now)

    def done(self, *, began: float, chance: float) -> None:
        """A sweep that began then has been answered to its end; `chance` is a random number from 0 to 1."""
        self._spent = 0.0
        self._held_from = self._held_until  # what was given before does not count again
        self._due = began + self._interval * (1 - JITTER * chance)

    def hurry(self, *, now: float) -> None:
        """There is reason to sweep at once."""
        self._due = min(self._due, now)

    def held(self, *, now: float) -> bool:
        """Whether owners have their grace now."""
        return now < self._held_until

    def delay(self, *, now: float) -> float:
        """Seconds until the next sweep may begin."""
        return max(0.0, self._due - now, self._held_until - now)

    def _put_off(self, outage: float, now: float) -> None:
        # Of a grace that ran before, only what lay before the outage was of use to the owners.
        self._spent += max(0.0, min(self._held_until, now - outage) - self._held_from)
        self._hold(now)

    def _hold(self, now: float) -> None:
        self._held_from = now
        self._held_until = now + min(self._lease / 3, max(0.0, self._lease - self._spent))
