"""Help for testing services that use eventbus."""

from eventbus.testing.running import Running, running

__all__ = ["Running", "running"]
