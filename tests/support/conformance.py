"""The conformance fixture, `tests/wire/*.json`: entries, and what every client makes of them. `docs/wire.md` says how it is read."""

from __future__ import annotations

import json
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "wire"


def cases(file):
    """The cases of one file."""
    return json.loads((FOLDER / f"{file}.json").read_text(encoding="utf-8"))


def fields_of(case):
    """Names and values in turn, as Redis gives them."""
    return [bytes.fromhex(part["hex"]) if isinstance(part, dict) else part.encode() for part in case["fields"]]


def kind_of(case):
    """What becomes of it: the one of three members that it has."""
    (kind,) = {"decodes", "foreign", "refused"} & case.keys()
    return kind
