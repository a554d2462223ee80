"""From an entry to the handler it is for: which route, which event, or why not. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventbus.delivery.outcome import Ended, Ending
from eventbus.errors import DecodeError
from eventbus.events import Envelope, Event, adopt, decode, info, is_attribute, read_foreign

if TYPE_CHECKING:
    from datetime import datetime

    from eventbus.delivery.subscription import Route, Subscription


@dataclass(slots=True)  # not frozen: that would cost each event 0.3 µs. Nobody writes to it
class Ready:
    """An event and the route to its handler. Without envelope it came from a foreign producer. Read only."""

    route: Route
    event: Event
    envelope: Envelope | None

    @property
    def type(self) -> str:
        """The event's type."""
        return info(type(self.event)).type

    @property
    def time(self) -> datetime | None:
        """When the event was published, where that is known."""
        return None if self.envelope is None else self.envelope.time


def resolve(subscription: Subscription, fields: list[bytes]) -> Ready | Ended:
    """Find the handler of an entry and decode its event.

    Whatever stands in the entry, and whatever a validator of the user's makes of it, this returns.
    """
    try:
        envelope = Envelope.parse(fields)
        if envelope is None:
            return _foreign(subscription, fields)
        route = subscription.routes.get(envelope.type)
        if route is None or envelope.version > route.version:
            return _refusal(envelope, route)
        event = decode(route.event_class, envelope.data)
        adopt(event, envelope.identity)
        return Ready(route, event, envelope)
    except DecodeError as error:
        return Ended(Ending.UNDECODABLE, str(error), type=type_of(fields))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - one entry must not end what reads all of them; its text may show values
        return Ended(Ending.UNDECODABLE, f"it cannot be read: {type(error).__name__}", type=type_of(fields))


def type_of(fields: list[bytes]) -> str:
    """What an entry says it is, for its dead letter; nobody has checked it."""
    for at in range(0, len(fields) - 1, 2):
        if fields[at] == b"type":
            return fields[at + 1].decode(errors="replace")
    return ""


def refuse_early(subscription: Subscription, fields: list[bytes]) -> Ended | None:
    """Tell from the envelope alone, before any data is decoded, that an entry is for no handler here; else None."""
    try:
        envelope = Envelope.parse(fields)
    except Exception:  # noqa: BLE001 - `resolve` says what is wrong with it
        return None
    route = None if envelope is None else subscription.routes.get(envelope.type)
    if envelope is None or (route is not None and envelope.version <= route.version):
        return None
    return _refusal(envelope, route)


def _refusal(envelope: Envelope, route: Route | None) -> Ended:
    if route is None and not is_attribute(envelope.type):  # no class can be of such a type: nobody will ever know it
        return Ended(Ending.UNDECODABLE, "the entry's type has control characters", type=envelope.type)
    if route is None:
        reason = f"no handler of this group names type {envelope.type!r}"
        return Ended(Ending.NOBODY, reason, type=envelope.type, version=envelope.version)
    reason = f"{envelope.type!r} has version {envelope.version}, this program knows up to {route.version}"
    return Ended(Ending.NEWER, reason, type=envelope.type, version=envelope.version)


def _foreign(subscription: Subscription, fields: list[bytes]) -> Ready | Ended:
    if not subscription.foreign:
        return Ended(Ending.UNDECODABLE, "the entry has no specversion field; subscribe with foreign=Flat(…) to read such")
    reader, event = read_foreign(subscription.foreign, fields)
    if event is None:
        return Ended(Ending.NOBODY, f"{reader} finds nothing in it to be handled")
    return Ready(subscription.routes[info(reader.event_class).type], event, None)
