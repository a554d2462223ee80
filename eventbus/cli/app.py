"""The commands: their arguments, their help, their exit codes."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from eventbus.cli.dead import dead
from eventbus.cli.exits import EPILOG, Code, reported
from eventbus.cli.group_changes import trim as trim_topic
from eventbus.cli.groups import groups
from eventbus.cli.info import show_topic, show_topics
from eventbus.cli.loops import run_loop
from eventbus.cli.moments import parse_beginning, parse_moment, parse_span
from eventbus.cli.options import Output, OutputOption, Prefix, PrefixForBus, Priority, Url, UrlForBus
from eventbus.cli.payloads import make_event
from eventbus.cli.pending import show_pending
from eventbus.cli.publish import publish as publish_event
from eventbus.cli.replay import replay
from eventbus.cli.run import Run, run_here, run_in_workers, run_reloading
from eventbus.cli.scheduled import cancel_scheduled, show_scheduled
from eventbus.cli.serving import Place
from eventbus.cli.tail import tail as tail_topic
from eventbus.delivery import Placing
from eventbus.errors import ConfigurationError
from eventbus.events import NORMAL
from eventbus.observe import LogFormat, LogLevel

app = typer.Typer(
    help="Typed events over Redis Streams: run services, publish, and look at what is there.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    # Its tracebacks show local variables, a url with its password among them.
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(dead, name="dead")
app.add_typer(groups, name="groups")


@app.command(epilog=EPILOG)
def run(
    target: Annotated[str, typer.Argument(metavar="MODULE:NAME", help="The bus, e.g. services.orders.app:bus.")],
    *,
    workers: Annotated[int | None, typer.Option(min=1, metavar="N", help="Run N processes, and replace those that end.")] = None,
    reload: Annotated[bool, typer.Option("--reload", help="Development: start again when a *.py changes.")] = False,
    log_format: Annotated[LogFormat, typer.Option(help="Logs for people, or JSON lines.")] = LogFormat.CONSOLE,
    log_level: Annotated[LogLevel, typer.Option(help="From which level on.")] = LogLevel.INFO,
    metrics_port: Annotated[
        str | None, typer.Option(metavar="PORT", help="Serve /metrics, /livez and /readyz here; a worker takes the first free of N.")
    ] = None,
    metrics_host: Annotated[str, typer.Option(metavar="HOST", help="The address to serve them at.")] = "127.0.0.1",
    url: UrlForBus = None,
    prefix: PrefixForBus = "",
) -> None:
    """Run a bus until SIGTERM or Ctrl-C: consume, then finish what is in hand. A second signal does not wait.

    \b
    eventbus run services.orders.app:bus
    eventbus run services.orders.app:bus --workers 4 --log-format json
    eventbus run services.orders.app:bus --reload
    eventbus run services.orders.app:bus --metrics-port 9464 --metrics-host 0.0.0.0

    The module is looked for in the current directory first. --url and --prefix are for a bus that does not
    name its own. With --workers a crashed process is started again after a growing pause, one with a wrong
    configuration (exit code 2) ends all of them.
    """  # noqa: D301 - click reads the character, not the escape
    with reported():
        if workers and reload:
            raise ConfigurationError("--workers and --reload: choose one; --reload runs a single process")
        metrics = None if metrics_port is None else Place.parse(metrics_host, metrics_port)
        wanted = Run(target, url, prefix, log_format.value, log_level.value, metrics)
        if workers:
            raise typer.Exit(run_in_workers(wanted, workers))
        if reload:
            run_reloading(wanted)
        else:
            run_here(wanted)


@app.command(epilog=EPILOG)
def publish(
    what: Annotated[str, typer.Argument(metavar="MODULE:CLASS|TOPIC", help="An event class, or a topic with --type.")],
    data: Annotated[str, typer.Argument(metavar="JSON", help="The event as a JSON object; - reads standard input.")],
    *,
    type_name: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="The event's type; makes the first argument a topic.")
    ] = None,
    priority: Annotated[
        str | None, typer.Option(metavar="NAME", help="One of those that the class's topic declares; needs MODULE:CLASS.")
    ] = None,
    delay: Annotated[str | None, typer.Option(metavar="SPAN", help="Hold it so long before it is in the topic: 90s, 1h30m.")] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="Hold it until then: 2026-11-21T07:00:00Z.")] = None,
    key: Annotated[
        str | None, typer.Option("--idempotency-key", metavar="KEY", help="Not stored if something was stored with this key within a day.")
    ] = None,
    entry_id: Annotated[str | None, typer.Option(metavar="ID", help="The entry's id, above the last of the topic.")] = None,
    url: Url = None,
    prefix: Prefix = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Publish one event and print its entry id and event id.

    \b
    eventbus publish app.events:OrderCreated '{"order_id": "o-42", "total": "9.99"}'
    eventbus publish orders --type OrderCreated '{"order_id": "o-42"}'
    generate | eventbus publish orders --type OrderCreated -
    eventbus publish app.events:Reminder '{"order_id": "o-42"}' --delay 1h30m

    With a class the data is validated as in code: unknown fields are refused. With a topic it must be a JSON
    object. Wrong data is said in a sentence, and nothing is written.
    """  # noqa: D301 - as above
    # What is dangerous about the server is said to the services that run on it, not to every call by hand.
    logging.getLogger("eventbus").setLevel(logging.ERROR)
    with reported():
        if type_name is not None and priority not in (None, NORMAL):
            raise ConfigurationError("--priority: an event's class says which ones its topic has; publish MODULE:CLASS, without --type")
        event = make_event(what, _input(data), type_name=type_name)
        wait, moment = (None if delay is None else parse_span(delay, "--delay")), (None if at is None else parse_moment(at, "--at"))
        asked = Placing(priority=priority, delay=wait, at=moment, idempotency_key=key, entry_id=entry_id)
        run_loop(publish_event(event, asked, url=url, prefix=prefix, output=output))


