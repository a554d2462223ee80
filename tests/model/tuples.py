"""Sorted tuples of records as small bags: values to build states of, always in one order."""

from __future__ import annotations

from typing import Any, TypeVar

T = TypeVar("T", bound=tuple[Any, ...] | int)


def with_(items: tuple[T, ...], item: T) -> tuple[T, ...]:
    """Add an item."""
    return tuple(sorted((*items, item)))


def without(items: tuple[T, ...], item: T) -> tuple[T, ...]:
    """Take one item out."""
    at = items.index(item)
    return items[:at] + items[at + 1 :]


def swapped(items: tuple[T, ...], old: T, new: T) -> tuple[T, ...]:
    """Put one item in another's place."""
    return with_(without(items, old), new)


def at(items: tuple[T, ...], place: int, item: T) -> tuple[T, ...]:
    """Replace what stands at a place, where places have a meaning."""
    return (*items[:place], item, *items[place + 1 :])
