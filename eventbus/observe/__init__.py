"""What a bus shows of itself: logs, and in modules of their own metrics (`prometheus`) and readiness (`health`)."""

from eventbus.observe.escaping import escaped, escaped_json
from eventbus.observe.logging import ConsoleFormatter, JsonFormatter, LogFormat, LogLevel, configure

__all__ = ["ConsoleFormatter", "JsonFormatter", "LogFormat", "LogLevel", "configure", "escaped", "escaped_json"]
