"""Where `--metrics-port` serves, and the small HTTP server that does."""

from __future__ import annotations

import errno
import logging
import re
import socket
import socketserver
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Final, NamedTuple

from eventbus.errors import ConfigurationError
from eventbus.observe.health import Pulse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_log = logging.getLogger("eventbus.cli.metrics")

LARGEST_PORT: Final = 65_535

PATIENCE: Final = 10.0
"""Seconds after which a client that says nothing is let go."""

_PORTS: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Place:
    """Where to serve.

    Attributes:
        host: A name or address of this machine.
        first: The first port; 0 for any.
        last: The last port: the first free one is taken.
    """

    host: str
    first: int
    last: int

    @classmethod
    def parse(cls, host: str, ports: str) -> Place:
        """Read `9464` or `9464-9467`.

        Raises:
            ConfigurationError: It is neither.
        """
        found = _PORTS.fullmatch(ports)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if not first <= last <= LARGEST_PORT or (first == 0 < last):
            raise ConfigurationError(f"--metrics-port {ports}: give a port up to {LARGEST_PORT}, or a range such as 9464-9467")
        return cls(host, first, last)

    @property
    def ports(self) -> str:
        """As it is written on the command line."""
        return f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"

    def for_workers(self, count: int) -> Place:
        """Make room for so many processes, each of which takes the first free port.

        Raises:
            ConfigurationError: There is no room.
        """
        if self.first == 0:
            return self
        last = self.first + count - 1 if self.first == self.last else self.last
        if last > LARGEST_PORT or last - self.first + 1 < count:
            raise ConfigurationError(f"--metrics-port {self.ports}: {count} workers need {count} ports, one each")
        return Place(self.host, self.first, last)

    def check(self) -> None:
        """Look whether all of it is free now.

        Raises:
            ConfigurationError: One is not, or the host is not this machine's.
        """
        for port in range(self.first, self.last + 1):
            Server(self.host, port).server_close()

    def bind(self) -> Server:
        """Take the first free port.

        Raises:
            ConfigurationError: None is free, or the host is not this machine's.
        """
        for port in range(self.first, self.last):
            try:
                return Server(self.host, port)
            except PortTaken:
                continue
        return Server(self.host, self.last)


class PortTaken(ConfigurationError):
    """Somebody else listens there."""


class Page(NamedTuple):
    """What is answered."""

    status: HTTPStatus
    kind: str
    body: bytes


class Server(socketserver.ThreadingTCPServer):
    """Serves pages, a thread for each request. Not http.server's own: that one asks for the host's name first.

    Attributes:
        pages: By path: a function of the request's Accept header.
        pulse: Asks the event loop for a sign, several times a second.
    """

    allow_reuse_address = True  # a successor need not wait for the connections of its predecessor
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int) -> None:
        self.pages: Mapping[str, Callable[[str], Page]] = {}
        self.pulse = Pulse()
        try:
            self.address_family, _, _, _, address = socket.getaddrinfo(
                host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            super().__init__((str(address[0]), port), _Handler)
        except OSError as error:
            kind = PortTaken if error.errno == errno.EADDRINUSE else ConfigurationError
            raise kind(f"--metrics-port {port}: cannot serve at {host}: {error.strerror}") from error

    @property
    def port(self) -> int:
        """The port it has."""
        return int(self.server_address[1])

    def service_actions(self) -> None:
        """Called by `serve_forever` between requests."""
        self.pulse.feel()


class _Handler(BaseHTTPRequestHandler):
    timeout = PATIENCE
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride] - nobody else makes handlers

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def version_string(self) -> str:
        return "eventbus"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as there
        _log.debug(format, *args)

    def _answer(self, *, with_body: bool) -> None:
        make = self.server.pages.get(self.path.partition("?")[0])
        page = make(self.headers.get("Accept", "")) if make else Page(HTTPStatus.NOT_FOUND, "text/plain", b"/metrics /livez /readyz\n")
        self.send_response(page.status)
        self.send_header("Content-Type", page.kind)
        self.send_header("Content-Length", str(len(page.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if with_body:
            self.wfile.write(page.body)
