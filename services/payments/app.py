"""Payments: `eventbus run services.payments.app:bus`."""

from eventbus import EventBus
from services.ledger import audited
from services.payments.handlers import router

bus = audited(EventBus(service="payments"))
bus.include(router)
