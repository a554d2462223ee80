"""A handler as the user wrote it, looked at once, so that calling it needs no more looking."""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, TypeAlias, Union, get_args, get_origin

from anyio import CapacityLimiter, to_thread

from eventbus.delivery.batch_context import BatchContext
from eventbus.delivery.context import Context
from eventbus.errors import ConfigurationError

if TYPE_CHECKING:
    from eventbus.events import Event

Invoke: TypeAlias = Callable[[Any, Any], Awaitable[Any]]
"""A handler with its middleware around it: takes an event and its `Context`, or a list and its `BatchContext`."""

Middleware: TypeAlias = Callable[[Any, Any, Invoke], Awaitable[Any]]
"""`async def middleware(event, ctx, call_next): await call_next(event, ctx)`; around a handler of batches the event is the
list, and ctx a `BatchContext`."""

_SPELLINGS: Final = {f"{package}{kind.__name__}": kind for kind in (Context, BatchContext) for package in ("", "eventbus.")}
_UNRESOLVED: Final = object()
_ANYTHING: Final = (inspect.Parameter.empty, _UNRESOLVED, Any, object)
_POSITIONAL: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
)

_QUOTES: Final = 3
"""How often a text may name a text: one that is quoted in a module that quotes them all, and one more."""

_LAZY: Final[dict[str, Any]] = {}
if sys.version_info >= (3, 14):
    from annotationlib import Format

    # Else reading a signature would raise where a name is imported for type checkers only.
    _LAZY["annotation_format"] = Format.FORWARDREF


@dataclass(frozen=True, slots=True)
class Handler:
    """A handler that is ready to be called.

    Attributes:
        name: How it is called in logs and errors: module and qualified name.
        function: What the user decorated.
        asynchronous: It is a coroutine function; else it runs in a thread.
        context: The name of its keyword parameter for the context, "" where it is positional, None without.
        threads: The threads it runs in now, those included that nobody waits for any more.
    """

    name: str
    function: Callable[..., Any]
    asynchronous: bool
    context: str | None
    threads: set[int] = field(default_factory=set[int])

    def invoker(self, middleware: Sequence[Middleware]) -> Invoke:
        """Build the call, the first middleware outermost."""
        call: Invoke = self.caller() if self.asynchronous else functools.partial(_call_in_thread, self, self.caller())
        for layer in reversed(middleware):
            call = functools.partial(_through, layer, call)
        return call

    def caller(self) -> Callable[[Any, Any], Any]:
        """The function itself, given what it takes; made once, since each event passes it."""
        function, context = self.function, self.context
        if context is None:
            return lambda event, _: function(event)
        if context:
            return lambda event, ctx: function(event, **{context: ctx})
        return function


async def _through(layer: Middleware, following: Invoke, event: Any, ctx: Any) -> Any:
    return await layer(event, ctx, following)


async def _call_in_thread(handler: Handler, call: Callable[[Any, Any], Any], event: Any, ctx: Any) -> Any:
    # Abandoned when cancelled: a thread cannot be stopped, and the caller must know at once that its
    # time is over. What the thread still does is nobody's success. A limiter for each call limits
    # nothing: the subscription's concurrency does, and anyio's 40 threads for the whole process must not.
    ctx.in_thread = True
    try:
        result = await to_thread.run_sync(_counted, handler, call, event, ctx, abandon_on_cancel=True, limiter=CapacityLimiter(1))
    finally:
        ctx.in_thread = False
    # A plain callable may still hand back an awaitable: a decorator around a coroutine function does, or a lambda.
    return await result if inspect.isawaitable(result) else result


def _counted(handler: Handler, call: Callable[[Any, Any], Any], event: Any, ctx: Any) -> Any:
    handler.threads.add(get_ident())
    try:
        return call(event, ctx)
    finally:
        handler.threads.discard(get_ident())


def inspect_handler(function: Callable[..., Any], events: Sequence[type[Event]], *, batch: bool = False) -> Handler:
    """Look at a handler's signature.

    Args:
        function: A function, bound method or callable object.
        events: The classes it subscribes to.
        batch: It is given a list of events, and a `BatchContext`.

    Raises:
        ConfigurationError: It cannot be called with these events; says what to write instead.
    """
    name = handler_name(function)
    outer = _called(function)
    target = inspect.unwrap(outer)
    if inspect.isasyncgenfunction(target) or inspect.isgeneratorfunction(target):
        raise ConfigurationError(f"handler {name} has a yield, so that calling it would run nothing; use return")
    try:
        parameters = list(inspect.signature(function, **_LAZY).parameters.values())
    except NameError as error:
        raise ConfigurationError(f"handler {name} has an annotation that cannot be read: {error}: import it also at runtime") from error
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"handler {name} has no signature that can be read") from error
    if not parameters or parameters[0].kind not in _POSITIONAL:
        raise ConfigurationError(f"handler {name} takes no event: write `async def {short_name(function)}(event: …)`")
    _check_event(name, target, parameters[0], events, batch=batch)
    bound: Mapping[str, Any] = getattr(function, "keywords", {})  # of a functools.partial
    free = [parameter for parameter in parameters[1:] if parameter.name not in bound]
    context = _context(name, target, free, BatchContext if batch else Context)
    return Handler(name, function, inspect.iscoroutinefunction(outer), context)


