"""A real bus on a real server, given hostile entries in rounds; after each every entry is accounted for."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from redis.asyncio import Redis

from eventbus import Batch, BatchContext, Context, Debezium, Event, EventBus, Flat, JsonField, Retry, Value
from eventbus.admin.letters import read_entry
from eventbus.observe.logging import ConsoleFormatter, JsonFormatter
from eventbus.streams import keys
from tests.fuzz.judge import RAW, Letter, Seen, Tally, account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.fuzz.entries import Fields

TOPIC = "fuzz"
ROUND = 20_000
PAGE = 500
ONCE = Retry(attempts=1)


class OrderCreated(Event, topic=TOPIC, key="order_id"):
    order_id: str
    total: Decimal = Decimal(0)
    lines: tuple[str, ...] = ()
    note: str = ""
    count: int | None = None


class Row(Value):
    id: int
    email: str | None = None


class RowChanged(Event, topic=TOPIC):
    op: Literal["c", "r", "u", "d"]
    before: Row | None = None
    after: Row | None = None


class Lines(logging.Handler):
    """Formats every record as both kinds of logs in turn, and has the judge look at what would stand there."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally
        self._formatters = itertools.cycle([ConsoleFormatter(), JsonFormatter()])

    def emit(self, record: logging.LogRecord) -> None:
        line = next(self._formatters).format(record)
        self._tally.lines += 1
        if RAW.search(line) or (line.startswith("{") and not isinstance(json.loads(line), dict)):
            self._tally.complain(f"a log line with raw control characters: {line!r:.300}")
        if (record.name.startswith(("eventbus.supervision", "asyncio")) and record.levelno >= logging.ERROR) or record.exc_info:
            self._tally.complain(f"something failed: {line:.500}")


class Rig:
    """Groups that read hostile entries, and what became of those.

    Args:
        url: A server that holds nothing else.
        tally: Where everything is counted.
        ordered: Have an ordered group, too, which takes as long as the others together.
        patience: Seconds without any progress after which the bus is said to have stalled.
        progress: Told each round's end.
    """

    def __init__(
        self, url: str, tally: Tally, *, ordered: bool = False, patience: float = 60.0, progress: Callable[[str], object] = str
    ) -> None:
        self._url = url
        self._patience = patience
        self._progress = progress
        self.tally = tally
        self.bus = EventBus(url, service="fuzz", drain=2)
        names = frozenset({b"OrderCreated", b"RowChanged"})
        self.mixed = Seen("mixed", names, readers=True)
        self.plain = Seen("plain", names - {b"RowChanged"}, readers=False)
        self.ordered = Seen("ordered", names - {b"RowChanged"}, readers=True)
        self._subscribe()
        if ordered:
            self._subscribe_in_order()

    def _subscribe(self) -> None:
        readers = [Debezium(RowChanged), JsonField(OrderCreated, "payload"), Flat(OrderCreated)]

        @self.bus.subscribe(OrderCreated | RowChanged, group="mixed", foreign=readers, retry=ONCE)
        async def mixed(event: OrderCreated | RowChanged, ctx: Context) -> None:
            _use(event, ctx)
            self.mixed.handled[ctx.entry_id] += 1

        @self.bus.subscribe(OrderCreated, group="plain", batch=Batch(max_size=100, max_wait=0), retry=ONCE)
        async def plain(events: list[OrderCreated], ctx: BatchContext) -> None:
            for event in events:
                _use(event, ctx.of(event))
                self.plain.handled[ctx.of(event).entry_id] += 1

    def _subscribe_in_order(self) -> None:
        @self.bus.subscribe(OrderCreated, group="ordered", ordered=True, foreign=Flat(OrderCreated), retry=ONCE)
        async def ordered(event: OrderCreated, ctx: Context) -> None:
            _use(event, ctx)
            self.ordered.handled[ctx.entry_id] += 1

    async def run(self, entries: Iterable[Fields]) -> None:
        """Write the entries round by round, and account for each."""
        rest = iter(entries)
        with _logs_to(Lines(self.tally)):
            async with Redis.from_url(self._url) as redis, self.bus, self.bus.consuming():
                redis.response_callbacks.clear()  # as Redis answers: names that stand twice are there twice
                while page := list(itertools.islice(rest, ROUND)):
                    await self._round(redis, page)

    async def _round(self, redis: Any, page: list[Fields]) -> None:
        before = {consumer.subscription.group: consumer.counts.skipped for consumer in self.bus.consumers}
        written = await _write(redis, page)
        await self._settled()
        for consumer in self.bus.consumers:
            seen: Seen = getattr(self, consumer.subscription.group)
            seen.skipped = consumer.counts.skipped - before[seen.group]
            seen.letters = await _letters(redis, seen.group)
            account(self.tally, written, seen)
            seen.handled.clear()
            await redis.execute_command("DEL", keys.dead(TOPIC, seen.group))
        await redis.execute_command("XTRIM", TOPIC, "MAXLEN", 0)
        self.tally.entries += len(page)
        self._progress(str(self.tally))

    async def _settled(self) -> None:
        """Wait until no group owes anything, or they have stopped before."""
        last, left = None, self._patience
        while True:
            owed = [await consumer.backlog() for consumer in self.bus.consumers]
            in_hand = any(len(consumer.in_hand) for consumer in self.bus.consumers)  # until what Redis answered was counted
            if not in_hand and not any(each.unread or each.pending or each.parked for each in owed):
                return
            now = [str(owed), *(repr(consumer.counts) for consumer in self.bus.consumers)]
            left = left - 0.05 if now == last else self._patience
            last = now
            if left < 0:
                self.tally.complain(f"stalled: {owed}")
                return
            await asyncio.sleep(0.05)


def _use(event: Event, ctx: Context) -> None:
    """As a handler would: everything there is can be asked for, whatever stands in the entry."""
    ctx.log.info("%s of %s with key %s, because of %s: %s", ctx.id, ctx.time, ctx.key, ctx.causation_id, ctx.headers)
    _ = (ctx.correlation_id, repr(event))


@contextmanager
def _logs_to(handler: Lines) -> Iterator[None]:
    """Send what eventbus and asyncio log there, and nowhere else."""
    loggers = [logging.getLogger(name) for name in ("eventbus", "asyncio")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


async def _write(redis: Any, page: list[Fields]) -> dict[str, Fields]:
    written: dict[str, Fields] = {}
    for at in range(0, len(page), PAGE):
        pipeline = redis.pipeline(transaction=False)
        for fields in page[at : at + PAGE]:
            pipeline.execute_command("XADD", TOPIC, "*", *fields)
        ids = await pipeline.execute()
        written.update((entry_id.decode(), fields) for entry_id, fields in zip(ids, page[at : at + PAGE], strict=True))
    return written


async def _letters(redis: Any, group: str) -> dict[str, list[Letter]]:
    found: dict[str, list[Letter]] = {}
    after = "-"
    while rows := await redis.execute_command("XRANGE", keys.dead(TOPIC, group), after, "+", "COUNT", PAGE):
        for letter_id, raw in rows:
            entry = read_entry(letter_id, raw)
            letter = Letter(raw, entry.fields, entry.letter.reason, packed=len(raw) >= 7_000)
            found.setdefault(entry.letter.entry, []).append(letter)
        after = f"({rows[-1][0].decode()}"
    return found
