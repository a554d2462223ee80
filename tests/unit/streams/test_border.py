"""The border to redis-py: each of its exceptions becomes the one of ours that tells the reader what to do."""

from __future__ import annotations

import pytest
from redis import exceptions as foreign

from eventbus.errors import BackendRefused, BackendUnavailable
from eventbus.streams.border import code_of, refused, translate

ANSWERS = [
    (foreign.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"), "WRONGTYPE", "another topic name"),
    (foreign.ResponseError("NOGROUP No such key 'orders'"), "NOGROUP", "group is gone"),
    (foreign.ResponseError("MISCONF Redis is configured to save"), "MISCONF", "cannot save to disk"),
    (foreign.ResponseError("UNBLOCKED the stream key no longer exists"), "UNBLOCKED", ""),
    (foreign.ResponseError("ERR syntax error"), "ERR", ""),
    (foreign.ResponseError("syntax error"), "ERR", ""),
    (foreign.ResponseError("DB index is out of range"), "ERR", "a smaller database in the url"),
    (foreign.ResponseError("SELECT is not allowed in cluster mode"), "ERR", "a cluster has database 0 alone"),
    (foreign.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), "OOM", "raise it, or trim"),
    (foreign.ReadOnlyError("You can't write against a read only replica."), "READONLY", "point the url at the primary"),
    (foreign.NoPermissionError("this user has no permissions"), "NOPERM", "permission for this command"),
    (foreign.NoScriptError("No matching script."), "NOSCRIPT", ""),
    (foreign.MasterDownError("Link with MASTER is down"), "MASTERDOWN", ""),
    (foreign.ClusterDownError("CLUSTERDOWN The cluster is down"), "CLUSTERDOWN", ""),
    (foreign.TryAgainError("TRYAGAIN Multiple keys request during rehashing"), "TRYAGAIN", ""),
]


@pytest.mark.parametrize(("error", "code", "remedy"), ANSWERS, ids=lambda value: value if isinstance(value, str) else "")
def test_an_error_answer_becomes_a_refusal_with_its_code_once_and_its_remedy(error, code, remedy):
    """Also where redis-py has cut the code off."""
    found = refused(error, "reading")
    assert (found.code, code_of(error)) == (code, code)
    assert str(found).startswith(f"reading: Redis refused: {code} ")
    assert str(found).count(code) == 1
    assert remedy in str(found)


def wrapped(error):
    """As redis-py raises it on a unix socket."""
    outer = foreign.ConnectionError(f"Error connecting: {error}")
    outer.__cause__ = error
    return outer


WRONG = [foreign.AuthenticationError("WRONGPASS s3cret"), foreign.AuthorizationError("s3cret")]


@pytest.mark.parametrize("error", [*WRONG, *map(wrapped, WRONG)])
def test_a_wrong_password_is_an_answer_and_is_not_shown(error):
    """redis-py files it under connection errors, which one would try again."""
    found = translate(error, "connecting")
    assert isinstance(found, BackendRefused)
    assert found.code == "NOAUTH"
    assert "user and password into the url" in str(found)
    assert "s3cret" not in str(found)


@pytest.mark.parametrize("said", ["unknown command 'AUTH'", "ERR unknown command `AUTH`"])
def test_what_a_server_quotes_of_a_command_it_does_not_know_is_not_shown(said):
    """A server whose AUTH was renamed, or that has none, repeats the password."""
    error = foreign.ResponseError(f"{said}, with args beginning with: 'bob' 's3cret' ")
    found = translate(wrapped(error), "connecting")
    assert str(found).endswith(said)
    assert "s3cret" not in str(found)


@pytest.mark.parametrize("error", [ANSWERS[0][0], foreign.ResponseError("DB index is out of range")])
def test_an_error_answer_is_found_however_deep_redis_py_wraps_it(error):
    """What the server answered to SELECT while connecting is an answer, too."""
    found = translate(wrapped(wrapped(error)), "connecting", maybe_executed=False)
    assert isinstance(found, BackendRefused)
    assert str(found) == str(refused(error, "connecting"))


@pytest.mark.parametrize(
    "error",
    [
        foreign.ConnectionError("Connection closed by server."),
        foreign.TimeoutError("Timeout reading from socket"),
        foreign.InvalidResponse("not a reply"),
        ConnectionResetError("reset by peer"),
        BrokenPipeError(),
        TimeoutError(),
        EOFError(),
    ],
)
def test_without_an_answer_nobody_knows_whether_it_was_executed(error):
    """The reason is kept, also where the exception has no text."""
    found = translate(error, "publishing at redis://host")
    assert isinstance(found, BackendUnavailable)
    assert found.maybe_executed
    assert str(found).startswith(f"publishing at redis://host: no answer from Redis ({type(error).__name__}")
    assert str(error) in str(found)
    assert not translate(error, "connecting", maybe_executed=False).maybe_executed


@pytest.mark.parametrize("error", [BackendUnavailable("x", maybe_executed=False), BackendRefused("x", code="OOM")])
def test_what_is_ours_already_stays_what_it_is(error):
    """It was translated where more was known."""
    assert translate(error, "anything") is error
