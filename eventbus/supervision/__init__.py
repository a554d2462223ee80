"""Keeps loops running, brings them down in order, and runs worker processes."""

from eventbus.supervision.home import finish
from eventbus.supervision.janitor import Janitor
from eventbus.supervision.loops import Loop
from eventbus.supervision.promotion import Promotion
from eventbus.supervision.runtime import Runtime
from eventbus.supervision.signals import StopRequest, stop_on_signals
from eventbus.supervision.supervisor import Supervisor

__all__ = ["Janitor", "Loop", "Promotion", "Runtime", "StopRequest", "Supervisor", "finish", "stop_on_signals"]
