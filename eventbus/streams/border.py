"""The border to redis-py: its exceptions become ours here and nowhere else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from redis import exceptions as foreign

from eventbus.errors import BackendError, BackendRefused, BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

_CODES: Final[dict[type[foreign.ResponseError], str]] = {
    foreign.NoScriptError: "NOSCRIPT",
    foreign.OutOfMemoryError: "OOM",
    foreign.ReadOnlyError: "READONLY",
    foreign.NoPermissionError: "NOPERM",
    foreign.MasterDownError: "MASTERDOWN",
    foreign.ClusterDownError: "CLUSTERDOWN",
    foreign.TryAgainError: "TRYAGAIN",
}

_REMEDIES: Final = {
    "OOM": "Redis is at its maxmemory: raise it, or trim streams",
    "WRONGTYPE": "the key holds another Redis type: choose another topic name, or delete the key",
    "READONLY": "this server is a replica: point the url at the primary",
    "NOPERM": "give the Redis user the permission for this command and key",
    "NOAUTH": "put user and password into the url",
    "MISCONF": "Redis cannot save to disk: see its log",
    "NOGROUP": "the consumer group is gone",
    "NOSCRIPT": "the server forgot a script, which a new connection loads; give the Redis user the permission for SCRIPT LOAD",
}

_DATABASES: Final = {
    "DB index is out of range": "choose a smaller database in the url, or raise `databases` in Redis's configuration",
    "SELECT is not allowed in cluster mode": "a cluster has database 0 alone: leave the database out of the url",
}

_IN_SCRIPT: Final = re.compile(r"^(?:ERR )?(?:Error running script .*?)?@user_script: ?\d+: (?:@user_script: ?\d+: )?-?([A-Z]{3,}) ")
"""6.2 wraps an error of a command that a script called, once more where the script did not catch it; later versions pass it on
as it is."""

QUOTED: Final = ", with args beginning with"
"""Behind it an answer quotes the arguments of a command that the server does not know: of AUTH the password."""

_UNAUTHORISED: Final = (foreign.AuthenticationError, foreign.AuthorizationError)


def code_of(error: Exception) -> str:
    """The first word of Redis's answer, also where redis-py has cut it off."""
    for kind, code in _CODES.items():
        if isinstance(error, kind):
            return code
    if wrapped := _IN_SCRIPT.match(str(error)):
        return wrapped[1]
    first = str(error).partition(" ")[0]
    # Of a plain ERR redis-py leaves the sentence; "DB" and "SELECT" begin some.
    return first if first.isupper() and str(error) not in _DATABASES else "ERR"


def refused(error: Exception, doing: str) -> BackendRefused:
    """Translate an error answer. Of Redis's own text is kept what names keys and commands, never values."""
    code = code_of(error)
    said, _, _ = str(error).partition(QUOTED)
    remedy = _REMEDIES.get(code) or _DATABASES.get(said)
    text = said if said.startswith(code) else f"{code} {said}"
    return BackendRefused(f"{doing}: Redis refused: {text}" + (f" ({remedy})" if remedy else ""), code=code)


def translate(error: Exception, doing: str, *, maybe_executed: bool = True) -> BackendError:
    """Translate any exception of redis-py or the socket."""
    if isinstance(error, BackendError):
        return error
    for each in _causes(error):
        # redis-py files these under ConnectionError, although the server has answered.
        if isinstance(each, _UNAUTHORISED):
            return BackendRefused(f"{doing}: Redis refused the user or password ({_REMEDIES['NOAUTH']})", code="NOAUTH")
        if isinstance(each, foreign.ResponseError):
            return refused(each, doing)
    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return BackendUnavailable(f"{doing}: no answer from Redis ({reason})", maybe_executed=maybe_executed)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what led to it: on a unix socket redis-py wraps an answer to AUTH or SELECT in a ConnectionError."""
    while error is not None:
        yield error
        error = error.__cause__


FOREIGN_ERRORS: Final = (foreign.RedisError, OSError, TimeoutError, EOFError)
