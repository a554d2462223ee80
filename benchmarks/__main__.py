"""`python -m benchmarks`: how fast the bus is, beside other libraries on this machine.

  table    the rows of docs/performance.md that have targets       about ten minutes; `make bench`
  all      every case and every library                             hours; `make bench-all`
  self     our own cases against benchmarks/recorded.json           one or two minutes; `make bench-self`
  one      single measurements, to try something out                seconds
  report   writes docs/performance.md from what was measured
  list     the cases, the contenders and the heats

A run starts a Redis server of its own on a free port, gives each measurement fresh processes, lets contenders take turns,
and writes each number down at once: interrupt it when you like, it goes on where it was. Libraries are installed into
.bench/envs, each in an environment of its own.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import commands, heats
from benchmarks.environments import NotInstalled
from benchmarks.processes import ROOT, Failed
from benchmarks.regression import TOLERANCE
from benchmarks.server import PERSISTENCE, NoServer

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = ROOT / ".bench" / "results.jsonl"


def main() -> int:
    """Run as the arguments say."""
    given = _arguments()
    try:
        done: int = given.command(given)
    except (NoServer, NotInstalled, Failed) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped; what was measured is kept, the same command goes on from here\n")
        return 130
    return done


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found = parser.add_subparsers(required=True, metavar="command")
    table = found.add_parser("table", help="measure what has targets, and write the report")
    _add_run(table, commands.table)
    _add_only(table, heats.TABLE)
    everything = found.add_parser("all", help="measure everything, and write the report")
    _add_run(everything, commands.everything)
    _add_only(everything, heats.ALL)
    quick = found.add_parser("self", help="our own cases against the recorded ones; exit code 1 when one got slower")
    _add_run(quick, commands.self_check)
    quick.add_argument("--tolerance", type=float, default=TOLERANCE, help=f"the part of a ratio that may be missing (default {TOLERANCE})")
    quick.add_argument("--record", action="store_true", help="record what is found, in place of comparing it")
    quick.set_defaults(results=ROOT / ".bench" / "self.jsonl")
    one = found.add_parser("one", help="measure single entrants")
    one.add_argument("entrants", nargs="+", type=_entrant, metavar="CASE/CONTENDER", help="such as consume-once/ours")
    one.add_argument("-n", "--events", type=int, default=0, help="events, for whatever contender (default: what the case says)")
    _add_server(one)
    one.set_defaults(command=commands.one)
    report = found.add_parser("report", help="write docs/performance.md from what was measured")
    report.add_argument("--results", type=Path, default=RESULTS)
    report.set_defaults(command=commands.report)
    found.add_parser("list", help="show what there is to measure").set_defaults(command=commands.listed)
    return parser.parse_args()


def _add_run(parser: argparse.ArgumentParser, command: Callable[[argparse.Namespace], int]) -> None:
    parser.add_argument("--rounds", type=int, default=5, help="turns of each entrant (default 5)")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured before")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where numbers are kept (default .bench/results.jsonl)")
    _add_server(parser)
    parser.set_defaults(command=command)


def _add_only(parser: argparse.ArgumentParser, known: tuple[heats.Heat, ...]) -> None:
    names = [heat.name for heat in known]
    parser.add_argument("--only", nargs="+", default=names, choices=names, metavar="HEAT", help=f"only some of: {', '.join(names)}")


def _entrant(name: str) -> heats.Entrant:
    try:
        return heats.entrant(name)
    except KeyError as error:
        raise argparse.ArgumentTypeError(f"{name!r}: there is no {error}; `list` shows what there is") from None


def _add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", help="the Redis server to start (default: redis-server or valkey-server on PATH)")
    parser.add_argument("--persistence", choices=PERSISTENCE, default="none", help="how that server writes to its disk (default none)")


if __name__ == "__main__":
    sys.exit(main())
