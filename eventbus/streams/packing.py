"""Entries with more fields than a script can write in one step."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Final

from eventbus.delivery.carried import REST, block_at

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_VALUES: Final = 7_000
"""Names and values of one XADD in a script: Lua's stack has room for 8,000 (LUAI_MAXCSTACK of Lua 5.1)."""


def packed(fields: Sequence[bytes]) -> Sequence[bytes]:
    """A copy as it is written: what a script cannot write as fields of their own stands in `ebrest`."""
    if len(fields) <= MOST_VALUES:
        return fields
    at = block_at(fields)
    original, block = fields[:at], fields[at:]
    kept = MOST_VALUES - len(block) - 2
    rest = [b64encode(value).decode() for value in original[kept:]]
    return [*original[:kept], *block, REST, json.dumps(rest).encode()]
