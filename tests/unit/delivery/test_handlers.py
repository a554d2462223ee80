"""What may be a handler: every accepted form is called as its signature says, every other is refused with the remedy."""

from __future__ import annotations

import contextvars
import functools
import threading
from collections.abc import Iterable, Sequence  # noqa: TC003 - annotations are read at runtime
from typing import TYPE_CHECKING, Any, ForwardRef, Optional, Protocol, TypeVar, Union, runtime_checkable

import pytest

from eventbus.delivery import BatchContext, Context, Delivery, Surroundings
from eventbus.delivery.handlers import handler_name, inspect_handler, short_name
from eventbus.errors import ConfigurationError
from eventbus.events import Event

if TYPE_CHECKING:
    from eventbus import Context as Circumstances


class Base(Event):
    number: int = 1


class Created(Base, topic="orders"):
    pass


class Paid(Base, topic="orders"):
    pass


AnyEvent = TypeVar("AnyEvent", bound=Event)
EVENT = Created()
CONTEXT = Context(Surroundings("orders", "charge", None, None), Delivery(b"1-0", [], False, "t"), None, "Created")


async def call(function, *classes):
    """Inspect a handler and call it once."""
    return await inspect_handler(function, classes or (Created,)).invoker(())(EVENT, CONTEXT)


# -- accepted: each returns what it was given


async def only_the_event(event: Created):
    return (event,)


async def the_context_by_position(event: Created, ctx: Context):
    return event, ctx


async def the_context_by_keyword(event: Created, *, circumstances: Context):
    return event, circumstances


async def positional_only(event: Created, ctx: Context, /):
    return event, ctx


async def a_base_class(event: Base, ctx: Context):
    return event, ctx


async def a_union(event: Created | Paid):
    return (event,)


async def an_old_union(event: Union[Created, Paid]):  # noqa: UP007 - as much code still writes it
    return (event,)


async def an_optional(event: Optional[Created]):  # noqa: UP045 - as above
    return (event,)


async def a_type_variable(event: AnyEvent):
    return (event,)


async def anything(event: Any):
    return (event,)


async def an_object(event: object):
    return (event,)


async def no_annotation(event):
    return (event,)


async def an_annotation_that_names_nothing(event: Undefined):  # noqa: F821 - only type checkers may know it
    return (event,)


async def all_arguments(*events):
    return events


async def the_context_among_variable_ones(event: Created, *rest: int, ctx: Context, **more: int):
    return event, ctx


def in_a_thread(event: Created, ctx: Context):
    return event, ctx


@functools.wraps(the_context_by_position)
async def wrapped(*args, **kwargs):
    return await the_context_by_position(*args, **kwargs)


@functools.wraps(the_context_by_position)
def wrapped_by_a_function(*args, **kwargs):
    return the_context_by_position(*args, **kwargs)


async def with_dependencies(database, event: Created, ctx: Context, *, retries: int = 0):
    assert (database, retries) == ("db", 3)
    return event, ctx


class Service:
    async def method(self, event: Created, ctx: Context):
        return event, ctx

    def method_in_a_thread(self, event: Created):
        return (event,)

    @classmethod
    async def of_the_class(cls, event: Created):
        return (event,)

    @staticmethod
    async def static(event: Created, *, ctx: Context):
        return event, ctx

    async def __call__(self, event: Created, ctx: Context):
        return event, ctx


class Synchronous:
    def __call__(self, event: Created):
        return (event,)


class HasNumber(Protocol):
    number: int


@runtime_checkable
class HasNumberAtRuntime(Protocol):
    number: int


async def a_protocol(event: HasNumber):
    return (event,)


async def a_runtime_protocol(event: HasNumberAtRuntime | None):
    return (event,)


ACCEPTED = [
    a_protocol,
    a_runtime_protocol,
    only_the_event,
    the_context_by_position,
    the_context_by_keyword,
    positional_only,
    a_base_class,
    a_union,
    an_old_union,
    an_optional,
    a_type_variable,
    anything,
    an_object,
    no_annotation,
    an_annotation_that_names_nothing,
    all_arguments,
    the_context_among_variable_ones,
    in_a_thread,
    wrapped,
    wrapped_by_a_function,
    functools.partial(with_dependencies, "db", retries=3),
    functools.partial(functools.partial(with_dependencies, "db"), retries=3),
    functools.partial(Service().method),
    functools.partial(Service()),
    Service().method,
    Service().method_in_a_thread,
    Service.of_the_class,
    Service.static,
    Service(),
    Synchronous(),
    lambda event: (event,),
    lambda event: only_the_event(event),  # noqa: PLW0108 - a plain function that hands back a coroutine
]


