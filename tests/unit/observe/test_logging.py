"""Log records as lines."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from eventbus import ConfigurationError
from eventbus.observe import ConsoleFormatter, JsonFormatter, configure, escaped, escaped_json


@pytest.fixture
def log():
    """A logger of the test's own, and what was logged, formatted."""
    logger = logging.Logger("eventbus.test")  # noqa: LOG001 - of no tree, so that no handler of others hears it
    lines = []

    class Keep(logging.Handler):
        def emit(self, record):
            lines.append(record)

    logger.addHandler(Keep())
    return logger, lines


def failed(log):
    try:
        raise ValueError("first\x1b[31m\nsecond")
    except ValueError:
        log.exception("it failed")


def test_a_console_line_has_time_level_logger_message_and_the_fields_of_the_extra(log):
    """What a person reads, and can search for by key."""
    logger, records = log
    logger.warning("the group %s", "orders/charge", extra={"eventbus": {"topic": "orders", "why": "a word = two"}, "order": 7})
    line = ConsoleFormatter().format(records[0])
    assert line[10] == "T"
    assert line[23] == "Z"
    assert line[25:] == 'WARNING  eventbus.test: the group orders/charge  order=7  topic=orders  why="a word = two"'


def test_a_console_record_can_neither_forge_a_line_nor_command_a_terminal(log):
    """Control characters are escaped in messages, fields and tracebacks."""
    logger, records = log
    logger.info("a\nb\x1b[2J\x9b\u202e", extra={"eventbus": {"type": "x\r\ny"}})
    line = ConsoleFormatter().format(records[0])
    assert line.endswith(r"a\nb\x1b[2J\x9b\u202e  type=x\r\ny")
    failed(logger)
    below = ConsoleFormatter().format(records[1]).split("\n")
    assert below[1] == "Traceback (most recent call last):"
    assert below[-2:] == [r"ValueError: first\x1b[31m", "second"]


def test_a_json_line_has_the_named_fields_and_the_exception_as_text(log):
    """What a log store reads."""
    logger, records = log
    logger.info("hello %s", "you", extra={"eventbus": {"topic": "orders", "level": "mine"}})
    failed(logger)
    first, second = (json.loads(JsonFormatter().format(record)) for record in records)
    ts = first.pop("ts")
    assert ts.endswith("Z")
    assert first == {"level": "info", "logger": "eventbus.test", "message": "hello you", "topic": "orders", "level_": "mine"}
    assert second["exception"].startswith("Traceback")
    assert "ValueError: first" in second["exception"]
    assert "\n" not in JsonFormatter().format(records[1])


@pytest.mark.parametrize("formatter", [ConsoleFormatter(), JsonFormatter()])
def test_a_record_is_written_whatever_its_fields_hold_and_objects_show_their_class_only(log, formatter):
    """A log line is never lost for what was put into it, and no payload comes in by a repr."""

    class Order:
        def __repr__(self):
            return "secret"

    logger, records = log
    logger.info("lone \ud800", extra={"order": Order(), "big": 1 << 70, "one": {"of": Order()}})
    logger.info("%d arguments", "wrong")
    lines = [formatter.format(record) for record in records]
    assert "secret" not in "".join(lines)
    assert "<Order>" in lines[0]
    assert str(1 << 70) in lines[0]
    assert "%d arguments" in lines[1]


def test_configuring_twice_writes_every_record_once_and_leaves_handlers_of_others():
    """A later call replaces an earlier one."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stranger, first, second = logging.NullHandler(), io.StringIO(), io.StringIO()
    root.addHandler(stranger)
    try:
        configure("console", "debug", first)
        configure("json", "warning", second)
        logging.getLogger("eventbus.test").info("too low")
        logging.getLogger("eventbus.test").error("once")
        assert first.getvalue() == ""
        assert [json.loads(line)["message"] for line in second.getvalue().splitlines()] == ["once"]
        assert stranger in root.handlers
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@pytest.mark.parametrize(("shape", "level"), [("xml", "info"), ("json", "loud")])
def test_an_unknown_format_or_level_is_named(shape, level):
    """The message names the value and what to choose."""
    with pytest.raises(ConfigurationError, match="choose"):
        configure(shape, level, sys.stderr)


def test_escaping_leaves_other_text_alone_and_json_its_value():
    """Only what a terminal obeys is touched."""
    assert escaped('Grüße, "日本" \\') == 'Grüße, "日本" \\'
    document = json.dumps({"a": "\x9b\u2028é"}, ensure_ascii=False).encode()
    assert escaped_json(document) == '{"a": "\\u009b\\u2028é"}'
    assert json.loads(escaped_json(document)) == {"a": "\x9b\u2028é"}
