"""Text from events and logs, made safe for a terminal and for one line."""

from __future__ import annotations

import re
from typing import Final

# C0, DEL and C1 (a terminal obeys them), line and paragraph separators (they forge lines), marks that
# reorder text (they hide what stands there), lone surrogates (they cannot be written as UTF-8).
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def escaped(text: str) -> str:
    r"""Write control characters as Python would: a line break as `\n`, an escape as `\x1b`."""
    return _UNSAFE.sub(lambda found: ascii(found.group())[1:-1], text)


def escaped_json(document: bytes) -> str:
    r"""Write what is unsafe in a JSON document on one line as `\u…`, which leaves its value as it was.

    JSON itself escapes only what is below a space, and a terminal obeys more than that.
    """
    return _UNSAFE.sub(lambda found: f"\\u{ord(found.group()):04x}", document.decode())
