"""The lock of the service in TypeScript: whoever installs takes the packages from where he takes others."""

from __future__ import annotations

import json
from pathlib import Path

NOTIFIER = Path(__file__).parents[3] / "services" / "notifier"


def test_the_lock_names_no_registry_and_holds_every_package_to_its_hash():
    """Addresses would stand in it unless .npmrc said otherwise."""
    packages = {name: each for name, each in json.loads((NOTIFIER / "package-lock.json").read_text())["packages"].items() if name}
    assert len(packages) > 3
    assert [name for name, each in packages.items() if "resolved" in each] == []
    assert [name for name, each in packages.items() if not each["integrity"].startswith("sha512-")] == []
    assert "omit-lockfile-registry-resolved=true" in (NOTIFIER / ".npmrc").read_text().splitlines()
