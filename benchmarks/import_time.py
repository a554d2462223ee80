"""What `import eventbus` adds to the import of its core dependencies: `make bench-import`.

What it is compared with are the modules of its core dependencies that it loads: they load parts of themselves only
when they are used. Fresh processes, the two kinds taking turns so that a busy machine slows both alike; medians, with the spread.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

CORE = ("anyio", "hiredis", "orjson", "pydantic", "redis")
EVENTBUS = "import eventbus"
LOADED = f"import sys, eventbus; print(*(name for name in sys.modules if name.partition('.')[0] in {CORE}), sep=', ')"
TIMED = "import time; began = time.perf_counter(); {imports}; print(time.perf_counter() - began)"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21, help="processes of each kind (default 21)")
    rounds = parser.parse_args().rounds
    dependencies = f"import {said(LOADED)}"  # this first one also writes the bytecode and warms the disk
    times: dict[str, list[float]] = {dependencies: [], EVENTBUS: []}
    for _ in range(rounds):
        for imports, taken in times.items():
            taken.append(seconds(imports))
    report("its core dependencies", times[dependencies])
    report("them and eventbus", times[EVENTBUS])
    added = statistics.median(times[EVENTBUS]) - statistics.median(times[dependencies])
    print(f"{'eventbus adds':24}{added * 1000:8.1f} ms")


def seconds(imports: str) -> float:
    """Seconds that imports take in a fresh process."""
    return float(said(TIMED.format(imports=imports)))


def said(code: str) -> str:
    """What code prints in a fresh process."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def report(what: str, taken: list[float]) -> None:
    """Print a median with its quartiles."""
    low, median, high = (second * 1000 for second in statistics.quantiles(taken, n=4))
    print(f"{what:24}{median:8.1f} ms   (half of {len(taken)} processes: {low:.1f} to {high:.1f})")


if __name__ == "__main__":
    main()
