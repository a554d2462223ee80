"""Mistakes on the command line, found before anything connects."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from eventbus.cli.app import app

COMMANDS = ("run", "publish", "tail", "info", "pending", "trim", "replay")
FAMILIES = {"dead": ("list", "show", "redrive", "discard", "export"), "groups": ("list", "rename", "abandon")}
EVERY = [*COMMANDS, *(f"{family} {command}" for family, commands in FAMILIES.items() for command in commands)]
REFUSING = "redis://u:secret@127.0.0.1:1"


def invoke(*arguments, **environment):
    return CliRunner().invoke(app, list(arguments), env={"EVENTBUS_URL": None, "EVENTBUS_PREFIX": None, **environment})


@pytest.mark.parametrize("command", EVERY)
def test_help_has_examples_and_the_exit_codes(command):
    """Each command's page stands for itself."""
    result = invoke(*command.split(), "--help")
    assert result.exit_code == 0
    assert f"eventbus {command}" in result.output.split("Options:")[0].split("\n", 1)[1]
    assert "4  no such topic, group, dead letter, scheduled event or replay, or nothing of the range is kept\n" in result.output


def test_the_first_page_names_every_command():
    """`eventbus` alone shows it too."""
    for arguments in ([], ["--help"]):
        output = invoke(*arguments).output
        assert all(f"\n  {command} " in output for command in (*COMMANDS, *FAMILIES))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_page_of_a_family_names_its_commands(family):
    """`eventbus dead` alone shows it too."""
    for arguments in ([family], [family, "--help"]):
        output = invoke(*arguments).output
        assert all(f"\n  {command} " in output for command in FAMILIES[family])


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["run"],
        ["run", "a:b", "--workers", "0"],
        ["run", "a:b", "--log-format", "xml"],
        ["tail"],
        ["tail", "orders", "--count", "0"],
        ["pending", "orders"],
        ["info", "--output", "yaml"],
        ["publish", "orders", "--type", "X"],
        ["dead"],
        ["dead", "list"],
        ["dead", "list", "orders", "charge", "--reason", "bad luck"],
        ["dead", "show", "orders"],
        ["dead", "redrive", "orders", "charge", "--rate", "fast"],
        ["groups", "rename", "orders", "charge"],
        ["trim", "orders", "--max-len", "-1"],
    ],
)
def test_wrong_usage_ends_with_2_and_nothing_on_standard_output(arguments):
    """As every command line does."""
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["info"], "no Redis url: pass --url"),
        (["info", "--url", "redis://host/x:secret"], "database"),
        (["info", "--url", "http://u:secret@host"], "write redis://"),
        (["info", "--url", "redis://u:secret@host:port"], "port"),
        (["tail", "orders", "--url", "redis://u:secret@127.0.0.1:1", "--from", "never"], "give an entry id"),
        (["tail", "or ders", "--url", "redis://u:secret@127.0.0.1:1"], "topic 'or ders'"),
        (["info", "or{d}ers", "--url", "redis://u:secret@127.0.0.1:1"], "leave out braces"),
        (["pending", "orders", "a b", "--url", "redis://u:secret@127.0.0.1:1"], "group 'a b'"),
        (["info", "--prefix", "a b", "--url", "redis://u:secret@127.0.0.1:1"], "prefix 'a b'"),
        (["publish", "orders", "--type", "X", "{}", "--prefix", "{", "--url", "redis://u:secret@127.0.0.1:1"], "prefix"),
        (["dead", "list", "orders", "charge", "--since", "never", "--url", REFUSING], "--since 'never': give an entry id"),
        (["dead", "list", "orders", "--newest", "--url", REFUSING], "eventbus dead list orders GROUP"),
        (["dead", "list", "orders", "a b", "--url", REFUSING], "group 'a b'"),
        (["dead", "redrive", "orders", "charge", "--url", REFUSING], "redrive: say which"),
        (["dead", "redrive", "orders", "charge", "1-0", "--all", "--url", REFUSING], "not both"),
        (["dead", "discard", "orders", "charge", "1-0", "--error", "X", "--url", REFUSING], "not both"),
        (["dead", "discard", "orders", "charge", "--url", REFUSING], "discard: say which"),
        (["dead", "export", "orders", "charge", "1-0", "--since", "1h", "--url", REFUSING], "not both"),
        (["groups", "rename", "orders", "charge", "a b", "--url", REFUSING], "group 'a b'"),
        (["trim", "orders", "--url", REFUSING], "say what to keep"),
        (["trim", "orders", "--max-age", "forever", "--url", REFUSING], "--max-age 'forever': give a span of time"),
        (["run", "a:b", "--workers", "2", "--reload"], "choose one"),
        (["run", "no_such_module:bus"], "there is no module 'no_such_module'"),
    ],
)
def test_wrong_values_end_with_2_and_one_sentence_without_the_password(arguments, said):
    """The sentence says what to write instead."""
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("eventbus: ")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert "secret" not in result.output.replace("x:secret", "")


@pytest.mark.parametrize(
    "command",
    [
        ["info"],
        ["tail", "orders"],
        ["pending", "orders", "charge"],
        ["dead", "list", "orders"],
        ["dead", "redrive", "orders", "charge", "--all"],
        ["groups", "list"],
        ["trim", "orders", "--max-len", "1"],
    ],
)
def test_a_redis_that_does_not_answer_ends_with_3_and_the_password_stays_out(command):
    """Port 1 refuses."""
    result = invoke(*command, EVENTBUS_URL="redis://user:secret@127.0.0.1:1/0")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "redis://127.0.0.1:1/0: no answer from Redis" in result.stderr
    assert "secret" not in result.output


def test_help_shows_no_value_of_the_environment():
    """A url there may hold a password."""
    assert "secret" not in invoke("info", "--help", EVENTBUS_URL="redis://user:secret@host").output


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_its_extra_the_command_line_says_what_to_install(missing):
    """`eventbus` is installed with the core, its libraries are not."""
    script = f"import sys; sys.modules[{missing!r}] = None; from eventbus.cli import main; main()"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"eventbus: the command line needs {missing}: pip install 'eventbus[cli]'\n"