def _input(data: str) -> bytes:
    return sys.stdin.buffer.read() if data == "-" else data.encode(errors="surrogateescape")


@app.command(epilog=EPILOG)
def tail(
    topic: Annotated[str, typer.Argument(metavar="TOPIC")],
    *,
    begin: Annotated[
        str | None,
        typer.Option("--from", metavar="ID|TIME|AGO", help="Where to begin. Default: what comes from now on."),
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, metavar="N", help="End after N entries.")] = None,
    priority: Priority = NORMAL,
    url: Url = None,
    prefix: Prefix = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the entries of a topic as they come, until Ctrl-C. No group sees a difference.

    \b
    eventbus tail orders
    eventbus tail orders --from 10m
    eventbus tail orders --from 2026-11-21T07:00:00Z --count 20 --output json
    eventbus tail orders --from 0

    Each line: time, entry id, type, event id, key, data. Control characters are shown escaped. When Redis is
    lost it says so, waits, and goes on after the last entry it showed. Of a topic with priorities it shows one, by default
    what was published without any.
    """  # noqa: D301 - click reads the character, not the escape
    with reported():
        beginning = None if begin is None else parse_beginning(begin)
        try:
            run_loop(tail_topic(topic, priority=priority, url=url, prefix=prefix, beginning=beginning, count=count, output=output))
        except KeyboardInterrupt:
            raise typer.Exit(Code.OK) from None  # the way to end it


@app.command(epilog=EPILOG)
def info(
    topic: Annotated[str | None, typer.Argument(metavar="TOPIC", show_default=False)] = None,
    *,
    url: Url = None,
    prefix: Prefix = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List the topics, or show one: length, first and last entry, memory, groups, lag, consumers.

    \b
    eventbus info
    eventbus info orders
    eventbus info orders --output json

    LAG is what a group was not given yet; where the server does not know it, it is counted, up to 10,000
    (then 10000+). PENDING was given to a consumer and is not settled. RETRY are the entries of the group's
    private retry stream (by consumer: those it was given), PARKED waits for its time (DUE: the time has come), DEAD
    are dead letters. IDLE is how long ago a consumer last asked for entries (before Redis 7.2: was last given one).
    """  # noqa: D301 - click reads the character, not the escape
    with reported():
        if topic is None:
            run_loop(show_topics(url=url, prefix=prefix, output=output))
        else:
            run_loop(show_topic(topic, url=url, prefix=prefix, output=output))


