"""`import eventbus` costs what its core dependencies cost, and loads nothing else."""

from __future__ import annotations

import json
import subprocess
import sys

CORE = {"anyio", "hiredis", "orjson", "pydantic", "redis"}

# What those import themselves, under the names that modules have.
THEIRS = {
    "annotated_types",  # pydantic
    "async_timeout",  # redis, before Python 3.11.3
    "cryptography",  # redis, where it is installed
    "idna",  # anyio
    "pydantic_core",
    "typing_extensions",
    "typing_inspection",  # pydantic
}

# The standard library's sysconfig keeps the build's values in a module that is named after the platform.
PLATFORMS = "_sysconfigdata_"

LOADED = """
import json, sys
before = set(sys.modules)  # an editable install's own hooks
import eventbus
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def loaded_by(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_importing_eventbus_loads_its_core_dependencies_and_nothing_else():
    """No extra, no tool that happens to be installed, is loaded by the front door."""
    top_level = {name.partition(".")[0] for name in loaded_by(LOADED) if not name.startswith(PLATFORMS)}
    assert top_level - sys.stdlib_module_names - CORE - THEIRS == {"eventbus"}


def test_importing_eventbus_leaves_the_faces_alone():
    """The command line, the test helpers and the embedded server are loaded by who uses them."""
    loaded = loaded_by(LOADED)
    assert not {name for name in loaded if name.startswith(("eventbus.cli", "eventbus.testing", "eventbus.dashboard"))}
