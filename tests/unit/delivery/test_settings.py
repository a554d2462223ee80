"""Settings: the argument, else the variable, else the default; a wrong one is named, a url never shown."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from eventbus.delivery import Settings, check_arguments, resolve_settings
from eventbus.errors import ConfigurationError

NEEDED = {"url": "redis://localhost", "service": "billing"}

# name, a variable's text, what it means, another value
EVERY_SETTING = [
    ("url", "redis://a", "redis://a", "redis://b"),
    ("service", "billing", "billing", "shop"),
    ("prefix", "test:", "test:", "stage:"),
    ("lease", "12.5", 12.5, 3.0),
    ("claim_interval", "2", 2.0, 3.0),
    ("drain", "0.5", 0.5, 3.0),
    ("max_event_bytes", "1000", 1000, 2000),
    ("concurrency", "4", 4, 8),
    ("prefetch", "16", 16, 32),
]


def test_without_anything_said_the_documented_defaults_hold():
    """They are part of the interface."""
    assert asdict(resolve_settings(NEEDED, {})) == {
        **NEEDED,
        "prefix": "",
        "lease": 30.0,
        "claim_interval": 5.0,
        "drain": 25.0,
        "max_event_bytes": 1_048_576,
        "concurrency": 32,
        "prefetch": None,
    }


def test_the_table_of_this_file_has_every_setting():
    """A new setting is tested like the others."""
    assert [row[0] for row in EVERY_SETTING] == list(Settings.__dataclass_fields__)


@pytest.mark.parametrize(("name", "text", "meaning", "other"), EVERY_SETTING)
def test_an_argument_comes_before_a_variable_and_a_variable_before_the_default(name, text, meaning, other):
    """In this order, for every setting."""
    variables = {f"EVENTBUS_{name.upper()}": text}
    rest = {key: value for key, value in NEEDED.items() if key != name}
    from_variable = getattr(resolve_settings(rest, variables), name)
    assert (from_variable, type(from_variable)) == (meaning, type(meaning))
    assert getattr(resolve_settings({**rest, **check_arguments({name: other})}, variables), name) == other


def test_an_empty_variable_counts_as_not_set():
    """As compose files write what is not set."""
    assert resolve_settings(NEEDED, {"EVENTBUS_LEASE": "", "EVENTBUS_PREFIX": ""}).lease == 30.0


def test_an_empty_prefix_as_an_argument_overrides_the_variable():
    """A test of a service that wants none."""
    assert resolve_settings({**NEEDED, **check_arguments({"prefix": ""})}, {"EVENTBUS_PREFIX": "stage:"}).prefix == ""


def test_arguments_that_were_not_given_leave_room_for_variables():
    """None is "not said"."""
    assert check_arguments({"url": None, "lease": None, "drain": 3}) == {"drain": 3.0}


BAD = [
    *((name, value) for name in ("lease", "claim_interval", "drain") for value in ("0", "-1", "soon", "nan", "inf", " ")),
    *((name, value) for name in ("max_event_bytes", "concurrency", "prefetch") for value in ("0", "-1", "1.5", "many", "1e3")),
]


@pytest.mark.parametrize(("name", "text"), BAD)
def test_a_bad_variable_is_named_with_its_value(name, text):
    """Whoever deploys sees which line of the environment to change."""
    with pytest.raises(ConfigurationError) as caught:
        resolve_settings(NEEDED, {f"EVENTBUS_{name.upper()}": text})
    assert f"EVENTBUS_{name.upper()}={text!r}" in str(caught.value)
    assert "is expected" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *BAD,
        *((name, value) for name in ("lease", "concurrency") for value in (0, -1, True, False, [], b"x", float("nan"))),
        ("concurrency", 2.5),
        ("max_event_bytes", 1e3),
        ("lease", float("inf")),
    ],
)
def test_a_bad_argument_is_named_with_its_value(name, value):
    """True is no number of handlers, and 2.5 is none either."""
    with pytest.raises(ConfigurationError) as caught:
        check_arguments({name: value})
    assert f"{name}={value!r}" in str(caught.value)


@pytest.mark.parametrize("value", ["0.9", 0.001, 0.999])
def test_a_lease_that_is_too_short_to_live_in_is_refused_with_the_reason(value):
    """Heartbeats and reconnects are shares of it; a worker would be without its entries all the time."""
    with pytest.raises(ConfigurationError, match="at least 1 s .*: heartbeats and reconnects are shares of it"):
        check_arguments({"lease": value})
    with pytest.raises(ConfigurationError, match="EVENTBUS_LEASE='0.9': at least 1 s"):
        resolve_settings(NEEDED, {"EVENTBUS_LEASE": "0.9"})
    assert check_arguments({"lease": 1}) == {"lease": 1.0}


@pytest.mark.parametrize(("name", "value"), [("service", ""), ("service", "a b"), ("service", 3), ("prefix", "{x}"), ("prefix", 3)])
def test_names_that_cannot_be_part_of_a_key_are_refused(name, value):
    """Before anything connects."""
    with pytest.raises(ConfigurationError, match=name):
        check_arguments({name: value})


@pytest.mark.parametrize("value", ["", 3, b"redis://:s3cret@host", ["redis://:s3cret@host"]])
def test_a_bad_url_is_never_shown(value):
    """It may hold a password, whatever else is wrong with it."""
    with pytest.raises(ConfigurationError) as caught:
        check_arguments({"url": value})
    assert str(caught.value) == "url=…: a text that is not empty is expected"


@pytest.mark.parametrize(("missing", "words"), [("url", ("EVENTBUS_URL", "embedded://")), ("service", ("EVENTBUS_SERVICE", "service="))])
def test_what_has_no_default_says_both_ways_to_set_it(missing, words):
    """And for the url, how to try things out without a server."""
    with pytest.raises(ConfigurationError) as caught:
        resolve_settings({name: value for name, value in NEEDED.items() if name != missing}, {})
    assert all(word in str(caught.value) for word in words)
