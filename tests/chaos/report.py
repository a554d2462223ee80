"""A run's result as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.chaos.run import Result

PLAIN = frozenset({"total-queue", "accounting", "lease safety", "explained", "liveness", "effects"})
"""The checkers of every run."""

WORDS = {
    "kill": "SIGKILL, at random",
    "point": "SIGKILL, at a named point",
    "poison": "SIGKILL, by the event itself",
    "pause": "SIGSTOP for 2-5 leases",
    "term": "SIGTERM, in storms",
    "redis": "kill -9 of Redis",
    "cut": "connections cut",
    "hole": "black hole",
    "drop": "reply lost after execution",
    "delay": "replies delayed",
    "split": "replies split into bytes",
    "stall": "event loop stalled (seen, not made)",
    "published again": "published twice after a lost answer",
}


def as_json(result: Result) -> str:
    """Everything there is to know of a run but its history."""
    found: dict[str, Any] = {
        "well": result.well,
        "facts": result.facts,
        "checkers": result.verdicts.numbers(),
        "schedule": [[fault.at, fault.kind, list(fault.places), fault.seconds, fault.detail] for fault in result.schedule],
    }
    return json.dumps(found, indent=1, default=str)


def as_markdown(result: Result) -> str:
    """The table of a run."""
    queue, effects = result.verdicts.found["total-queue"], result.verdicts.found["effects"]
    liveness, accounting = result.verdicts.found["liveness"], result.verdicts.found["accounting"]
    facts = ", ".join(f"{name} {value}" for name, value in result.facts.items())
    lines = [
        f"Redis {result.facts['server']}, seed {result.facts['seed']}:",
        f"**{queue.acknowledged:,} events acknowledged, lost {queue.lost}, unexpected {queue.unexpected}**",
        "",
        f"({facts})",
        "",
        "| fault | made | handlers ran | entries redelivered | commands sent again | replies or entries met | duplicates |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind, effect in effects.by_kind.items():
        busy = str(effect.busy) if kind in ("kill", "point", "poison") else ""
        columns = (effect.count, busy, effect.redelivered, effect.resent, effect.hits or "", effect.duplicates)
        lines.append(f"| {WORDS.get(kind, kind)} | " + " | ".join(str(number) for number in columns) + " |")
    drained = "never" if liveness.drained is None else f"{liveness.drained:.1f} s after the last fault"
    lines += [
        "",
        (
            f"SIGKILLs {effects.deaths}, {effects.busy} of them while handlers ran. Recovery after a death: p50 {effects.recovery_p50} s, "
            f"p99 {effects.recovery_p99} s. Drained {drained} (allowed {liveness.limit:.1f} s)."
        ),
        f"Named points: {', '.join(f'{point} {count}' for point, count in effects.points.items()) or 'none'}.",
        f"Duplicates {queue.duplicated}, recovered from unknown publishes {queue.recovered}. Skipped {accounting.skipped}.",
        f"Dead letters {accounting.dead}, of them innocent with their lost starts shown {accounting.innocent}.",
        *(f"{name.capitalize()}: {numbers(verdict)}." for name, verdict in result.verdicts.found.items() if name not in PLAIN),
    ]
    return "\n".join(lines)


def numbers(verdict: Any) -> str:
    """What a pattern's own checker counted."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in asdict(verdict).items() if isinstance(value, int | float))


def as_verdict(result: Result) -> str:
    """The last words of a run."""
    if result.well:
        return "WELL: no checker complains"
    counts = {name: verdict.complaints.counts for name, verdict in result.verdicts.found.items() if verdict.complaints}
    kinds = "; ".join(f"{name}: " + ", ".join(f"{kind} {number}" for kind, number in found.items()) for name, found in counts.items())
    words = "\n".join(f"  {word}" for word in result.verdicts.words[:40])
    return f"NOT WELL: {kinds}\n{words}"
