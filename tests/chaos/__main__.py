"""`python -m tests.chaos`: kill, pause and cut a running system, and check what it did.

The plain run, or a pattern: priorities, batches, order and the like, each with a checker of its own. Exit code 0 when no
checker complains, 1 when one does.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.patterns import PATTERNS, pattern_of
from tests.chaos.report import as_json, as_markdown, as_verdict
from tests.chaos.rig import Setup
from tests.chaos.run import Order, run
from tests.servers import Program, newest_on_path, packaged, version_of

if TYPE_CHECKING:
    from tests.chaos.run import Result

SHARE = 0.25
"""Of the seconds of the plain run, for each pattern beside it."""

LEAST = 30.0
"""Seconds of a pattern's run, unless the plain one is shorter."""


def main() -> int:
    """Run as the arguments say."""
    given = _arguments()
    for number in (signal.SIGTERM, signal.SIGINT):  # whatever ends the rig, it ends its processes; a shell's `&` ignores Ctrl-C
        signal.signal(number, signal.default_int_handler)
    names = ["", *PATTERNS] if given.pattern == "all" else ["" if given.pattern == "plain" else given.pattern]
    try:
        results = [_run(given, name, share=1.0 if name == names[0] else SHARE) for name in names]
    except KeyboardInterrupt:
        print("\nstopped: every process of the run was ended", file=sys.stderr)
        return 130
    return 0 if all(result.well for result in results) else 1


def _run(given: argparse.Namespace, pattern: str, *, share: float) -> Result:
    order = _order(given, pattern, share)
    print(f"{pattern or 'plain'}, seed {given.seed}: {order.seconds:g} seconds", file=sys.stderr)
    result = asyncio.run(run(order, progress=True))
    print(f"\n{as_markdown(result)}\n\n{as_verdict(result)}", flush=True)
    if given.result:
        path = given.result.with_name(f"{given.result.name}-{pattern}" if pattern else given.result.name)
        path.with_suffix(".json").write_text(as_json(result))
        path.with_suffix(".md").write_text(as_markdown(result) + "\n")
    return result


def _order(given: argparse.Namespace, pattern: str, share: float) -> Order:
    setup = Setup(
        seed=given.seed,
        workers=given.workers,
        publishers=given.publishers,
        rate=given.rate,
        lease=given.lease,
        plant=given.plant,
        pattern=pattern,
    )
    return Order(
        setup=pattern_of(pattern).setup(setup),
        seconds=max(given.seconds * share, min(given.seconds, LEAST)),
        at_least=int(given.events * share),
        program=_program(given.server),
        url=given.url,
        fsync=given.fsync,
        keep=given.keep and given.keep / pattern,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="for how long faults are made (default 60)")
    parser.add_argument("--pattern", default="plain", choices=["plain", "all", *PATTERNS], help="what is run (default plain)")
    parser.add_argument("--seed", default=f"{random.randrange(10**6)}", help="repeats a schedule (default: a new one)")
    parser.add_argument("--server", default="packaged", help="packaged, newest (on PATH), or the path of a server program")
    parser.add_argument("--url", default="", help="a server that is there already; it is not killed")
    parser.add_argument("--events", type=int, default=0, help="go on until so many are acknowledged (default: what there is time for)")
    parser.add_argument("--rate", type=float, default=0, help="most events a second (default: no limit)")
    parser.add_argument("--fsync", choices=("always", "everysec"), default="always", help="how the server writes its file")
    parser.add_argument("--lease", type=float, default=3.0, help="seconds (default 3)")
    parser.add_argument("--workers", type=int, default=3, help="worker processes (default 3)")
    parser.add_argument("--publishers", type=int, default=2, help="publisher processes (default 2)")
    parser.add_argument("--plant", default="", help="a bug of tests/chaos/planted.py")
    parser.add_argument("--keep", type=Path, help="a folder for the histories")
    parser.add_argument("--result", type=Path, help="write the result there, as .json and .md")
    return parser.parse_args()


def _program(named: str) -> Program | None:
    if named == "packaged":
        return packaged()
    if named == "newest":
        return newest_on_path() or packaged()
    version = version_of(Path(named))
    if version is None:
        sys.exit(f"{named} is no server program")
    return Program(Path(named), version)


if __name__ == "__main__":
    sys.exit(main())
