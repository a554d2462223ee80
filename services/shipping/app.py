"""Shipping: `eventbus run services.shipping.app:bus`."""

from eventbus import EventBus
from services.ledger import audited
from services.shipping.handlers import router

bus = audited(EventBus(service="shipping"))
bus.include(router)
