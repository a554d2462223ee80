"""What a supervised loop is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Alive: TypeAlias = Callable[[], None]
"""A loop calls it after each pass that went well; its supervisor then forgets earlier failures."""
