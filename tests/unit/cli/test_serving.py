"""Where `--metrics-port` serves."""

from __future__ import annotations

import socket

import pytest
from typer.testing import CliRunner

from eventbus import ConfigurationError
from eventbus.cli.app import app
from eventbus.cli.serving import Place


@pytest.fixture
def taken():
    """A port of 127.0.0.1 that somebody listens on, with free ones before and after it, most likely."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize(("text", "first", "last"), [("9464", 9464, 9464), ("9464-9467", 9464, 9467), ("0", 0, 0), ("65535", 65535, 65535)])
def test_a_port_or_a_range_is_read_and_written_again(text, first, last):
    """Workers are told the same way."""
    place = Place.parse("127.0.0.1", text)
    assert (place.first, place.last, place.ports) == (first, last, text)


@pytest.mark.parametrize("text", ["", "x", "-1", "65536", "9467-9464", "0-5", "9464-", "9464-70000", "9464 9465", "٣"])
def test_what_is_no_port_is_refused(text):
    """With what to write."""
    with pytest.raises(ConfigurationError, match="give a port up to 65535"):
        Place.parse("127.0.0.1", text)


def test_a_wrong_port_ends_the_command_with_2():
    """Before anything is imported."""
    result = CliRunner().invoke(app, ["run", "a:b", "--metrics-port", "70000"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--metrics-port 70000" in result.stderr


@pytest.mark.parametrize(
    ("text", "workers", "ports"), [("9464", 4, "9464-9467"), ("9464", 1, "9464"), ("9464-9470", 4, "9464-9470"), ("0", 4, "0")]
)
def test_workers_get_a_port_each(text, workers, ports):
    """Counted up from the first, or from what was given."""
    assert Place.parse("h", text).for_workers(workers).ports == ports


@pytest.mark.parametrize(("text", "workers"), [("9464-9465", 3), ("65535", 2)])
def test_too_few_ports_for_the_workers_are_refused(text, workers):
    """Else one would end, and all with it."""
    with pytest.raises(ConfigurationError, match=f"{workers} workers need {workers} ports"):
        Place.parse("h", text).for_workers(workers)


def test_the_first_free_port_is_taken(taken):
    """One that a predecessor has left, say."""
    server = Place("127.0.0.1", taken, taken + 20).bind()
    assert taken < server.port <= taken + 20
    server.server_close()


def test_where_none_is_free_it_is_said(taken):
    """With the port and the reason."""
    with pytest.raises(ConfigurationError, match=f"--metrics-port {taken}: cannot serve at 127.0.0.1: Address already in use"):
        Place("127.0.0.1", taken, taken).bind()
    with pytest.raises(ConfigurationError, match="Address already in use"):
        Place("127.0.0.1", taken, taken).check()


def test_a_host_that_is_not_ours_is_said_and_no_other_port_is_tried():
    """It would fail for each of them."""
    with pytest.raises(ConfigurationError, match="--metrics-port 9464: cannot serve at 192.0.2.1"):
        Place("192.0.2.1", 9464, 9999).bind()