@app.command(epilog=EPILOG)
def pending(
    topic: Annotated[str, typer.Argument(metavar="TOPIC")],
    group: Annotated[str, typer.Argument(metavar="GROUP")],
    *,
    consumer: Annotated[str | None, typer.Option(metavar="NAME", help="Only what this consumer holds.")] = None,
    count: Annotated[int, typer.Option(min=1, metavar="N", help="Most entries of each of the two streams.")] = 100,
    url: Url = None,
    prefix: Prefix = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List what a group was given and has not settled: entry id, consumer, idle time, deliveries.

    \b
    eventbus pending orders charge
    eventbus pending orders charge --consumer billing.host.42.1f2e3d4c --output json

    Both streams are listed: the topic's own, and the group's private one with what it is to handle again.
    """  # noqa: D301 - click reads the character, not the escape
    with reported():
        run_loop(show_pending(topic, group, url=url, prefix=prefix, consumer=consumer, count=count, output=output))


@app.command(epilog=EPILOG)
def scheduled(
    topic: Annotated[str, typer.Argument(metavar="TOPIC")],
    *,
    cancel: Annotated[str | None, typer.Option(metavar="EVENT", help="Take back the event of this id, if it is not due yet.")] = None,
    count: Annotated[int, typer.Option(min=1, metavar="N", help="Most events.")] = 100,
    url: Url = None,
    prefix: Prefix = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List what is published to a topic and held until it is due: due time, type, event id, priority.

    \b
    eventbus scheduled orders
    eventbus scheduled orders --cancel 019abc12-…
    eventbus scheduled orders --count 1000 --output json

    What is due first stands first. OVERDUE is what nobody promotes: no process that publishes to the topic or
    consumes it is open.
    """  # noqa: D301 - as above
    with reported():
        if cancel is None:
            run_loop(show_scheduled(topic, url=url, prefix=prefix, count=count, output=output))
        else:
            run_loop(cancel_scheduled(topic, cancel, url=url, prefix=prefix, output=output))


@app.command(epilog=EPILOG)
def trim(
    topic: Annotated[str, typer.Argument(metavar="TOPIC")],
    *,
    max_len: Annotated[int | None, typer.Option(min=0, metavar="N", help="Entries to keep.")] = None,
    max_age: Annotated[str | None, typer.Option(metavar="SPAN", help="How long to keep an entry: 7d, 12h, 1h30m.")] = None,
    hard: Annotated[bool, typer.Option("--hard", help="Also what groups have not handled: it is lost to them.")] = False,
    exact: Annotated[bool, typer.Option("--exact", help="To the entry; else whole nodes of some 100, far cheaper.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what an exact trim would remove.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    priority: Priority = NORMAL,
    url: Url = None,
    prefix: Prefix = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Remove old entries of a topic, by hand, beyond a length, an age or both.

    \b
    eventbus trim orders --max-len 10000
    eventbus trim orders --max-age 7d --dry-run
    eventbus trim orders --max-len 1000000 --hard

    Only what every group has handled goes, groups of other programs included; a group that Redis has lost stops
    trimming until a service serves it again or it is abandoned. --hard removes what is beyond the limits whether
    or not it was handled, counts it, and asks first.
    """  # noqa: D301 - as above
    with reported():
        age = None if max_age is None else parse_span(max_age, "--max-age")
        run_loop(
            trim_topic(
                topic,
                max_len=max_len,
                max_age=age,
                hard=hard,
                exact=exact,
                dry_run=dry_run,
                yes=yes,
                priority=priority,
                url=url,
                prefix=prefix,
                output=output,
            )
        )


app.command(epilog=EPILOG)(replay)
