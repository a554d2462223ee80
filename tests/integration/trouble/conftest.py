"""Fixtures of the matrix: a server with a password for each test, and figures that are printed at the end."""

from __future__ import annotations

import logging
from contextlib import ExitStack

import pytest

from tests.servers import newest_on_path, packaged, spelled
from tests.support.ordeal import CARD, PASSWORD, Guarded

PROGRAMS = {program.version: program for program in (packaged(), newest_on_path()) if program}
"""The servers of this machine that can be killed and paused; one that a variable names cannot."""


@pytest.fixture(params=PROGRAMS.values(), ids=lambda program: spelled(program.version))
def servers(request):
    """A factory of servers of the test's own."""
    with ExitStack() as stack:

        def start():
            server = Guarded(request.param)
            stack.callback(server.stop)
            return server

        yield start


@pytest.fixture
def server(servers):
    return servers()


@pytest.fixture(autouse=True)
def _logs_show_no_secret_and_no_defect(caplog):
    caplog.set_level(logging.DEBUG, "eventbus")
    yield
    said = "\n".join(map(caplog.handler.format, caplog.get_records("call")))
    assert PASSWORD not in said
    assert CARD not in said
    assert "failed and starts again" not in said  # only Redis was at fault