@pytest.mark.parametrize("function", ACCEPTED, ids=handler_name)
async def test_a_handler_is_called_with_the_event_and_with_the_context_where_it_asks(function):
    """By position or by keyword, on the loop or in a thread."""
    assert await call(function) in ((EVENT,), (EVENT, CONTEXT))


def defined_by(source, **names):
    """A handler as a module of the user's defines it."""
    namespace = {"Created": Created, **names}
    exec(compile(source, "user.py", "exec", dont_inherit=True), namespace)  # without this file's own __future__
    return namespace["handler"]


@pytest.mark.parametrize(
    ("head", "context"),
    [
        ("from __future__ import annotations", "Context"),  # imported under TYPE_CHECKING only
        ("from __future__ import annotations", "eventbus.Context"),
        ("", "'Context'"),
        ("from __future__ import annotations", "'Context'"),
        ("from __future__ import annotations", "'eventbus.Context'"),
        ("from __future__ import annotations\nfrom eventbus import Context as Circumstances", "'Circumstances'"),
        ("from eventbus import Context", "Context"),
        ("from eventbus import Context as Circumstances", "Circumstances"),
        ("from __future__ import annotations\nfrom eventbus import Context as Circumstances", "Circumstances"),
        ("import eventbus as bus", "bus.Context"),
    ],
)
@pytest.mark.parametrize("marker", ["", "*, "])
async def test_the_context_is_found_however_a_module_spells_and_imports_it(head, context, marker):
    """Also where it is imported for type checkers only."""
    handler = defined_by(f"{head}\nasync def handler(event: Created, {marker}ctx: {context}): return event, ctx")
    assert await call(handler) == (EVENT, CONTEXT)


async def test_synchronous_handlers_run_in_a_thread_and_asynchronous_ones_do_not():
    """A blocking call holds up one thread and not the loop."""

    def blocking(event: Created):
        return threading.get_ident()

    async def coroutine(event: Created):
        return threading.get_ident()

    assert await call(blocking) != threading.get_ident() == await call(coroutine)


async def test_a_thread_sees_the_context_variables_of_its_event():
    """What a middleware set, a synchronous handler reads."""
    variable = contextvars.ContextVar("variable")

    async def setting(event, ctx, call_next):
        variable.set("set")
        return await call_next(event, ctx)

    def reading(event: Created):
        return variable.get()

    assert await inspect_handler(reading, (Created,)).invoker([setting])(EVENT, CONTEXT) == "set"


async def test_middleware_surrounds_the_handler_first_outermost_and_may_leave_it_out():
    """Each layer gets the event, the context and what follows."""
    log = []

    def layer(name, *, goes_on=True):
        async def middleware(event, ctx, call_next):
            log.append((name, event, ctx))
            return await call_next(event, ctx) if goes_on else name

        return middleware

    handler = inspect_handler(only_the_event, (Created,))
    assert await handler.invoker([layer("a"), layer("b")])(EVENT, CONTEXT) == (EVENT,)
    assert log == [("a", EVENT, CONTEXT), ("b", EVENT, CONTEXT)]
    assert await handler.invoker([layer("a", goes_on=False), layer("never")])(EVENT, CONTEXT) == "a"


# -- refused


async def takes_nothing():
    pass


async def takes_keywords(*, event: Created):
    pass


async def takes_named_ones(**event: Created):
    pass


async def takes_another(event: Paid):
    pass


async def takes_perhaps_another(event: Optional[Paid]):  # noqa: UP045 - as much code still writes it
    pass


async def takes_others(event: Paid | str):
    pass


async def takes_unions_by_value(event):
    pass


takes_unions_by_value.__annotations__["event"] = Paid | str | None  # as without the __future__ of this file


async def takes_old_unions_by_value(event):
    pass


