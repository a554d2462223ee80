"""`eventbus groups …`: arguments and help."""

from __future__ import annotations

from typing import Annotated

import typer

from eventbus.cli.exits import EPILOG, reported
from eventbus.cli.group_changes import abandon as abandon_group
from eventbus.cli.group_changes import list_groups
from eventbus.cli.group_changes import rename as rename_group
from eventbus.cli.loops import run_loop
from eventbus.cli.options import Output, OutputOption, Prefix, Url

groups = typer.Typer(
    help="Consumer groups: list them, rename one, give one up.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@groups.command("list", epilog=EPILOG)
def list_(
    topic: Annotated[str | None, typer.Argument(metavar="TOPIC", show_default=False)] = None,
    *,
    url: Url = None,
    prefix: Prefix = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List the groups of a topic, or of all topics that have any.

    \b
    eventbus groups list
    eventbus groups list orders
    eventbus groups list orders --output json

    LAG is what a group was not given yet, PENDING was given and is not settled. RETRY is to be handled again,
    PARKED waits for its time (DUE: the time has come), DEAD are dead letters. LIVING members sent a heartbeat
    within their lease; SERVED is how long ago the last heartbeat of any came. A group that nobody has served for
    a day holds back trimming, and is named on standard error.
    """  # noqa: D301 - click reads the character, not the escape
    with reported():
        run_loop(list_groups(topic, url=url, prefix=prefix, output=output))


@groups.command(epilog=EPILOG)
def rename(
    topic: Annotated[str, typer.Argument(metavar="TOPIC")],
    old: Annotated[str, typer.Argument(metavar="OLD")],
    new: Annotated[str, typer.Argument(metavar="NEW")],
    *,
    url: Url = None,
    prefix: Prefix = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Give a group another name: NEW goes on where OLD stands, with its dead letters.

    \b
    eventbus groups rename orders charge billing-charge

    Let the service finish what it has, stop every process of it, rename, change `group=` in the program, start it.
    It is refused while a member lives or OLD has entries pending, parked or to retry, and where NEW exists. A
    process that is only paused would make OLD anew when it wakes, from the topic's beginning.
    """  # noqa: D301 - as above
    with reported():
        run_loop(rename_group(topic, old, new, url=url, prefix=prefix, output=output))


@groups.command(epilog=EPILOG)
def abandon(
    topic: Annotated[str, typer.Argument(metavar="TOPIC")],
    group: Annotated[str, typer.Argument(metavar="GROUP")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it owes.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = None,
    prefix: Prefix = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Give up a group that nobody serves, with all it still owes; its dead letters are kept. It asks first.

    \b
    eventbus groups abandon orders charge --dry-run
    eventbus groups abandon orders charge --yes

    It says what the group owed: entries unread, pending, to retry, parked. From then on the group does not hold
    back trimming. One that Redis has lost can be given up, too. It is refused while a member lives; a process that
    is only paused would make the group anew when it wakes, from the topic's beginning.
    """  # noqa: D301 - as above
    with reported():
        run_loop(abandon_group(topic, group, url=url, prefix=prefix, output=output, dry_run=dry_run, yes=yes))
