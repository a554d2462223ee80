"""Names that become parts of Redis keys."""

from __future__ import annotations

import re
from typing import Final

from eventbus.errors import ConfigurationError
from eventbus.events.checks import is_text

LONGEST: Final = 200
"""Bytes of the longest name."""

_FORBIDDEN: Final = re.compile(r"[{}#\s\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def check_name(kind: str, value: str) -> str:
    """Return a topic's, group's, service's or prefix's name, if it is one.

    Braces would tear the keys of one stream into different hash slots of a cluster, `#` is kept for
    partitions, whitespace and control characters are typing errors, and half a surrogate pair is no text.

    Args:
        kind: What it is the name of, for the message.
        value: The name.

    Raises:
        ConfigurationError: Names the kind, the value and what is wrong with it.
    """
    if not is_text(value):
        raise ConfigurationError(f"{kind} {value!r}: give a text that is not empty")
    if len(value.encode(errors="replace")) > LONGEST:
        raise ConfigurationError(f"{kind} {value[:40]!r}… is longer than {LONGEST} bytes: shorten it")
    found = _FORBIDDEN.search(value)
    if found:
        raise ConfigurationError(f"{kind} {value!r} has {found.group()!r} in it: leave out braces, '#', whitespace and control characters")
    return value
