"""What an `embedded://` url may say, and what children are told."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from eventbus.errors import ConfigurationError
from eventbus.streams.embedded_urls import VARIABLE, hand_on, handed_on, parse, url_of

if TYPE_CHECKING:
    from pathlib import Path


def test_a_url_without_a_path_means_memory() -> None:
    """`embedded://` names no directory."""
    assert parse("embedded://") is None
    assert url_of(None) == "embedded://"


def test_one_directory_has_one_url_however_it_is_url_of(tmp_path: Path) -> None:
    """Links, dots, slashes and percent-encoding lead to the same url."""
    data = tmp_path / "my data"
    (tmp_path / "link").symlink_to(data)
    spellings = [f"{tmp_path}/my data", f"{tmp_path}/my%20data/", f"{tmp_path}/x/../my data", f"{tmp_path}/link"]
    assert {parse(f"embedded://{path}") for path in spellings} == {data}
    assert parse(url_of(data)) == data


@pytest.mark.parametrize(
    "url",
    [
        "embedded:",
        "embedded:/data",
        "embedded:///",
        "embedded://data",
        "embedded://./data",
        "embedded://localhost/data",
        "embedded:///data?db=1",
        "embedded:///data#1",
        "embedded:///da%00ta",
        "embedded://[",
        "redis://localhost",
    ],
)
def test_any_other_form_is_refused_with_what_to_write(url: str) -> None:
    """A relative path, a host, options: the message shows both forms there are."""
    with pytest.raises(ConfigurationError, match=r"write embedded:// .* or embedded:///absolute/path"):
        parse(url)


def test_servers_are_handed_on_and_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several at once; the variable is gone with the last."""
    monkeypatch.setenv(VARIABLE, "")
    hand_on("embedded://", "unix:///a")
    hand_on("embedded:///data", "unix:///b")
    assert handed_on() == {"embedded://": "unix:///a", "embedded:///data": "unix:///b"}
    hand_on("embedded://", None)
    assert handed_on() == {"embedded:///data": "unix:///b"}
    hand_on("embedded:///data", None)
    assert VARIABLE not in os.environ


@pytest.mark.parametrize("text", ["x", "3", '["a"]', '{"embedded://": 3}', "[]"])
def test_a_variable_with_anything_else_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Somebody else has set it."""
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(ConfigurationError, match="EVENTBUS_EMBEDDED_SERVERS is no JSON object"):
        handed_on()
