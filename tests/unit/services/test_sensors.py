"""What the monitor of the sensors calls unusual."""

from __future__ import annotations

import pytest

from services.sensors.statistics import ENOUGH, WINDOW, Rolling, Statistics


def after(*readings):
    rolling = Rolling()
    for celsius in readings:
        rolling.add(celsius)
    return rolling


@pytest.mark.parametrize(("celsius", "expected"), [(20.0, False), (21.9, False), (22.1, True), (17.0, True)])
def test_a_reading_stands_out_when_it_is_far_from_a_steady_mean(celsius, expected):
    """Four times half a degree at least."""
    assert after(*[20.0] * ENOUGH).stands_out(celsius) is expected


def test_nothing_stands_out_before_there_is_enough_to_compare_with():
    """The first readings are taken as they are."""
    assert not after(*[20.0] * (ENOUGH - 1)).stands_out(90.0)


def test_only_recent_readings_count():
    """The window forgets, so that a new level becomes the usual one."""
    assert after(*[5.0] * WINDOW, *[20.0] * WINDOW).mean == 20.0


def test_each_sensor_has_a_window_of_its_own():
    """A cold cellar does not make the kitchen unusual."""
    statistics = Statistics()
    statistics["cellar"].add(8.0)
    assert statistics["kitchen"].mean == 0.0
