"""`eventbus run`: a bus in this process, in several, or one that follows the source."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from eventbus.bus import EventBus
from eventbus.cli.exits import Code, say
from eventbus.cli.loops import run_loop
from eventbus.cli.metrics import served
from eventbus.cli.targets import load
from eventbus.errors import ConfigurationError
from eventbus.observe import configure
from eventbus.observe.prometheus import require_prometheus
from eventbus.streams.embedded import start_embedded
from eventbus.supervision import stop_on_signals
from eventbus.supervision.orphans import end_with_parent
from eventbus.supervision.processes import own_command, run_workers
from eventbus.supervision.reloading import Reloader

if TYPE_CHECKING:
    from eventbus.cli.serving import Place
    from eventbus.observe.health import Pulse
    from eventbus.supervision.processes import Command

EXAMPLE = "services.orders.app:bus"


@dataclass(frozen=True, slots=True)
class Run:
    """What `eventbus run` was asked for.

    Attributes:
        target: MODULE:NAME of the bus.
        url: Where Redis is; for a bus that names no url itself.
        prefix: The same for the prefix.
        log_format: `console` or `json`.
        log_level: From `debug` to `critical`.
        metrics: Where to serve metrics and probes; None for nowhere.
    """

    target: str
    url: str | None
    prefix: str
    log_format: str
    log_level: str
    metrics: Place | None = None

    def prepare(self) -> None:
        """Set up logging, and hand the options to the bus by the variables it reads."""
        configure(self.log_format, self.log_level)
        if self.url:
            os.environ["EVENTBUS_URL"] = self.url
        if self.prefix:
            os.environ["EVENTBUS_PREFIX"] = self.prefix

    def bus(self) -> EventBus:
        """Import the bus.

        Raises:
            ConfigurationError: It cannot be imported, or its code has decided what an option asks for.
        """
        bus: EventBus = load(self.target, EventBus, EXAMPLE)
        settings = bus.settings()
        for option, wanted, holds in (("--url", self.url, settings.url), ("--prefix", self.prefix, settings.prefix)):
            if wanted and wanted != holds:
                name = option.removeprefix("--")
                raise ConfigurationError(
                    f"{self.target} names its own {name} in code, so that {option} would be without effect: drop the one or the other"
                )
        return bus

    def child(self) -> Command:
        """The same for a child. Urls travel in the environment, where other users' `ps` does not see them."""
        logs = ("--log-format", self.log_format, "--log-level", self.log_level)
        place = self.metrics
        metrics = ("--metrics-port", place.ports, "--metrics-host", place.host) if place else ()
        return own_command(("run", self.target, *logs, *metrics))


def run_here(run: Run) -> None:
    """Run the bus in this process until SIGTERM or SIGINT."""
    end_with_parent()
    run.prepare()
    bus = run.bus()
    if run.metrics is None:
        run_loop(_serve(bus))
        return
    with served(bus, run.metrics) as pulse:
        run_loop(_serve(bus, pulse))


def run_in_workers(run: Run, count: int) -> Code:
    """Run the bus in `count` processes until SIGTERM or SIGINT."""
    if run.metrics is not None:
        run = replace(run, metrics=run.metrics.for_workers(count))
    run.prepare()
    # Imported here as well: a mistake is said once instead of by every worker, and the url is known.
    url = run.bus().settings().url
    if run.metrics is not None:
        require_prometheus()
        run.metrics.check()
    return Code(run_loop(_workers(run, count, url)))


def run_reloading(run: Run) -> None:
    """Run the bus in one process, and again whenever a source file below the current directory changes."""
    run.prepare()
    try:
        url = run.bus().settings().url
    except ConfigurationError as error:
        # The child will say the same, and the next saved file may mend it.
        say(f"{error}")
        url = run.url or ""
    run_loop(_reloading(run, url))


async def _serve(bus: EventBus, pulse: Pulse | None = None) -> None:
    if pulse is not None:
        pulse.attach(asyncio.get_running_loop())
    await bus.run()
    if bus.stuck:
        # The loop would wait for ever for a handler that ignores its cancel, the interpreter for its threads.
        logging.shutdown()
        sys.stdout.flush()
        os._exit(Code.FAILED)


async def _workers(run: Run, count: int, url: str) -> int:
    with stop_on_signals() as request:
        async with AsyncExitStack() as stack:
            await _own_embedded(stack, url)
            return await run_workers(run.child(), count, request, hopeless=Code.USAGE)


async def _reloading(run: Run, url: str) -> None:
    with stop_on_signals() as request:
        async with AsyncExitStack() as stack:
            await _own_embedded(stack, url)
            await Reloader(run.child(), Path.cwd()).run(request)


async def _own_embedded(stack: AsyncExitStack, url: str) -> None:
    """Start an embedded server before the children, which then share it instead of each starting one.

    Its place reaches them by a variable that `start_embedded` sets in this process's environment.
    """
    if url.startswith("embedded:"):
        server = await start_embedded(url)
        stack.push_async_callback(server.stop)
