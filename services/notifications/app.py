"""Notifications: `eventbus run services.notifications.app:bus`."""

from eventbus import EventBus
from services.ledger import audited
from services.notifications.handlers import router

bus = audited(EventBus(service="notifications"))
bus.include(router)
