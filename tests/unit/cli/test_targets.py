"""`MODULE:NAME` becomes an object, or a sentence."""

from __future__ import annotations

import importlib
import sys

import pytest

from eventbus import ConfigurationError, EventBus
from eventbus.cli.targets import load


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes modules into a directory of the test's own, which is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    before = set(sys.modules)

    def write(**modules):
        for name, text in modules.items():
            (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def failing(target):
    with pytest.raises(ConfigurationError) as caught:
        load(target, EventBus, "app:bus")
    return str(caught.value)


def test_a_module_of_the_current_directory_is_found(package):
    """As with `python -m`, nothing has to be installed."""
    package(shop="from eventbus import EventBus\nclass box:\n    bus = EventBus(service='x')\n")
    assert isinstance(load("shop:box.bus", EventBus, "app:bus"), EventBus)


@pytest.mark.parametrize("target", ["", "shop", ":bus", "shop:", "shop.py:bus-1", "a b:c", "shop/app.py:bus"])
def test_another_form_is_refused_with_an_example(target):
    """Nothing is imported on a guess."""
    assert "write MODULE:NAME, for example app:bus" in failing(target)


def test_a_missing_module_is_told_from_one_that_misses_another(package, tmp_path):
    """The one is a typing error on the command line, the other a fault of the program, at a line."""
    assert failing("shopp:bus") == (
        f"there is no module 'shopp': tried to import shopp from {tmp_path} and Python's own path; "
        "run this in the directory that holds your package"
    )
    assert "there is no module 'no.such'" not in failing("no.such.app:bus")
    package(shop="\nimport numpyy\n")
    assert failing("shop:bus") == f"importing shop failed at {tmp_path}/shop.py:2: ModuleNotFoundError: No module named 'numpyy'"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("x = 1\ny = x / 0\n", 2, "ZeroDivisionError: division by zero"),
        ("def f(:\n    pass\n", 1, "SyntaxError: "),
        ("\n\nraise SystemExit(3)\n", 3, "SystemExit: 3"),
        ("from eventbus import EventBus\nbus = EventBus(lease='soon')\n", 2, "eventbus.errors.ConfigurationError: lease='soon'"),
    ],
)
def test_an_exception_inside_the_module_is_said_with_its_place(package, tmp_path, text, line, said):
    """The place is a line of the user's, also where the exception came from a library it called."""
    package(shop=text)
    message = failing("shop:bus")
    assert message.startswith(f"importing shop failed at {tmp_path}/shop.py:{line}: ")
    assert said in message


def test_a_name_that_is_not_there_or_no_bus_is_answered_with_those_that_are(package):
    """What was meant is usually among them."""
    package(shop="from eventbus import EventBus\nbus = EventBus(service='x')\nname = 'shop'\n", empty="")
    assert failing("shop:buss").endswith("shop was imported, but has no 'buss'; it has: bus")
    assert failing("shop:name").endswith("is a str, not an EventBus; it has: bus")
    assert failing("empty:bus").endswith("it has no EventBus at all")
