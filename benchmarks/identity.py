"""What numbers depend on: the machine, and what exactly was run on it."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import environments
from benchmarks.contenders import OURS
from benchmarks.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.contenders import Contender
    from benchmarks.heats import Heat
    from benchmarks.server import Server

_SHARED: Final = ("peer.py", "child.py", "events.py", "measure.py", "backlog.py")
"""Files that every measurement goes through."""


def machine(server: Server, persistence: str) -> dict[str, str]:
    """The machine, as a reader would describe it; names no host."""
    return {
        "processor": processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "server": server.version,
        "persistence": persistence,
    }


def processor() -> str:
    """The processor's name."""
    try:
        rows = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((row.partition(":")[2].strip() for row in rows if row.startswith("model name")), platform.processor() or "unknown")


def version(contender: Contender) -> str:
    """What a contender's library says its version is; for ours what its sources are."""
    if contender.name == OURS:
        return f"sources {sources()[:8]}"
    return environments.version(contender.environment, contender.library)


def key(heat: Heat, machine: dict[str, str]) -> str:
    """Changes when anything does that the numbers of a heat depend on."""
    parts = [repr(sorted(machine.items())), heat.name]
    for entrant in heat.entrants:
        contender = entrant.contender
        parts += [repr(entrant), environments.digest(contender.environment), sources() if contender.name == OURS else ""]
        parts.append(_digest([ROOT / "benchmarks" / "peers" / f"{contender.module}.py"]))
    parts.append(_digest(ROOT / "benchmarks" / name for name in _SHARED))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def sources() -> str:
    """Changes when a file of the package does."""
    return _digest(path for path in sorted((ROOT / "eventbus").rglob("*")) if path.suffix in (".py", ".lua"))


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
