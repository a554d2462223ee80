"""`eventbus dead …`: arguments and help."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from eventbus.cli.dead_letters import Wanted, Where, count_groups, count_letters, export, list_letters, redrive, show_letter
from eventbus.cli.dead_letters import discard as discard_letters
from eventbus.cli.exits import EPILOG, reported
from eventbus.cli.loops import run_loop
from eventbus.cli.options import Output, OutputOption, Prefix, Priority, Url
from eventbus.delivery import Reason
from eventbus.errors import ConfigurationError
from eventbus.events import NORMAL

dead = typer.Typer(
    help="Dead letters: what a group could not handle. List, show, redrive, discard, export.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


TopicArgument: TypeAlias = Annotated[str, typer.Argument(metavar="TOPIC")]
GroupArgument: TypeAlias = Annotated[str, typer.Argument(metavar="GROUP")]
Ids: TypeAlias = Annotated[list[str] | None, typer.Argument(metavar="ID", show_default=False, help="Dead letters by their ids.")]
All: TypeAlias = Annotated[bool, typer.Option("--all", help="All of the group.")]
Type: TypeAlias = Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only events of this type.")]
Error: TypeAlias = Annotated[str | None, typer.Option("--error", metavar="CLASS", help="Only this exception, with or without its module.")]
ReasonOption: TypeAlias = Annotated[Reason | None, typer.Option("--reason", help="Only what is dead for this reason.")]
Since: TypeAlias = Annotated[
    str | None, typer.Option("--since", metavar="TIME|AGO", help="Only what died then or later: 10m, 2026-11-21T07:00:00Z.")
]
Until: TypeAlias = Annotated[str | None, typer.Option("--until", metavar="TIME|AGO", help="Only what died before.")]
DryRun: TypeAlias = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dead.command("list", epilog=EPILOG)
def list_(
    topic: TopicArgument,
    group: Annotated[str | None, typer.Argument(metavar="GROUP", show_default=False)] = None,
    *,
    type_: Type = None,
    error: Error = None,
    reason: ReasonOption = None,
    since: Since = None,
    until: Until = None,
    newest: Annotated[bool, typer.Option("--newest", help="From the newest to the oldest.")] = False,
    count: Annotated[int, typer.Option(min=1, metavar="N", help="Most dead letters to list.")] = 100,
    after: Annotated[str | None, typer.Option(metavar="ID", help="Go on after this one.")] = None,
    total: Annotated[bool, typer.Option("--total", help="Only say how many there are.")] = False,
    priority: Priority = NORMAL,
    url: Url = None,
    prefix: Prefix = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List a group's dead letters, oldest first; without a group, which groups of the topic have some.

    \b
    eventbus dead list orders
    eventbus dead list orders charge
    eventbus dead list orders charge --error TimeoutError --since 1h --newest
    eventbus dead list orders charge --reason rejected --total

    REASON: attempts (the retries are spent), rejected (the handler said so), never (an exception that is not
    retried), crashes (its process died too often), undecodable, newer (nobody knows its version), unhandled
    (nobody who knows its type took it for a day), trimmed (a tombstone: the entry was cut before it was handled).
    Each priority of a topic has dead letters of its own: --priority chooses, and what the others have is said.
    No payload is shown, and no exception's message, which may quote one: `eventbus dead show` does.
    """  # noqa: D301 - click reads the character, not the escape
    with reported():
        wanted = Wanted(type=type_, error=error, reason=reason, since=since, until=until)
        if group is None:
            if wanted.filtered or total or newest or after:
                raise ConfigurationError(f"dead list: name the group as well, as in: eventbus dead list {topic} GROUP")
            run_loop(count_groups(topic, url=url, prefix=prefix, output=output))
            return
        where = Where(topic, group, url, prefix, output, priority)
        run_loop(count_letters(where, wanted) if total else list_letters(where, wanted, count=count, newest=newest, after=after))


