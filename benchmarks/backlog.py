"""What waits in the streams when a measurement begins.

A slow library would take minutes to write a backlog. It writes one entry, and the rest are copies of that, each with a
number of its own in the place of the first one's: the same bytes, whoever wrote them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.control import packed
from benchmarks.events import FIRST
from benchmarks.peer import GROUP
from benchmarks.processes import Failed

if TYPE_CHECKING:
    from benchmarks.cases import Case
    from benchmarks.contenders import Contender
    from benchmarks.rig import Rig

SOMEBODY: Final = "somebody"
"""The consumer that holds entries and never comes back."""


def prepare(rig: Rig, case: Case, contender: Contender, backlog: int) -> None:
    """Make the streams, their groups, and what waits in them.

    Args:
        rig: Its server is empty.
        case: Says what there is beside the backlog.
        contender: Whose entries they are.
        backlog: Entries that nobody was given yet, shared by all streams.

    Raises:
        Failed: The contender did not write its entry, or copies of it are no good.
    """
    if contender.copies:
        fields = entry(rig, case, contender)
        share = backlog // case.topics
        for at, stream in enumerate(case.streams):
            _begin(rig, case, contender, stream, fields)
            write(rig, stream, fields, range(at * share, (at + 1) * share))
    elif backlog:
        _store(rig, case, contender, backlog)


def _begin(rig: Rig, case: Case, contender: Contender, stream: str, fields: list[bytes]) -> None:
    """Make a stream's group, with what is behind it and what somebody holds of it."""
    control = rig.server.control
    write(rig, stream, fields, range(case.before + case.held))
    if case.before or case.held or not contender.makes_group:
        control.do("XGROUP", "CREATE", stream, GROUP, "$" if case.before else "0", "MKSTREAM")
    if case.held:
        control.do("XREADGROUP", "GROUP", GROUP, SOMEBODY, "COUNT", case.held, "STREAMS", stream, ">")


def entry(rig: Rig, case: Case, contender: Contender) -> list[bytes]:
    """The fields of the entry that is copied, written by the library itself, once a run; the server is empty again afterwards."""
    key = (contender.name, case.event)
    if key not in rig.entries:
        _store(rig, case, contender, 1)
        ((_, fields),) = rig.server.control.do("XRANGE", case.streams[0], "-", "+")
        rig.server.control.do("FLUSHALL")
        if not any(str(FIRST).encode() in field for field in fields):
            raise Failed(f"{contender.name} writes the number of an event so that it cannot be found: its entries cannot be copied")
        rig.entries[key] = fields
    return rig.entries[key]


def write(rig: Rig, stream: str, fields: list[bytes], numbers: range) -> None:
    """Write copies of an entry, each with another number."""
    control = rig.server.control
    command, first = packed("XADD", stream, "*", *fields), b"%d" % FIRST
    before = control.do("XLEN", stream)
    control.write(command.replace(first, b"%d" % (FIRST + number)) for number in numbers)
    if (found := control.do("XLEN", stream) - before) != len(numbers):
        raise Failed(f"{len(numbers):,} entries were to be written to {stream}, and {found:,} were")


def _store(rig: Rig, case: Case, contender: Contender, count: int) -> None:
    with rig.process("store", contender, case, count=count) as process:
        process.hear("stored")
