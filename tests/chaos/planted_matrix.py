"""`python -m tests.chaos.planted_matrix`: every planted bug, seed by seed, and the same schedules without it.

Exit code 0 when each bug is caught by the checker named for it in nine of ten seeds, and no checker complains without one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import signal
import sys
from dataclasses import dataclass, field

from tests.chaos.planted import plants
from tests.chaos.run import run
from tests.chaos.scenarios import scenario

SHARE = 0.9
RIG = "the rig itself"
"""Who complains where a run did not come to its end."""

LIMIT = 240.0
"""Seconds for one run; reached only by a defect of the rig."""


@dataclass
class Tally:
    """What became of one bug's runs."""

    caught: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    accused: list[str] = field(default_factory=list)
    """Complaints without the bug."""

    def well(self, seeds: int) -> bool:
        return len(self.caught) >= math.ceil(SHARE * seeds) and not self.accused


async def one(plant: str, seed: str, *, planted: bool) -> dict:
    """One run, here."""
    result = await run(scenario(plant, seed, planted=planted))
    return {"complaining": [name for name in result.verdicts.complaining if name != "effects"], "words": result.verdicts.words[:8]}


async def matrix(names: list[str], seeds: list[str], *, jobs: int) -> dict[str, Tally]:
    """All runs, several at a time, each in a process of its own."""
    tallies = {plant: Tally() for plant in names}
    turn = asyncio.Semaphore(jobs)

    async def cell(plant: str, seed: str, *, planted: bool) -> None:
        async with turn:
            found = await _apart(plant, seed, planted=planted)
        _count(tallies[plant], plants()[plant].checker, seed, found, planted=planted)
        caught = ", ".join(found["complaining"]) or "no checker complains"
        print(f"{plant:<28} seed {seed:<4} {'planted' if planted else 'without':<8} {caught}", flush=True)
        if RIG in found["complaining"]:
            print(*found["words"], sep="\n", file=sys.stderr, flush=True)

    async with asyncio.TaskGroup() as tasks:
        for seed in seeds:
            for plant in names:
                for planted in (True, False):
                    tasks.create_task(cell(plant, seed, planted=planted))
    return tallies


def _count(tally: Tally, checker: str, seed: str, found: dict, *, planted: bool) -> None:
    if not planted:
        tally.accused += [f"seed {seed}: {words}" for words in found["words"] if found["complaining"]]
    elif checker in found["complaining"]:
        tally.caught.append(seed)
    else:
        tally.missed.append(seed)


async def _apart(plant: str, seed: str, *, planted: bool) -> dict:
    arguments = ["--one", plant, "--seed", seed, *(["--planted"] if planted else [])]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.chaos.planted_matrix", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(LIMIT):
            out, err = await process.communicate()
        return json.loads(out)
    except (TimeoutError, ValueError) as error:
        said = err.decode()[-2000:] if isinstance(error, ValueError) else ""
        return {"complaining": [RIG], "words": [f"{error!r} {said}"]}
    finally:
        if process.returncode is None:
            process.terminate()  # it ends what it started
            await process.wait()


def _table(tallies: dict[str, Tally], seeds: int) -> str:
    lines = ["", "| planted bug | checker | caught | without it |", "|---|---|---|---|"]
    for plant, tally in tallies.items():
        without = "passes" if not tally.accused else f"{len(tally.accused)} complaints"
        lines.append(f"| {plant} | {plants()[plant].checker} | {len(tally.caught)} of {seeds} | {without} |")
    lines += [f"{plant}, without it: {words}" for plant, tally in tallies.items() for words in tally.accused]
    return "\n".join(lines)


def main() -> int:
    """Run as the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.planted_matrix", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="seeds for each bug (default 10)")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time (default 2)")
    parser.add_argument("--only", nargs="*", default=list(plants()), help="these bugs (default all)")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--seed", help=argparse.SUPPRESS)
    parser.add_argument("--planted", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    if given.one:
        print(json.dumps(asyncio.run(one(given.one, given.seed, planted=given.planted))))
        return 0
    seeds = [str(number) for number in range(1, given.seeds + 1)]
    tallies = asyncio.run(matrix(given.only, seeds, jobs=given.jobs))
    print(_table(tallies, len(seeds)))
    return 0 if all(tally.well(len(seeds)) for tally in tallies.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
