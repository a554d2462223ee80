"""The order book: `eventbus run services.orders.app:bus`."""

from eventbus import EventBus
from services.ledger import audited
from services.orders.handlers import router

bus = audited(EventBus(service="orders"))
bus.include(router)
