"""When to look for stale entries. Pure: time comes from outside."""

from __future__ import annotations

from typing import Final

JITTER: Final = 0.2
"""Share by which an interval is shortened at random, so that the members of a group do not sweep at one moment."""


class Sweeps:
    """Decides when a sweep may begin.

    After a start, and after an outage, owners get a third of the lease to renew what they hold: everything
    looks stale then. All these graces together postpone a sweep by no more than one lease, so that a link that
    goes up and down cannot keep it off.

    Args:
        lease: Seconds of the lease.
        interval: Seconds from the beginning of one sweep to that of the next.
        now: The time of the start.
    """

    def __init__(self, *, lease: float, interval: float, now: float) -> None:
        self._lease = lease
        self._interval = interval
        self._due = now
        self._held_until = now + lease / 3

    def waited(self, seconds: float, *, now: float) -> None:
        """There was no answer for so many seconds, and now there is one."""
        if seconds > self._lease / 3:
            self._held_until = now + self._lease / 3

    def began(self, *, now: float, chance: float) -> None:
        """A sweep begins; `chance` is a random number from 0 to 1."""
        self._due = now + self._interval * (1 - JITTER * chance)

    def hurry(self, *, now: float) -> None:
        """There is reason to sweep at once."""
        self._due = min(self._due, now)

    def delay(self, *, now: float) -> float:
        """Seconds until the next sweep may begin."""
        held_until = min(self._held_until, self._due + self._lease)
        return max(0.0, self._due - now, held_until - now)
