"""What `eventbus tail --from` takes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from eventbus import ConfigurationError
from eventbus.cli.moments import id_or_time, parse_beginning, parse_span

NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("0", "0-0"),
        ("1763709419123-4", "1763709419123-3"),
        ("1763709419123", "1763709419122-18446744073709551615"),
        ("1970-01-01T00:00:01.123Z", "1122-18446744073709551615"),
        ("1970-01-01T02:00:01+02:00", "999-18446744073709551615"),
        ("10m", "999399999-18446744073709551615"),
        ("1h30m", "994599999-18446744073709551615"),
        ("1.5s", "999998499-18446744073709551615"),
        ("250ms", "999999749-18446744073709551615"),
        ("99999d", "0-0"),
    ],
)
def test_a_beginning_is_an_id_a_time_or_how_long_ago(text, after):
    """Reading goes on after the id before the first one wanted, so that this one is shown."""
    assert parse_beginning(text).after(NOW) == after


@pytest.mark.parametrize("text", ["", "yesterday", "1-2-3", "-1", "10 m", "5x", "9" * 20, "\u0661-0", "2026-13-01T00:00:00Z"])
def test_anything_else_is_refused_with_what_to_write(text):
    """One sentence names all three forms."""
    with pytest.raises(ConfigurationError, match=r"entry id .* a time with its zone .* how long ago"):
        parse_beginning(text)


def test_a_time_without_a_zone_is_refused():
    """It could mean two moments."""
    with pytest.raises(ConfigurationError, match="has no zone: add Z"):
        parse_beginning("2026-11-21T07:00:00")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1500-7", datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)),
        ("1970-01-01T02:00:01+02:00", datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
        ("10m", datetime.fromtimestamp(NOW - 600, UTC)),
        ("18446744073709551615-0", datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)),
    ],
)
def test_a_beginning_is_a_time_as_well(text, moment):
    """For what is filtered by time; an id far in the future is the end of the calendar."""
    assert parse_beginning(text, "--since").moment(NOW) == moment


def test_a_wrong_moment_names_its_option():
    """There are three of them."""
    with pytest.raises(ConfigurationError, match="--until 'x'"):
        parse_beginning("x", "--until")


def test_a_span_is_seconds():
    """Units add up; anything else is refused with what to write."""
    assert [parse_span(text, "--max-age") for text in ("90s", "1h30m", "7d", "250ms")] == [90.0, 5400.0, 604_800.0, 0.25]
    for text in ("", "7", "d", "-1d", "1 d"):
        with pytest.raises(ConfigurationError, match="--max-age .* give a span of time"):
            parse_span(text, "--max-age")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1763709419123-4", "1763709419123-4"),
        ("5", "5"),
        ("1970-01-01T00:00:01.123Z", datetime(1970, 1, 1, 0, 0, 1, 123_000, UTC)),
        ("1000000s", datetime(1970, 1, 1, tzinfo=UTC)),
        ("99999d", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_an_id_stays_one_and_all_else_is_a_time(text, moment):
    """As the end of a range they differ: a time means all of its millisecond."""
    assert id_or_time(text, "--to", NOW) == moment
