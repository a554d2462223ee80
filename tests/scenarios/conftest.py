"""What the tests of scenarios share: a server, and a folder for what the scenario writes."""

from __future__ import annotations

import pytest

from tests.servers import Server, packaged


@pytest.fixture
def url():
    """A server of the test's own, since workers that are killed leave connections and members behind."""
    server = Server(packaged())
    yield server.url
    server.stop()