takes_old_unions_by_value.__annotations__["event"] = Union[Paid, str]  # noqa: UP007 - as much code still writes it


async def takes_a_quoted_one(event: "Paid"):  # noqa: UP037 - as much code still writes it
    pass


async def asks_for_a_union_by_value(event: Created, ctx):
    pass


asks_for_a_union_by_value.__annotations__["ctx"] = Context | None


async def takes_a_context_first(ctx: Context, event: Created):
    pass


async def takes_a_text(event: str):
    pass


async def asks_without_annotation(event: Created, ctx):
    pass


async def asks_for_a_number(event: Created, limit: int):
    pass


async def asks_with_a_default(event: Created, limit: int = 3):
    pass


async def asks_for_perhaps_a_context(event: Created, ctx: Context | None):
    pass


async def asks_by_an_alias_for_type_checkers(event: Created, ctx: Circumstances):
    pass


async def asks_for_a_keyword(event: Created, *, database: object):
    pass


async def asks_twice(event: Created, ctx: Context, *, again: Context):
    pass


async def yields(event: Created):
    yield event


def yields_in_a_thread(event: Created):
    yield event


class Yields:
    async def __call__(self, event: Created):
        yield event

    async def method(self, event: Created):
        yield event


@functools.wraps(yields)
async def wraps_a_generator(*args):
    return yields(*args)


REFUSED = [
    (takes_nothing, "takes no event"),
    (takes_keywords, "takes no event"),
    (takes_named_ones, "takes no event"),
    (functools.partial(only_the_event, EVENT), "takes no event"),
    (takes_another, r"takes event: Paid but subscribes to Created"),
    (takes_perhaps_another, r"takes event: Paid \| None but subscribes to Created"),
    (takes_others, r"takes event: Paid \| str but subscribes to Created"),
    (takes_unions_by_value, r"takes event: Paid \| str \| None but subscribes to Created"),
    (takes_old_unions_by_value, r"takes event: Paid \| str but subscribes to Created"),
    (takes_a_quoted_one, r"takes event: Paid but subscribes to Created"),
    (asks_for_a_union_by_value, r"parameter 'ctx' with annotation Context \| None"),
    (takes_a_context_first, r"takes ctx: Context but subscribes to Created"),
    (takes_a_text, r"takes event: str but subscribes to Created"),
    (asks_without_annotation, "parameter 'ctx' with no annotation"),
    (asks_for_a_number, "parameter 'limit' with annotation int"),
    (asks_with_a_default, "parameter 'limit' with annotation int"),
    (asks_for_perhaps_a_context, "parameter 'ctx' with annotation Context | None"),
    (asks_by_an_alias_for_type_checkers, "parameter 'ctx' with annotation Circumstances"),
    (asks_for_a_keyword, "parameter 'database' with annotation object"),
    (asks_twice, "asks for the context twice"),
    (yields, "has a yield"),
    (yields_in_a_thread, "has a yield"),
    (functools.partial(yields), "has a yield"),
    (functools.partial(functools.partial(yields_in_a_thread)), "has a yield"),
    (Yields(), "has a yield"),
    (Yields().method, "has a yield"),
    (wraps_a_generator, "has a yield"),
    (3, "no signature"),
    ("text", "no signature"),
    (print, "parameter 'sep'"),
]


@pytest.mark.parametrize(("function", "words"), REFUSED, ids=lambda value: "" if isinstance(value, str) else handler_name(value))
def test_what_could_not_be_called_is_refused_by_name_with_the_remedy(function, words):
    """When the bus opens, not when the first event comes."""
    with pytest.raises(ConfigurationError) as caught:
        inspect_handler(function, (Created,))
    caught.match(words)
    caught.match(handler_name(function))


def test_a_handler_of_a_union_must_take_every_class_of_it():
    """One that takes a part only would fail on the other."""
    assert inspect_handler(a_union, (Created, Paid))
    with pytest.raises(ConfigurationError, match="takes event: Created but subscribes to Paid"):
        inspect_handler(only_the_event, (Created, Paid))


