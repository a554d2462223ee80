"""The one factory for everything that talks to Redis; no option is left to redis-py's defaults."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any, Final

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

if TYPE_CHECKING:
    from eventbus.streams.address import Address

CONNECT_TIMEOUT: Final = 5.0
"""Seconds for a connection with its handshake."""


class Connections:
    """Make connections to one Redis server, all with the same, fully spelled out options.

    redis-py 8 retries ten times by itself and speaks RESP3 unless told otherwise; its retries write an
    event again under a new entry id, and hide a dead server for a minute. Here a connection never
    retries: who sends a command knows whether it may be sent twice.

    Args:
        address: Where Redis is.
        name: What `CLIENT LIST` shows for these connections.
    """

    def __init__(self, address: Address, *, name: str) -> None:
        self.address = address
        self._name = name

    def connection(self) -> AbstractConnection:
        """Make a single, not yet connected connection, which a `Line` takes over once it is open.

        It has no read timeout of its own: `Wire` bounds the handshake, and `Line` finds silence.
        """
        return self._kind()(**self._options())

    def _kind(self) -> type[AbstractConnection]:
        kinds = {"redis": Connection, "rediss": SSLConnection, "unix": UnixDomainSocketConnection}
        return kinds[self.address.scheme]

    def _options(self) -> dict[str, Any]:
        return {
            "db": self.address.db,
            "username": self.address.username,
            "password": self.address.password,
            "client_name": self._name,
            "driver_info": None,  # CLIENT SETINFO is unknown before 7.2
            "protocol": 2,  # plain lists: nothing is lost in dictionaries, no push messages between replies
            "encoding": "utf-8",
            "encoding_errors": "strict",
            "decode_responses": False,
            "socket_timeout": None,  # `Wire` bounds the handshake, `Line` finds silence
            "socket_connect_timeout": CONNECT_TIMEOUT,
            "health_check_interval": 0,
            "retry": Retry(NoBackoff(), 0),
            "retry_on_timeout": False,
            "retry_on_error": [],
            **self._transport(),
        }

    def _transport(self) -> dict[str, Any]:
        address = self.address
        if address.scheme == "unix":
            return {"path": address.path}
        return {
            "host": address.host,
            "port": address.port,
            "socket_keepalive": True,
            "socket_keepalive_options": _keepalive(),
            **self._tls(),
        }

    def _tls(self) -> dict[str, Any]:
        files = self.address.tls
        if files is None:
            return {}
        return {
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
            "ssl_min_version": ssl.TLSVersion.TLSv1_2,
            "ssl_ca_certs": files.ca_certs,
            "ssl_certfile": files.certfile,
            "ssl_keyfile": files.keyfile,
        }


def _keepalive() -> dict[int, int]:
    """First probe after 15 s, then every 5 s, gone after 3: a dead link is noticed in half a minute."""
    wanted = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
    return {getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)}
