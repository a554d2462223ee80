"""The demo's plan says of each service what the service itself says."""

from __future__ import annotations

from importlib import import_module

import pytest

from eventbus.events import descendants, info
from services.demo.plan import NOTIFIER, PLAN, App, runnable, with_targets

BUSES = [app for app in PLAN if not app.run]


def subscribed(target):
    """(group, topic, types) of a bus, from its own declarations."""
    module, _, name = target.partition(":")
    found = {}
    for declaration in getattr(import_module(module), name).declarations:
        for event_class in descendants(declaration.spec):
            key = declaration.group, info(event_class).topic.name
            found.setdefault(key, set()).add(info(event_class).type)
    return found


@pytest.mark.parametrize("app", BUSES, ids=lambda app: app.name)
def test_the_plan_knows_exactly_the_subscriptions_of_an_app(app):
    """A group that is forgotten here would never be missed."""
    assert {(group.name, group.topic): set(group.types) for group in app.groups} == subscribed(app.target)


@pytest.mark.parametrize("app", BUSES, ids=lambda app: app.name)
def test_the_plan_knows_the_priorities_of_every_topic(app):
    """A stream that is forgotten here would never be looked at."""
    module, _, name = app.target.partition(":")
    classes = [each for declaration in getattr(import_module(module), name).declarations for each in descendants(declaration.spec)]
    priorities = {info(each).topic.name: info(each).topic.priorities or ("normal",) for each in classes}
    assert {group.topic: group.priorities for group in app.groups} == priorities


def test_another_target_takes_the_place_of_an_app():
    """Everything else of the app stays."""
    plan = with_targets(PLAN, ["payments=mine.app:bus"])
    assert [app.target for app in plan if app.name == "payments"] == ["mine.app:bus"]
    assert [app for app in plan if app.name != "payments"] == [app for app in PLAN if app.name != "payments"]


@pytest.mark.parametrize("text", ["payments", "payments=mine", "=mine:bus", "billing=mine:bus"])
def test_a_target_for_nobody_is_refused(text):
    """The message shows the form and the names."""
    with pytest.raises(ValueError, match=r"NAME=module:bus, NAME being one of devices, shop"):
        with_targets(PLAN, [text])


def test_what_cannot_be_run_here_is_left_out_with_a_reason(tmp_path, monkeypatch):
    """One line each: no program, or nothing built for it."""
    built = tmp_path / "main.js"
    built.touch()
    there, nowhere, unbuilt = (
        App("there", str(built), run=("sh",)),
        App("nowhere", str(built), run=("no-such-program",)),
        App("new", "gone.js", run=("sh",)),
    )
    plan, reasons = runnable([*BUSES, there, nowhere, unbuilt])
    assert plan == (*BUSES, there)
    assert reasons == [
        "the demo runs without nowhere: no-such-program was not found",
        "the demo runs without new: it is not built (make node)",
    ]


def test_a_bus_may_take_the_place_of_a_service_in_another_language():
    """It is run as all buses are."""
    plan = with_targets(PLAN, ["notifier=mine.app:bus"])
    (notifier,) = (app for app in plan if app.name == "notifier")
    assert (notifier.target, notifier.run) == ("mine.app:bus", ())
    assert NOTIFIER.name == "main.js"
