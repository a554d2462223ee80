"""Where the libraries are installed: an environment each, since they want different versions of the same things.

They are made from hash-pinned files in `benchmarks/requirements`, in `.bench/envs`, by the interpreter that runs this.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import venv
from typing import TYPE_CHECKING, Final

from benchmarks.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

LOCKS: Final = ROOT / "benchmarks" / "requirements"
FOLDER: Final = ROOT / ".bench" / "envs"

NEEDS: Final = {"rapids": (3, 12)}
"""The oldest Python of environments that need more than the project itself."""


class NotInstalled(Exception):
    """An environment could not be made; the message shows what pip said."""


def lock(name: str) -> Path:
    """The file that pins an environment."""
    return LOCKS / f"{name}.lock"


def possible(name: str) -> bool:
    """Whether this interpreter is new enough for an environment."""
    return sys.version_info[:2] >= NEEDS.get(name, (3, 11))


def python(name: str) -> str:
    """The interpreter of an environment."""
    return str(FOLDER / name / "bin" / "python")


def version(name: str, library: str) -> str:
    """The version of a library that an environment pins; empty where it has none of that name."""
    found = re.search(rf"^{re.escape(library)}==(\S+)", lock(name).read_text(), re.MULTILINE)
    return found[1] if found else ""


def made(name: str) -> bool:
    """Whether an environment is there, with these pins and this interpreter."""
    stamp = _stamp(name)
    return stamp.exists() and stamp.read_text() == digest(name)


def make(name: str) -> None:
    """Make an environment anew.

    Raises:
        NotInstalled: This interpreter is too old for it, or pip could not install it.
    """
    if not possible(name):
        raise NotInstalled(f"{name} needs Python {'.'.join(map(str, NEEDS[name]))} or newer: run the benchmarks with that")
    venv.EnvBuilder(clear=True, symlinks=True, with_pip=True).create(FOLDER / name)
    _run([python(name), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--require-hashes", "-r", str(lock(name))])
    _stamp(name).write_text(digest(name))


def _stamp(name: str) -> Path:
    return FOLDER / name / "made"


def digest(name: str) -> str:
    """Changes when the pins or the interpreter do."""
    return hashlib.sha256(f"{sys.version} {lock(name).read_text()}".encode()).hexdigest()[:16]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotInstalled(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
