"""An entry of a topic as a line, or as a JSON object."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from eventbus.cli.render import NOTHING
from eventbus.delivery import timestamp
from eventbus.errors import DecodeError
from eventbus.events import Envelope

if TYPE_CHECKING:
    from eventbus.admin import Followed

HEAD: Final = "TIME                      ENTRY            TYPE  EVENT  KEY  DATA"

_OUTSIDE_STRINGS: Final = bytes.maketrans(b"\t\n\r", b"   ")


def as_line(entry: Followed) -> str:
    """Time, entry id, type, event id, key, data; a foreign entry shows its fields for data."""
    envelope, trouble = _read(entry)
    if envelope is None:
        data = " ".join(f"{name}={value}" for name, value in _fields(entry).items())
        parts = [_entry_time(entry), entry.id, NOTHING, NOTHING, NOTHING, data + (f"  ({trouble})" if trouble else "")]
    else:
        time = timestamp(envelope.time) if envelope.time else _entry_time(entry)
        parts = [time, entry.id, envelope.type, envelope.id, envelope.key or NOTHING, _text(envelope.data)]
    return "  ".join(parts)


def as_document(entry: Followed) -> dict[str, Any]:
    """The same for programs.

    An event: `entry_id`, `time`, `type`, `version`, `event_id`, `source`, `key`, `attributes` (all further
    ones), `data`. Data that is no JSON stands as text in `data_text` instead. A foreign entry: `entry_id`,
    `time`, `fields`, and `error` where its envelope is damaged.
    """
    envelope, trouble = _read(entry)
    if envelope is None:
        found: dict[str, Any] = {"entry_id": entry.id, "time": _entry_time(entry), "fields": _fields(entry)}
        return found | ({"error": trouble} if trouble else {})
    return {
        "entry_id": entry.id,
        "time": timestamp(envelope.time) if envelope.time else _entry_time(entry),
        "type": envelope.type,
        "version": envelope.version,
        "event_id": envelope.id,
        "source": envelope.source,
        "key": envelope.key,
        "attributes": {name: value for name, value in envelope.attributes.items() if name != "partitionkey"},
        **_data(envelope.data),
    }


def _read(entry: Followed) -> tuple[Envelope | None, str]:
    try:
        return Envelope.parse(entry.fields), ""
    except DecodeError as error:
        return None, str(error)


def _data(data: bytes) -> dict[str, Any]:
    """The data as it stands: parsed and written again, a number with many digits would be another one."""
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return {"data_text": _text(data)}
    return {"data": orjson.Fragment(data.translate(_OUTSIDE_STRINGS))}


def _fields(entry: Followed) -> dict[str, str]:
    """Fields by name. Of a name that stands twice the first counts, as for consumers."""
    texts = [_text(part) for part in entry.fields]
    found: dict[str, str] = {}
    for name, value in zip(texts[::2], texts[1::2], strict=True):
        found.setdefault(name, value)
    return found


def _text(raw: bytes) -> str:
    return raw.decode(errors="backslashreplace")


def _entry_time(entry: Followed) -> str:
    milliseconds = int(entry.id.partition("-")[0])
    try:
        return timestamp(datetime.fromtimestamp(milliseconds / 1000, UTC))
    except (OverflowError, ValueError, OSError):
        return NOTHING  # an id somebody chose by hand
