"""Where everything is at hand a skipped test has shown nothing: with EVENTBUS_TEST_NO_SKIP=1 it fails."""

from __future__ import annotations

import pytest

VARIABLE = "EVENTBUS_TEST_NO_SKIP"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    _fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    _fail(report)
    return report


def _fail(report):
    # An expected failure reports itself as skipped too, with `wasxfail`.
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{VARIABLE} is set, and this was skipped: {reason}"