def short_name(function: Callable[..., Any]) -> str:
    """The function's own name, as a default group uses it."""
    bare = _bare(function)
    return getattr(bare, "__name__", type(bare).__name__)


def handler_name(function: Callable[..., Any]) -> str:
    """Module and qualified name, for logs and errors."""
    bare = _bare(function)
    owner = bare if hasattr(bare, "__qualname__") else type(bare)
    return f"{owner.__module__}.{owner.__qualname__}"


def _called(function: Callable[..., Any]) -> Callable[..., Any]:
    """What runs when it is called: for an object its `__call__`."""
    bare = _bare(function)
    if inspect.isroutine(bare):
        return bare
    call: Callable[..., Any] = type(bare).__call__
    return bare if inspect.isclass(bare) else call


def _bare(function: Callable[..., Any]) -> Callable[..., Any]:
    """What the innermost functools.partial was made of."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _annotation(target: Callable[..., Any], annotation: Any) -> Any:
    """Resolve an annotation that is a text, as `from __future__ import annotations` makes them."""
    for _ in range(_QUOTES):
        annotation = getattr(annotation, "__forward_arg__", annotation)
        if not isinstance(annotation, str):
            return annotation
        if annotation in _SPELLINGS:
            return _SPELLINGS[annotation]  # also where it is imported for type checkers only
        try:
            annotation = eval(annotation, getattr(target, "__globals__", {}))  # noqa: S307 - the user's own source
        except Exception:  # noqa: BLE001 - whatever it is, it names nothing we could pass
            break
    return _UNRESOLVED if isinstance(annotation, str) else annotation


def _check_event(
    name: str, target: Callable[..., Any], parameter: inspect.Parameter, events: Sequence[type[Event]], *, batch: bool
) -> None:
    wanted = _annotation(target, parameter.annotation)
    if wanted in _ANYTHING:
        return
    if _takes_lists(wanted) is not batch and _takes_lists(wanted) is not None:
        raise ConfigurationError(_wrong_number(name, parameter.name, wanted, events, batch=batch))
    each = _annotation(target, next(iter(get_args(wanted)), Any)) if batch else wanted
    accepted = None if each in _ANYTHING else _classes(each)
    for event in events:
        if accepted is not None and not issubclass(event, accepted):
            raise ConfigurationError(
                f"handler {name} takes {parameter.name}: {_spell(wanted)} but subscribes to {event.__name__}; make the two the same"
            )


def _takes_lists(annotation: Any) -> bool | None:
    """Whether an annotation asks for a list, or for what a list is one of (a Sequence, an Iterable); None where it cannot be told."""
    options = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    kinds = [get_origin(option) or option for option in options]
    if not all(isinstance(kind, type) and not getattr(kind, "_is_protocol", False) for kind in kinds):
        return None
    found = {issubclass(list, kind) for kind in kinds}
    return found.pop() if len(found) == 1 else None


def _wrong_number(name: str, parameter: str, wanted: Any, events: Sequence[type[Event]], *, batch: bool) -> str:
    expected = " | ".join(event.__name__ for event in events)
    if batch:
        return (
            f"handler {name} takes {parameter}: {_spell(wanted)}, but batch= gives it a list: "
            f"write `{parameter}: list[{expected}]`, or leave out batch="
        )
    return (
        f"handler {name} takes {parameter}: {_spell(wanted)}, but is given one event at a time: "
        f"write `{parameter}: {expected}`, or subscribe with batch=Batch()"
    )


def _classes(annotation: Any) -> tuple[type, ...] | None:
    """The classes an annotation names; None where it cannot be told (a type variable, say)."""
    options = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    # A Protocol is a class that `issubclass` refuses; a type checker can tell.
    known = all(isinstance(option, type) and not getattr(option, "_is_protocol", False) for option in options)
    return tuple(options) if known else None


def _context(name: str, target: Callable[..., Any], parameters: Sequence[inspect.Parameter], kind: type) -> str | None:
    found: str | None = None
    for parameter in parameters:
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            continue
        annotation = _annotation(target, parameter.annotation)
        if annotation is not kind or found is not None:
            raise ConfigurationError(_unknown_parameter(name, parameter, annotation, kind))
        found = parameter.name if parameter.kind is inspect.Parameter.KEYWORD_ONLY else ""
    return found


def _unknown_parameter(name: str, parameter: inspect.Parameter, annotation: Any, kind: type) -> str:
    if annotation is kind:
        return f"handler {name} asks for the context twice; keep one parameter of type {kind.__name__}"
    if annotation in (Context, BatchContext):
        given = "a list of events" if kind is BatchContext else "one event at a time"
        return f"handler {name} is given {given}: write `{parameter.name}: {kind.__name__}`"
    shown = "no annotation" if annotation is inspect.Parameter.empty else f"annotation {_spell(parameter.annotation)}"
    return (
        f"handler {name} has a parameter {parameter.name!r} with {shown}; after the event only `ctx: {kind.__name__}` "
        f"can be passed (other annotations are reserved for dependencies): bind it with functools.partial, "
        f"or keep it in the bus's lifespan state"
    )


def _spell(annotation: Any) -> str:
    if get_origin(annotation) in (Union, types.UnionType):
        return " | ".join(map(_spell, get_args(annotation)))
    if annotation is type(None):
        return "None"
    if get_args(annotation):
        return f"{_spell(get_origin(annotation))}[{', '.join(map(_spell, get_args(annotation)))}]"
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
