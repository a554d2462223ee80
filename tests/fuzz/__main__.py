"""`python -m tests.fuzz`: a million hostile entries, each accounted for. Exit code 0 without a complaint, else 1."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import resource
import sys
import time

from tests.fuzz.entries import hostile
from tests.fuzz.judge import Tally
from tests.fuzz.rig import ROUND, Rig
from tests.servers import Server, newest_on_path, packaged


def main() -> int:
    """Run as the arguments say."""
    given = _arguments()
    server = Server(packaged() if given.embedded else newest_on_path() or packaged())
    tally, began = Tally(), time.monotonic()
    seeds = itertools.count(given.seed)
    # A corpus of its own for each round.
    rounds = (hostile(next(seeds), min(ROUND, given.entries - done)) for done in range(0, given.entries, ROUND))

    def progress(said: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {said}", file=sys.stderr, flush=True)

    print(f"seed {given.seed}, server {'.'.join(map(str, server.version))}", file=sys.stderr, flush=True)
    try:
        asyncio.run(Rig(server.url, tally, ordered=True, progress=progress).run(itertools.chain.from_iterable(rounds)))
    finally:
        server.stop()
    took, used = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF)
    print(f"seed {given.seed}: {tally}")
    print(f"{took:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of CPU, {used.ru_maxrss / 1024:.0f} MiB at most")
    for complaint in tally.complaints:
        print(f"  {complaint}")
    return 1 if tally.complaints or tally.entries != given.entries else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000, help="how many (default 1,000,000)")
    parser.add_argument("--seed", type=int, default=None, help="makes a run again (default: chosen, and said)")
    parser.add_argument("--embedded", action="store_true", help="use the packaged server (6.2), not the newest of PATH")
    given = parser.parse_args()
    given.seed = random.SystemRandom().randrange(1 << 32) if given.seed is None else given.seed
    return given


if __name__ == "__main__":
    sys.exit(main())
