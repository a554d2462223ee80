"""Where Redis is, parsed from a url once, so that a typing error is found before anything connects."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from eventbus.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORMS = "redis://host:6379/0, rediss://host:6379/0 or unix:///path/to/redis.sock?db=0"
_ENCODE = " (special characters of a user, password or path are percent-encoded: '/' is %2F, '?' is %3F, '#' is %23, '@' is %40)"
_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_OPTIONS: Mapping[str, frozenset[str]] = {
    "redis": frozenset({"db"}),
    "rediss": frozenset({"db", *_TLS_FILES}),
    "unix": frozenset({"db"}),
}


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of a `rediss://` connection; the server's certificate and host name are always verified.

    Attributes:
        ca_certs: Certificates to trust instead of the system's.
        certfile: The client's certificate, where the server asks for one.
        keyfile: The client's private key.
    """

    ca_certs: str | None = None
    certfile: str | None = None
    keyfile: str | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed `redis://`, `rediss://` or `unix://` url. Printing it never shows the password."""

    scheme: str
    host: str = ""
    port: int = 6379
    path: str = ""
    db: int = 0
    username: str | None = field(default=None, repr=False)  # or a password whose ':' was forgotten
    password: str | None = field(default=None, repr=False)
    tls: Tls | None = None

    @classmethod
    def parse(cls, url: str) -> Address:
        """Parse a url.

        Args:
            url: `redis://[user:password@]host[:6379][/db]`, `rediss://…` (TLS; the files by
                `?ssl_ca_certs=…&ssl_certfile=…&ssl_keyfile=…`) or `unix://[user:password@]/path[?db=0]`.
                Special characters of user, password and path are percent-encoded.

        Raises:
            ConfigurationError: The url has another form; the message repeats no part of it that may hold
                a password, or the rest of one that was not encoded.
        """
        parts = _split(url)
        options = _options(parts, url)
        user, password = (unquote(text) if text else None for text in (parts.username, parts.password))
        if parts.scheme == "unix":
            path = unquote(parts.path)
            if not path or parts.netloc.rpartition("@")[2]:
                raise ConfigurationError(f"a unix:// url needs an absolute path: unix:///path/to/redis.sock{_ENCODE}")
            return cls("unix", path=path, db=_db(options.get("db", "0"), url), username=user, password=password)
        db = _db(options.get("db") or parts.path.strip("/") or "0", url)
        tls = _tls(options) if parts.scheme == "rediss" else None
        return cls(parts.scheme, parts.hostname or "localhost", _port(parts), "", db, user, password, tls)

    def __str__(self) -> str:
        """The address without user and password, for logs and errors."""
        if self.scheme == "unix":
            return f"unix://{self.path}" + (f"?db={self.db}" if self.db else "")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}/{self.db}"


def _split(url: str) -> SplitResult:
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if scheme not in _OPTIONS:
        raise ConfigurationError(f"the Redis url begins with {_shown(scheme, url)}; write {_FORMS} (or embedded:// to try things out)")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigurationError(f"the Redis url cannot be parsed; write {_FORMS}{_ENCODE}") from None
    if "#" in url:
        raise ConfigurationError(f"the Redis url has a '#'; write {_FORMS}{_ENCODE}")
    if "@" in parts.path + parts.query:
        raise ConfigurationError(f"the Redis url has a '@' after its host; write {_FORMS}{_ENCODE}")
    return parts


def _shown(part: str, url: str) -> str:
    """A part of a url for a message, where the url holds no password.

    An unencoded `/`, `?`, `#` or `@` in a password moves the rest of it into other parts. For the same
    reason no error of `urllib` is chained.
    """
    return "…" if "@" in url else repr(part)


def _options(parts: SplitResult, url: str) -> dict[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in options:
        if name not in _OPTIONS[parts.scheme]:
            known = ", ".join(sorted(_OPTIONS[parts.scheme]))
            raise ConfigurationError(f"the {parts.scheme}:// url has an option {_shown(name, url)}; known are: {known}{_ENCODE}")
    return options


def _db(text: str, url: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < len(str(1 << 31))):  # Redis keeps it in 32 bits
        raise ConfigurationError(f"the Redis url names database {_shown(text, url)}; write a number, for example /0{_ENCODE}")
    return int(text)


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ConfigurationError(f"the port in the Redis url is no number between 1 and 65535{_ENCODE}")
    return port or 6379


def _tls(options: Mapping[str, str]) -> Tls:
    for name in _TLS_FILES:
        if name in options and not Path(options[name]).is_file():
            raise ConfigurationError(f"{name}={options[name]!r} in the Redis url is not a file")
    return Tls(options.get("ssl_ca_certs"), options.get("ssl_certfile"), options.get("ssl_keyfile"))