@dead.command(epilog=EPILOG)
def show(
    topic: TopicArgument,
    group: GroupArgument,
    dead_id: Annotated[str | None, typer.Argument(metavar="ID", show_default=False, help="Default: the newest.")] = None,
    *,
    priority: Priority = NORMAL,
    url: Url = None,
    prefix: Prefix = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Show one dead letter: why it is dead, the traceback, and the event with its payload.

    \b
    eventbus dead show orders charge
    eventbus dead show orders charge 1763709419123-0
    eventbus dead show orders charge --output json
    """  # noqa: D301 - as above
    with reported():
        run_loop(show_letter(Where(topic, group, url, prefix, output, priority), dead_id))


@dead.command("redrive", epilog=EPILOG)
def redrive_(
    topic: TopicArgument,
    group: GroupArgument,
    ids: Ids = None,
    *,
    every: All = False,
    type_: Type = None,
    error: Error = None,
    reason: ReasonOption = None,
    since: Since = None,
    until: Until = None,
    rate: Annotated[float | None, typer.Option(metavar="N", help="Most dead letters a second. Default: no limit.")] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    priority: Priority = NORMAL,
    url: Url = None,
    prefix: Prefix = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Hand dead letters back to their group, and to no other, as if they had just come.

    \b
    eventbus dead redrive orders charge 1763709419123-0 1763709419124-0
    eventbus dead redrive orders charge --error TimeoutError --since 2h --dry-run
    eventbus dead redrive orders charge --all --rate 50

    Deploy what mends the cause first. Each dead letter is redriven once, however often the command runs and
    whether or not it was interrupted. A tombstone has nothing to redrive: it is named and skipped. --all without
    a filter asks first.
    """  # noqa: D301 - as above
    with reported():
        wanted = Wanted(tuple(ids or ()), every, type_, error, reason, since, until)
        run_loop(redrive(Where(topic, group, url, prefix, output, priority), wanted, rate=rate, dry_run=dry_run, yes=yes))


@dead.command(epilog=EPILOG)
def discard(
    topic: TopicArgument,
    group: GroupArgument,
    ids: Ids = None,
    *,
    every: All = False,
    type_: Type = None,
    error: Error = None,
    reason: ReasonOption = None,
    since: Since = None,
    until: Until = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    priority: Priority = NORMAL,
    url: Url = None,
    prefix: Prefix = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Delete dead letters for good; it asks first. Export them before.

    \b
    eventbus dead discard orders charge 1763709419123-0
    eventbus dead discard orders charge --reason trimmed --yes
    eventbus dead discard orders charge --all --until 30d --dry-run
    """  # noqa: D301 - as above
    with reported():
        wanted = Wanted(tuple(ids or ()), every, type_, error, reason, since, until)
        run_loop(discard_letters(Where(topic, group, url, prefix, output, priority), wanted, dry_run=dry_run, yes=yes))


@dead.command("export", epilog=EPILOG)
def export_(
    topic: TopicArgument,
    group: GroupArgument,
    ids: Ids = None,
    *,
    type_: Type = None,
    error: Error = None,
    reason: ReasonOption = None,
    since: Since = None,
    until: Until = None,
    priority: Priority = NORMAL,
    url: Url = None,
    prefix: Prefix = "",
) -> None:
    """Write dead letters as JSON lines, payloads included; nothing is changed.

    \b
    eventbus dead export orders charge > dead.jsonl
    eventbus dead export orders charge --type OrderCreated --since 1d
    eventbus dead export orders charge | jq -r '.fields[] | select(.name == "data") | .value'

    A line is one dead letter: what is known about it, `fields` (the original names and values in their order) and
    `block` (what eventbus wrote behind them). What is not UTF-8 stands as base64 in name_base64 and value_base64.
    """  # noqa: D301 - as above
    with reported():
        wanted = Wanted(tuple(ids or ()), False, type_, error, reason, since, until)  # noqa: FBT003 - in its order
        run_loop(export(Where(topic, group, url, prefix, Output.JSON, priority), wanted))