@pytest.mark.parametrize(
    ("function", "short", "whole"),
    [
        (only_the_event, "only_the_event", "only_the_event"),
        (functools.partial(functools.partial(only_the_event)), "only_the_event", "only_the_event"),
        (Service().method, "method", "Service.method"),
        (Service(), "Service", "Service"),
        (functools.partial(Service()), "Service", "Service"),
    ],
)
def test_a_handler_is_called_by_the_name_of_what_was_written(function, short, whole):
    """Default groups use the short one, logs and errors the whole one."""
    assert (short_name(function), handler_name(function)) == (short, f"{__name__}.{whole}")


def test_a_name_that_only_type_checkers_know_is_no_riddle_where_annotations_are_lazy():
    """On Python 3.14 looking at a signature evaluates its annotations."""

    class Lazy:
        @property
        def __signature__(self):
            raise NameError("name 'Order' is not defined")

        def __call__(self, event): ...

    with pytest.raises(ConfigurationError, match="name 'Order' is not defined: import it also at runtime"):
        inspect_handler(Lazy(), (Created,))


def test_a_forward_reference_is_what_it_names():
    """The form that 3.14 gives to a name that only type checkers know."""

    async def handler(event, ctx):
        return event, ctx

    handler.__annotations__ |= {"event": ForwardRef("Order"), "ctx": ForwardRef("Context")}
    assert inspect_handler(handler, (Created,)).context == ""


def test_a_name_that_names_itself_is_unknown():
    """Looking it up ends."""
    handler = defined_by("X = 'X'\nasync def handler(event: 'X'): ...")
    assert inspect_handler(handler, (Created,))


# -- batches


async def lists(events: list[Created], ctx: BatchContext): ...
async def lists_of_a_base(events: list[Base]): ...
async def lists_of_a_union(events: list[Created | Paid], *, ctx: BatchContext): ...
async def lists_of_anything(events: list[Any]): ...
async def bare_lists(events: list): ...
async def sequences(events: Sequence[Base]): ...
async def iterables(events: Iterable[Created | Paid]): ...
async def one_or_many(events: Base | list[Base]): ...
async def unsaid(events, ctx: BatchContext): ...
def lists_in_a_thread(events: list[Base], ctx: BatchContext): ...


LISTS = [lists_of_a_base, lists_of_a_union, lists_of_anything, bare_lists, sequences, iterables, one_or_many, unsaid]


@pytest.mark.parametrize("function", [*LISTS, lists_in_a_thread], ids=handler_name)
async def test_a_handler_of_batches_is_called_with_the_list_and_with_the_context_where_it_asks(function):
    """Whatever it calls a list."""
    handler = inspect_handler(function, (Created, Paid), batch=True)
    batch = BatchContext(Surroundings("orders", "charge", None, None), {})
    await handler.invoker(())([Created(), Paid()], batch)


async def many_for_one(event: list[Created]): ...
async def a_sequence_for_one(events: Sequence[Created]): ...
async def the_context_of_one(events: list[Created], ctx: Context): ...
async def the_context_of_many(event: Created, ctx: BatchContext): ...
async def tuples(events: tuple[Created, str]): ...
async def other_lists(events: list[Paid]): ...
async def asks_twice(events: list[Created], one: BatchContext, two: BatchContext): ...


@pytest.mark.parametrize(
    ("function", "batch", "words"),
    [
        (only_the_event, True, "takes event: Created, but batch= gives it a list: write `event: list[Created]`, or leave out batch="),
        (tuples, True, "takes events: tuple[Created, str], but batch= gives it a list: write `events: list[Created]`"),
        (many_for_one, False, "takes event: list[Created], but is given one event at a time: write `event: Created`, or subscribe with"),
        (a_sequence_for_one, False, "takes events: Sequence[Created], but is given one event at a time"),
        (the_context_of_one, True, "is given a list of events: write `ctx: BatchContext`"),
        (the_context_of_many, False, "is given one event at a time: write `ctx: Context`"),
        (other_lists, True, "takes events: list[Paid] but subscribes to Created; make the two the same"),
        (asks_twice, True, "asks for the context twice; keep one parameter of type BatchContext"),
    ],
    ids=lambda value: handler_name(value) if callable(value) else "",
)
def test_a_handler_of_one_event_and_one_of_batches_are_not_the_same(function, batch, words):
    """What to write stands in the error."""
    with pytest.raises(ConfigurationError) as caught:
        inspect_handler(function, (Created,), batch=batch)
    assert words in str(caught.value)
