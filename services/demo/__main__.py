"""`python -m services.demo`: see `--help`."""

import argparse
import asyncio
import math
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from eventbus import EventBusError
from eventbus.streams.embedded import start_embedded
from services.demo.plan import PLAN, Group, runnable, with_targets
from services.demo.screen import LEGEND, LiveScreen, PlainScreen, Screen
from services.demo.show import Interrupt, Options, Show, Trouble

NAMED = 5
"""Missing events of a group that are named; of more the number is given."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit code."""
    options = parse(arguments)
    console = Console()
    screen: Screen = LiveScreen(console) if console.is_terminal else PlainScreen(_print)
    try:
        return asyncio.run(perform(options, screen))
    except EventBusError as error:
        screen.say(f"the demo's server does not start: {error}")
        return 1


async def perform(options: Options, screen: Screen) -> int:
    """Run the demo on a server of its own, and sum up."""
    interrupt = Interrupt()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, interrupt)
    server = await start_embedded("embedded://")
    try:
        with tempfile.TemporaryDirectory(prefix="eventbus-demo-") as directory:
            plan, reasons = runnable(options.plan)
            for reason in reasons:
                screen.say(reason)
            show = Show(replace(options, plan=plan), server.url, Path(directory), screen, interrupt)
            trouble = await _trouble(show)
            if show.stalled:
                screen.say(f"nothing has moved for {options.stall:g} s; giving up")
            return sum_up(show, trouble, screen)
    finally:
        await server.stop()


async def _trouble(show: Show) -> str | None:
    try:
        await show.run()
    except Trouble as trouble:
        return str(trouble)
    badly = [f"{worker} left with code {worker.process.returncode}:\n{worker.tail()}" for worker in show.ended_badly()]
    return "\n".join(badly) or None


def sum_up(show: Show, trouble: str | None, screen: Screen) -> int:
    """Say how it went; the totals are the last line."""
    totals = show.totals()
    if trouble:
        screen.say(trouble)
    for group, missing in show.missing().items():
        named = ", ".join(f"{event_type} {event_id}" for event_id, event_type in list(missing.items())[:NAMED])
        screen.say(f"missing in {group}: {named}{f' and {len(missing) - NAMED} more' if len(missing) > NAMED else ''}")
    for group, waits in show.waits().items():
        screen.say(f"{group}: {', '.join(_wait(group, priority, seconds) for priority, seconds in waits.items())} (median, from publish)")
    screen.say(f"{totals.events} events, {totals.repeated} deliveries handled more than once")
    screen.say(f"{len(show.replacements)} workers killed while they held entries")
    screen.say(f"({LEGEND})")
    screen.say(str(totals))
    return 1 if trouble or totals.missing else 0


def _wait(group: Group, priority: str, seconds: float) -> str:
    return f"{seconds:.2f} s, to be held for {group.held:g} s" if group.held else f"{priority} priority {seconds:.2f} s"


def parse(arguments: Sequence[str] | None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m services.demo",
        description="Run the sensor and order services on a Redis server of their own, kill busy workers with -9, "
        "and count what was published and handled, outside the bus.",
        epilog=f"The last line is `published N handled N missing N`; {LEGEND}. Exit code 0 if nothing is missing, "
        "else 1. Ctrl-C drains and ends; once more ends at once.",
    )
    parser.add_argument("--seconds", type=_seconds, help="how long events are made (default: until Ctrl-C)")
    parser.add_argument("--kill-every", type=_seconds, default=5.0, help="seconds between two killed workers (default 5)")
    parser.add_argument("--stall", type=_seconds, default=10.0, help="seconds without any movement until the rest is missing (default 10)")
    parser.add_argument("--app", action="append", default=[], metavar="NAME=TARGET", help="run another target as an app")
    names = sorted(app.name for app in PLAN)
    parser.add_argument("--kill", action="append", default=[], choices=names, help="kill workers of this app only (may be repeated)")
    found = parser.parse_args(arguments)
    try:
        plan = with_targets(PLAN, found.app)
    except ValueError as error:
        parser.error(str(error))
    return Options(plan, found.seconds, found.kill_every, found.stall, frozenset(found.kill))


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: a number of seconds above 0 is expected")
    return number


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - this is the program's output


if __name__ == "__main__":
    sys.exit(main())
