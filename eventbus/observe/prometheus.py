"""Metrics for Prometheus: `instrument(bus)` before it opens. The extra `eventbus[prometheus]`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from eventbus.errors import ConfigurationError, LifecycleError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from eventbus.observe.views import Measured

_NEEDED = "prometheus_client"


def instrument(bus: Measured, registry: CollectorRegistry | None = None) -> None:
    """Show a bus's metrics in a registry of `prometheus_client`; docs/metrics.md names them all.

    Whatever serves that registry serves them: `prometheus_client.start_http_server`, an ASGI app, or
    `eventbus run --metrics-port`, which calls this itself. Several buses of a process share a registry; a second
    call for the same bus and registry changes nothing.

    Args:
        bus: An `EventBus` that is not open yet.
        registry: Where to show them. Default `prometheus_client.REGISTRY`.

    Raises:
        ConfigurationError: prometheus-client is not installed, or the registry has a metric of the same name.
        LifecycleError: The bus is open: what it did before would never be counted.

    Guarantees:
        A scrape reads counters that are there anyway, and waits for nothing: it answers while Redis is away.
        Series are bounded by subscriptions and the types their handlers name.

    Redis cost:
        See `eventbus.admin.Census`: two commands for each group every 15 seconds, and about ten more in one
        process of the group.
    """
    require_prometheus()
    from eventbus.observe.collector import collector_of, default_registry  # noqa: PLC0415 - needs the extra

    if bus.runtime is not None:
        raise LifecycleError("the bus is open: instrument(bus) before it opens, so that nothing goes uncounted")
    try:
        collector = collector_of(default_registry() if registry is None else registry)
    except ValueError as error:
        raise ConfigurationError(f"the registry has metrics of these names already: {error}") from error
    collector.add(bus)


def require_prometheus() -> None:
    """Look whether prometheus-client is installed.

    Raises:
        ConfigurationError: It is not.
    """
    try:
        import_module(_NEEDED)
    except ModuleNotFoundError as error:
        if error.name != _NEEDED:
            raise
        raise ConfigurationError("metrics need prometheus-client: pip install 'eventbus[prometheus]'") from error
