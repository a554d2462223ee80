"""What an `embedded://` url names, and how children learn of the server that already runs for it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from pydantic import TypeAdapter, ValidationError

from eventbus.errors import ConfigurationError

VARIABLE: Final = "EVENTBUS_EMBEDDED_SERVERS"
"""The environment variable that hands running servers to children."""

_SERVERS: Final = TypeAdapter(dict[str, str])


def parse(url: str) -> Path | None:
    """Read which directory an `embedded://` url names; None for a server in memory.

    Raises:
        ConfigurationError: It has another form.
    """
    wanted = "write embedded:// (in memory) or embedded:///absolute/path/to/directory (keeps its data there)"
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigurationError(f"this embedded:// url is not understood; {wanted}") from error
    path = unquote(parts.path)
    if not url.startswith("embedded://") or parts.query or parts.fragment or "\0" in path:
        raise ConfigurationError(f"this embedded:// url is not understood; {wanted}")
    if parts.netloc:
        raise ConfigurationError(f"an embedded:// url takes no host and no relative path; {wanted}")
    if path == "/":
        raise ConfigurationError(f"embedded:/// names no directory; {wanted}")
    # One directory has one name here, however it is spelled: links, "..", a slash at the end.
    return Path(os.path.realpath(path)) if path else None


def url_of(directory: Path | None) -> str:
    """Write the one url of a directory, or of the server in memory."""
    return f"embedded://{quote(str(directory or ''))}"


def handed_on() -> dict[str, str]:
    """Read the running servers this process was told of: from requested to `unix://` url.

    Raises:
        ConfigurationError: The variable holds something else.
    """
    try:
        return _SERVERS.validate_json(os.environ.get(VARIABLE) or "{}")
    except ValidationError as error:
        raise ConfigurationError(f"{VARIABLE} is no JSON object of urls; eventbus sets it for child processes: unset it") from error


def hand_on(name: str, url: str | None) -> None:
    """Tell children started from now on where the server of a url is; None: no longer."""
    servers = handed_on()
    servers.pop(name, None)
    if url is not None:
        servers[name] = url
    if servers:
        os.environ[VARIABLE] = json.dumps(servers)
    else:
        os.environ.pop(VARIABLE, None)
