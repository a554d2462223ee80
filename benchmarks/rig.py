"""What measurements share: the server, the interpreters, and the entries that backlogs are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.peer import Task
from benchmarks.processes import Process

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.cases import Case
    from benchmarks.contenders import Contender
    from benchmarks.server import Server


@dataclass
class Rig:
    """One for a run.

    Attributes:
        server: The server, which is emptied for each measurement.
        python: The interpreter of an environment, by its name.
        entries: The fields of one entry as a library writes it, by the contender's and the event's name.
    """

    server: Server
    python: Callable[[str], str]
    entries: dict[tuple[str, str], list[bytes]] = field(default_factory=dict)

    def process(self, role: str, contender: Contender, case: Case, **more: Any) -> Process:
        """A fresh process for a part of a case."""
        told: dict[str, Any] = {
            "role": role,
            "module": contender.module,
            "port": self.server.port,
            "streams": case.streams,
            "event": case.event,
            "handler": case.handler,
            "concurrency": case.concurrency,
            "publishing": case.publishing,
            "width": case.width,
            "options": contender.options,
        }
        return Process(self.python(contender.environment), Task(**{**told, **more}))
