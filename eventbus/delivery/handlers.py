"""A handler as the user wrote it, looked at once, so that calling it needs no more looking."""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import get_ident
from typing import Any, Final, TypeAlias, Union, get_args, get_origin

from anyio import CapacityLimiter, to_thread

from eventbus.delivery.context import Context
from eventbus.errors import ConfigurationError
from eventbus.events import Event

Invoke: TypeAlias = Callable[[Event, Context], Awaitable[Any]]
"""A handler with its middleware around it."""

Middleware: TypeAlias = Callable[[Any, Context, Invoke], Awaitable[Any]]
"""`async def middleware(event, ctx, call_next): await call_next(event, ctx)`"""

_SPELLINGS: Final = ("Context", "eventbus.Context")
_UNRESOLVED: Final = object()
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

    def caller(self) -> Callable[[Event, Context], Any]:
        """The function itself, given what it takes; made once, since each event passes it."""
        function, context = self.function, self.context
        if context is None:
            return lambda event, _: function(event)
        if context:
            return lambda event, ctx: function(event, **{context: ctx})
        return function


async def _through(layer: Middleware, following: Invoke, event: Event, ctx: Context) -> Any:
    return await layer(event, ctx, following)


async def _call_in_thread(handler: Handler, call: Callable[[Event, Context], Any], event: Event, ctx: Context) -> Any:
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


def _counted(handler: Handler, call: Callable[[Event, Context], Any], event: Event, ctx: Context) -> Any:
    handler.threads.add(get_ident())
    try:
        return call(event, ctx)
    finally:
        handler.threads.discard(get_ident())


def inspect_handler(function: Callable[..., Any], events: Sequence[type[Event]]) -> Handler:
    """Look at a handler's signature.

    Args:
        function: A function, bound method or callable object.
        events: The classes it subscribes to.

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
    _check_event(name, target, parameters[0], events)
    bound: Mapping[str, Any] = getattr(function, "keywords", {})  # of a functools.partial
    context = _context(name, target, [parameter for parameter in parameters[1:] if parameter.name not in bound])
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
            return Context  # also where it is imported for type checkers only
        try:
            annotation = eval(annotation, getattr(target, "__globals__", {}))  # noqa: S307 - the user's own source
        except Exception:  # noqa: BLE001 - whatever it is, it names nothing we could pass
            break
    return _UNRESOLVED if isinstance(annotation, str) else annotation


def _check_event(name: str, target: Callable[..., Any], parameter: inspect.Parameter, events: Sequence[type[Event]]) -> None:
    wanted = _annotation(target, parameter.annotation)
    if wanted in (inspect.Parameter.empty, _UNRESOLVED, Any, object):
        return
    accepted = _classes(wanted)
    for event in events:
        if accepted is not None and not issubclass(event, accepted):
            raise ConfigurationError(
                f"handler {name} takes {parameter.name}: {_spell(wanted)} but subscribes to {event.__name__}; make the two the same"
            )


def _classes(annotation: Any) -> tuple[type, ...] | None:
    """The classes an annotation names; None where it cannot be told (a type variable, say)."""
    options = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    # A Protocol is a class that `issubclass` refuses; a type checker can tell.
    known = all(isinstance(option, type) and not getattr(option, "_is_protocol", False) for option in options)
    return tuple(options) if known else None


def _context(name: str, target: Callable[..., Any], parameters: Sequence[inspect.Parameter]) -> str | None:
    found: str | None = None
    for parameter in parameters:
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            continue
        annotation = _annotation(target, parameter.annotation)
        if annotation is not Context or found is not None:
            raise ConfigurationError(_unknown_parameter(name, parameter, annotation))
        found = parameter.name if parameter.kind is inspect.Parameter.KEYWORD_ONLY else ""
    return found


def _unknown_parameter(name: str, parameter: inspect.Parameter, annotation: Any) -> str:
    if annotation is Context:
        return f"handler {name} asks for the context twice; keep one parameter of type Context"
    shown = "no annotation" if annotation is inspect.Parameter.empty else f"annotation {_spell(parameter.annotation)}"
    return (
        f"handler {name} has a parameter {parameter.name!r} with {shown}; after the event only `ctx: Context` "
        f"can be passed (other annotations are reserved for dependencies): bind it with functools.partial, "
        f"or keep it in the bus's lifespan state"
    )


def _spell(annotation: Any) -> str:
    if get_origin(annotation) in (Union, types.UnionType):
        return " | ".join(map(_spell, get_args(annotation)))
    if annotation is type(None):
        return "None"
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
