"""What must be true of every history. Each checker sees the records of a run one by one, and says at the end what was wrong."""

from tests.chaos.checkers.accounting import Accounting
from tests.chaos.checkers.effects import Effects
from tests.chaos.checkers.explained import Explained
from tests.chaos.checkers.lease_safety import LeaseSafety
from tests.chaos.checkers.liveness import Liveness
from tests.chaos.checkers.total_queue import TotalQueue
from tests.chaos.checkers.verdict import Checker, Complaints

__all__ = ["Accounting", "Checker", "Complaints", "Effects", "Explained", "LeaseSafety", "Liveness", "TotalQueue"]
