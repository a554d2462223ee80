"""Entries with more fields than a script can write in one step."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_VALUES: Final = 7_000
"""Names and values of one XADD in a script: Lua's stack has room for 8,000 (LUAI_MAXCSTACK of Lua 5.1)."""

REST: Final = b"ebrest"
"""Holds the original names and values beyond that, as a JSON list of base64 texts."""

_BLOCK: Final = b"ebentry"


def packed(fields: Sequence[bytes]) -> Sequence[bytes]:
    """A copy as it is written: what a script cannot write as fields of their own stands in `ebrest`."""
    if len(fields) <= MOST_VALUES:
        return fields
    at = max(i for i in range(0, len(fields), 2) if fields[i] == _BLOCK)
    original, block = fields[:at], fields[at:]
    kept = MOST_VALUES - len(block) - 2
    rest = [b64encode(value).decode() for value in original[kept:]]
    return [*original[:kept], *block, REST, json.dumps(rest).encode()]
