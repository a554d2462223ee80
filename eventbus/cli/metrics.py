"""`eventbus run --metrics-port`: /metrics, /livez and /readyz, served by a thread of their own."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import orjson

from eventbus.cli.serving import Page
from eventbus.observe.health import readiness
from eventbus.observe.prometheus import instrument

if TYPE_CHECKING:
    from collections.abc import Generator

    from eventbus.bus import EventBus
    from eventbus.cli.serving import Place
    from eventbus.observe.health import Pulse

_log = logging.getLogger("eventbus.cli.metrics")

POLL: Final = 0.2
"""Seconds between two signs that are asked of the event loop; also what closing may take."""

_JSON: Final = "application/json"


@contextmanager
def served(bus: EventBus, place: Place) -> Generator[Pulse]:
    """Instrument a bus that is not open yet, and serve its metrics and probes while the block lasts.

    A thread serves them, so that an event loop that is blocked can be told; it needs to know the loop:
    `pulse.attach`.

    Raises:
        ConfigurationError: No port can be had, or prometheus-client is not installed.
    """
    instrument(bus)
    server = place.bind()
    server.pages = {
        "/metrics": _metrics,
        "/livez": partial(_alive, server.pulse),
        "/readyz": partial(_ready, bus, server.pulse),
    }
    thread = threading.Thread(target=server.serve_forever, args=(POLL,), name="eventbus metrics", daemon=True)
    thread.start()
    host = f"[{place.host}]" if ":" in place.host else place.host
    _log.info("metrics, /livez and /readyz at http://%s:%d/metrics", host, server.port)
    try:
        yield server.pulse
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _metrics(accept: str) -> Page:
    from prometheus_client import REGISTRY  # noqa: PLC0415 - an extra; `instrument` has seen that it is there
    from prometheus_client.exposition import choose_encoder  # noqa: PLC0415

    encode, kind = choose_encoder(accept)
    return Page(HTTPStatus.OK, kind, encode(REGISTRY))


def _alive(pulse: Pulse, _: str) -> Page:
    return _verdict({"alive": pulse.turning, "silent_for": round(pulse.silent_for, 3)}, well=pulse.turning)


def _ready(bus: EventBus, pulse: Pulse, _: str) -> Page:
    found = asdict(readiness(bus))
    if not pulse.turning:
        found |= {"ready": False, "reason": f"the event loop has not turned for {pulse.silent_for:.1f} s"}
    return _verdict(found, well=found["ready"])


def _verdict(document: object, *, well: bool) -> Page:
    return Page(HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE, _JSON, orjson.dumps(document) + b"\n")
