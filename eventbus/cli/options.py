"""Options that several commands share, and the connection they lead to."""

from __future__ import annotations

from contextlib import asynccontextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from eventbus.admin import Admin
from eventbus.errors import ConfigurationError
from eventbus.streams import Address, Connections
from eventbus.streams.embedded import start_embedded

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


class Output(StrEnum):
    """How results are written to standard output."""

    TABLE = "table"
    JSON = "json"


Url: TypeAlias = Annotated[
    str | None,
    typer.Option("--url", envvar="EVENTBUS_URL", show_default=False, metavar="URL", help="Where Redis is."),
]
Prefix: TypeAlias = Annotated[
    str,
    typer.Option("--prefix", envvar="EVENTBUS_PREFIX", show_default=False, metavar="TEXT", help="Put before every topic's name."),
]
# `run` leaves the variables to the bus: one that names its own url in code passes them over, as everywhere.
UrlForBus: TypeAlias = Annotated[
    str | None,
    typer.Option("--url", show_default=False, metavar="URL", help="Where Redis is. Default EVENTBUS_URL."),
]
PrefixForBus: TypeAlias = Annotated[
    str,
    typer.Option("--prefix", show_default=False, metavar="TEXT", help="Put before every topic's name. Default EVENTBUS_PREFIX."),
]
Priority: TypeAlias = Annotated[
    str,
    typer.Option("--priority", metavar="NAME", help="Which of the topic's priorities, where it has any."),
]
OutputOption: TypeAlias = Annotated[
    Output,
    typer.Option("--output", help="For people, or JSON: every line of the output is one complete document."),
]


@asynccontextmanager
async def reachable(url: str | None) -> AsyncGenerator[str]:
    """Make a url that can be connected to while the block lasts.

    Raises:
        ConfigurationError: No url, or one that would start an empty server only to end it again.
    """
    if not url:
        raise ConfigurationError("no Redis url: pass --url redis://localhost:6379 or set EVENTBUS_URL")
    if not url.startswith("embedded:"):
        yield url
        return
    server = await start_embedded(url)
    try:
        if server.owned and url.rstrip("/") == "embedded:":
            raise ConfigurationError(
                "embedded:// would start an empty server that ends with this command: name the server of the "
                "running program (embedded:///directory, or the unix:// url it uses)"
            )
        yield server.url
    finally:
        await server.stop()


@asynccontextmanager
async def connected(url: str | None) -> AsyncGenerator[Connections]:
    """Make connections for one command."""
    async with reachable(url) as found:
        yield Connections(Address.parse(found), name="eventbus-cli")


@asynccontextmanager
async def administered(url: str | None, prefix: str) -> AsyncGenerator[Admin]:
    """Make the admin of one command."""
    async with connected(url) as connections, Admin(connections, prefix=prefix) as admin:
        yield admin
