"""`eventbus replay`: arguments and help."""

from __future__ import annotations

from typing import Annotated

import typer

from eventbus.admin.replays import AHEAD
from eventbus.cli.exits import reported
from eventbus.cli.loops import run_loop
from eventbus.cli.options import Output, OutputOption, Prefix, Url
from eventbus.cli.replays import Asked, Where
from eventbus.cli.replays import replay as replay_range


def replay(
    topic: Annotated[str, typer.Argument(metavar="TOPIC")],
    group: Annotated[str, typer.Argument(metavar="GROUP")],
    *,
    begin: Annotated[
        str | None, typer.Option("--from", metavar="ID|TIME|AGO", show_default=False, help="The first entry: 1763709419123-0, 2h, a time.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="ID|TIME|AGO", show_default=False, help="The last entry. Default: what is the last now.")
    ] = None,
    priority: Annotated[
        str | None, typer.Option(metavar="NAME", show_default=False, help="Of a topic with priorities: which. Default: normal.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(metavar="N", help="Most entries a second. Default: as fast as the group settles them.")
    ] = None,
    ahead: Annotated[int, typer.Option(min=0, metavar="N", help="Copied and unsettled entries at which to wait; 0: never wait.")] = AHEAD,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the group's unfinished replay, whatever its range is.")] = False,
    anew: Annotated[bool, typer.Option("--anew", help="Give up an unfinished replay, or repeat one that is done.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = None,
    prefix: Prefix = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Hand a range of a topic to one group again, and to no other, whose handlers see ctx.replayed.

    \b
    eventbus replay orders charge --from 2h --dry-run
    eventbus replay orders charge --from 2026-11-21T07:00:00Z --to 2026-11-21T09:30:00Z --rate 50
    eventbus replay orders charge --from 1763709419123-0 --to 1763709419123-0
    eventbus replay orders charge --resume

    Deploy what mends the cause first. Both ends are included. Only what the group was given already is copied: the rest
    comes by itself; what it holds unsettled is passed over; its place on the topic does not move. What is no longer kept
    is said. It asks first, and waits while the group is behind with what was copied. An interrupted replay goes on where
    it was, with the same command or --resume, and copies nothing twice; meanwhile one of another range is refused.
    """  # noqa: D301 - click reads the character, not the escape
    with reported():
        asked = Asked(begin, end, resume, anew)
        where = Where(topic, group, priority, url, prefix, output)
        run_loop(replay_range(where, asked, rate=rate, ahead=ahead or None, dry_run=dry_run, yes=yes))
