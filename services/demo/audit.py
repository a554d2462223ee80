"""Who was owed what, and who got it: sets of event ids, kept as the ledger's lines come in.

A *delivery* is one event for one group that handles its type. `published` counts the deliveries owed (events
whose publish was confirmed, times their groups), `handled` those of them whose handler returned, `missing` the
difference of the two sets. `repeated` counts handlers that returned for an event once more.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from services.demo.plan import Group


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a ledger.

    Attributes:
        what: Whether a publish was confirmed or a handler returned.
        at: When, in seconds since the epoch.
        id: The event's id.
        topic: The topic's name.
        type: The event's type.
        group: The group that handled it; "" of a publish.
        took: Seconds from the event's publish until its handler had returned; 0 of a publish.
        priority: The priority it was handled at; "" of a publish.
    """

    what: Literal["published", "handled"]
    at: float
    id: str
    topic: str
    type: str
    group: str = ""
    took: float = 0.0
    priority: str = ""


@dataclass(frozen=True, slots=True)
class Totals:
    """Deliveries, counted."""

    events: int = 0
    published: int = 0
    handled: int = 0
    repeated: int = 0

    @property
    def missing(self) -> int:
        """What was published and not handled."""
        return self.published - self.handled

    def __str__(self) -> str:
        """The last line of the demo."""
        return f"published {self.published} handled {self.handled} missing {self.missing}"


@dataclass(slots=True)
class _Account:
    """One group: `owed - handled` is `missing`, kept up to date instead of computed anew."""

    owed: int = 0
    handled: set[str] = field(default_factory=set[str])
    missing: dict[str, str] = field(default_factory=dict[str, str])
    early: set[str] = field(default_factory=set[str])
    repeated: int = 0

    def owe(self, event_id: str, event_type: str) -> None:
        self.owed += 1
        if event_id in self.handled:
            self.early.remove(event_id)
        else:
            self.missing[event_id] = event_type

    def handle(self, event_id: str) -> None:
        if event_id in self.handled:
            self.repeated += 1
            return
        self.handled.add(event_id)
        if self.missing.pop(event_id, None) is None:
            self.early.add(event_id)  # its publisher's file is read later


class Audit:
    """Takes records in any order across files, and knows what is missing at any time."""

    def __init__(self, groups: Iterable[Group]) -> None:
        self._accounts = {group: _Account() for group in groups}
        self._published: set[str] = set()

    def take(self, record: Record) -> None:
        """Count one record."""
        if record.what == "handled":
            for group, account in self._accounts.items():
                if (group.name, group.topic) == (record.group, record.topic):
                    account.handle(record.id)
        elif record.id not in self._published:
            self._published.add(record.id)
            for group, account in self._accounts.items():
                if group.topic == record.topic and record.type in group.types:
                    account.owe(record.id, record.type)

    def missing(self, group: Group) -> dict[str, str]:
        """Ids and types of what a group was owed and has not handled, in the order published."""
        return dict(self._accounts[group].missing)

    def totals(self) -> Totals:
        """Count over all groups."""
        accounts = self._accounts.values()
        published = sum(account.owed for account in accounts)
        missing = sum(len(account.missing) for account in accounts)
        repeated = sum(account.repeated for account in accounts)
        return Totals(len(self._published), published, published - missing, repeated)
