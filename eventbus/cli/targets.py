"""`MODULE:NAME` on the command line becomes the object of that name, or a sentence that says why not."""

from __future__ import annotations

import importlib
import re
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from eventbus.errors import ConfigurationError

if TYPE_CHECKING:
    from types import ModuleType

_NAME: Final = re.compile(r"(?!\d)\w+(\.(?!\d)\w+)*")
_PACKAGE: Final = str(Path(__file__).parents[1])


def is_target(text: str) -> bool:
    """Whether a text has the form MODULE:NAME."""
    module, colon, name = text.partition(":")
    return bool(colon and _NAME.fullmatch(module) and _NAME.fullmatch(name))


def load(target: str, kind: type[Any], example: str) -> Any:
    """Import the object a target names. The current directory is looked in first, as `python -m` does.

    Args:
        target: `services.orders.app:bus`.
        kind: What it must be: a class, the object being an instance of it.
        example: A target of this kind, for messages.

    Raises:
        ConfigurationError: Says what was tried and why it did not work.
    """
    module_name, _, path = target.partition(":")
    if not is_target(target):
        raise ConfigurationError(f"{target!r} names no object: write MODULE:NAME, for example {example}")
    module = _imported(module_name)
    found: Any = module
    for name in path.split("."):
        if not hasattr(found, name):
            raise ConfigurationError(f"{target}: {module_name} was imported, but has no {path!r}{_offer(module, kind)}")
        found = getattr(found, name)
    if not isinstance(found, kind):
        raise ConfigurationError(f"{target} is a {_described(found)}, not {_wanted(kind)}{_offer(module, kind)}")
    return found


def _imported(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigurationError(
                f"there is no module {error.name!r}: tried to import {name} from {here} and Python's own path; "
                "run this in the directory that holds your package"
            ) from error
        raise ConfigurationError(_import_failed(name, error)) from error
    except (Exception, SystemExit) as error:
        raise ConfigurationError(_import_failed(name, error)) from error


def _import_failed(name: str, error: BaseException) -> str:
    said = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    return f"importing {name} failed{_place(error)}: {said}"


def _place(error: BaseException) -> str:
    """Where the user's own code stood: the innermost line that is neither the import system's nor ours."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" at {error.filename}:{error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _outside(frame.filename)]
    own = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    return f" at {own[-1].filename}:{own[-1].lineno}" if own else ""


def _outside(filename: str) -> bool:
    return not filename.startswith((_PACKAGE, "<frozen importlib")) and filename != importlib.__file__


def _described(found: object) -> str:
    return f"class {found.__name__}" if isinstance(found, type) else type(found).__name__


def _wanted(kind: type[Any]) -> str:
    return "a class" if kind is type else f"an {kind.__name__}"


def _offer(module: ModuleType, kind: type[Any]) -> str:
    """Name what the user may have meant."""
    if kind is type:
        return ""
    names = [name for name, value in vars(module).items() if isinstance(value, kind)]
    return f"; it has: {', '.join(names)}" if names else f"; it has no {kind.__name__} at all"
