"""What a bus shows of itself: logs, and in modules of their own metrics (`prometheus`) and readiness (`health`)."""

from eventbus.observe.escaping import escaped, escaped_json
from eventbus.observe.logging import FORMATS, LEVELS, ConsoleFormatter, JsonFormatter, configure

__all__ = ["FORMATS", "LEVELS", "ConsoleFormatter", "JsonFormatter", "configure", "escaped", "escaped_json"]
