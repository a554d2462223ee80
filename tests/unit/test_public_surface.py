"""The front door: what it offers is what it says, and all of it is explained."""

from __future__ import annotations

import importlib
import inspect
from types import ModuleType

import pytest

import eventbus
import eventbus.testing
from eventbus import errors
from eventbus.admin import Admin, DeadLetters
from eventbus.delivery import Health, Subscription
from eventbus.events import Envelope
from eventbus.supervision import Loop
from eventbus.testing.running import Running

FRONT_DOORS = [eventbus, eventbus.testing]

HANDED_OUT = [Admin, DeadLetters, Envelope, Subscription, Running, Loop, Health]
"""Classes whose objects users are given by those of the front door, without making any."""


@pytest.mark.parametrize("door", FRONT_DOORS, ids=lambda door: door.__name__)
def test_all_names_what_the_module_holds_sorted_and_nothing_else(door):
    """A name that is missing there would be exported by accident, or not at all."""
    public = {name for name, value in vars(door).items() if not name.startswith("_") and not isinstance(value, ModuleType)}
    assert set(door.__all__) == public - {"annotations"}
    assert sorted(set(door.__all__)) == door.__all__


@pytest.mark.parametrize("door", FRONT_DOORS, ids=lambda door: door.__name__)
def test_everything_in_all_can_be_imported(door):
    """`from eventbus import *` works."""
    namespace = {}
    exec(f"from {door.__name__} import *", namespace)
    assert set(door.__all__) <= namespace.keys()


def test_every_error_can_be_caught_by_its_name_in_the_front_door():
    """Nobody has to know the module that raises it."""
    tree = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert tree <= set(eventbus.__all__)
    assert all(getattr(eventbus, name) is getattr(errors, name) for name in tree)


def test_every_error_has_its_place_in_the_tree_that_is_drawn():
    """The drawing at the head of the module is what readers look at."""
    drawn = {line.strip("│├└─ ").partition(" ")[0] for line in errors.__doc__.splitlines() if line.startswith("    ")}
    tree = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert drawn == tree


def offered():
    """Every class and function that a user can reach, by its name, and the public members of the classes."""
    reached = {f"{door.__name__}.{name}": getattr(door, name) for door in FRONT_DOORS for name in door.__all__}
    reached |= {f"{value.__module__}.{value.__qualname__}": value for value in HANDED_OUT}
    for name, value in reached.items():
        if inspect.isclass(value) or inspect.isfunction(value):
            yield name, value
        if inspect.isclass(value):
            yield from members(name, value)


def members(owner, cls):
    for name, value in inspect.getmembers_static(cls):
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if not name.startswith("_") and inspect.isfunction(function) and function.__module__.startswith("eventbus"):
            yield f"{owner}.{name}", function


OFFERED = dict(offered())


def test_the_members_of_the_main_classes_are_among_what_is_looked_at():
    """Else the next test shows nothing."""
    wanted = {"EventBus.publish", "EventBus.subscribe", "Router.include", "Context.publish", "Context.id", "Topic.of", "testing.running"}
    assert {f"eventbus.{name}" for name in wanted} <= OFFERED.keys()


@pytest.mark.parametrize("name", OFFERED)
def test_everything_that_is_offered_has_a_docstring_that_begins_with_a_sentence(name):
    """Editors show it."""
    text = inspect.cleandoc(OFFERED[name].__doc__ or "")
    first = text.partition("\n\n")[0].rstrip()
    assert first, f"{name} has no docstring"
    assert first[0].isupper() or first[0] == "`"
    assert first[-1] in ".:`", f"{name}: {first}"


@pytest.mark.parametrize("name", ["publish", "publish_many", "subscribe", "tail", "history"])
@pytest.mark.parametrize("section", ["Args", "Returns", "Raises", "Redis cost"])
def test_the_calls_that_cost_and_fail_say_so(name, section):
    """What is known afterwards, and what Redis has to do."""
    text = inspect.cleandoc(getattr(eventbus.EventBus, name).__doc__)
    _, found, rest = text.partition(f"\n{section}:\n")
    assert found, f"EventBus.{name} has no section {section}:"
    assert rest.startswith("    ")


@pytest.mark.parametrize("name", ["publish", "publish_many", "subscribe", "tail", "history"])
def test_every_argument_of_those_calls_is_explained(name):
    """By its own name, in the order of the signature."""
    function = getattr(eventbus.EventBus, name)
    section = inspect.cleandoc(function.__doc__).partition("\nArgs:\n")[2].partition("\n\n")[0]
    explained = [line.strip().partition(":")[0] for line in section.splitlines() if line.startswith("    ") and line[4] != " "]
    assert explained == [name for name in inspect.signature(function).parameters if name != "self"]


@pytest.mark.parametrize("name", ["publish", "publish_many", "subscribe", "tail", "history"])
def test_errors_that_a_docstring_names_exist(name):
    """A renamed error is renamed there too."""
    section = inspect.cleandoc(getattr(eventbus.EventBus, name).__doc__).partition("\nRaises:\n")[2].partition("\n\n")[0]
    named = [line.strip().partition(":")[0] for line in section.splitlines() if line.startswith("    ") and line[4] != " "]
    assert named
    assert set(named) <= set(eventbus.__all__)


def test_the_package_says_that_it_is_typed():
    """Else type checkers take everything for Any."""
    assert importlib.resources.files("eventbus").joinpath("py.typed").is_file()
