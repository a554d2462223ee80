"""A report of ten leases, whose worker is killed in the middle of it."""

from __future__ import annotations

from scenarios import report
from tests.support.crew import crew, until


async def nothing() -> None:
    """The report is there already, and is enough to do."""


async def test_a_report_of_ten_leases_is_written_once_and_goes_on_where_its_worker_died(url, tmp_path, monkeypatch):
    """Two further workers stand by, and would begin it if its lease ever ran out while its worker lives."""
    monkeypatch.setattr(report, "DATABASE", tmp_path / "report.sqlite3")
    assert 10 * report.LEASE <= report.PAGES * report.PAGE

    async with crew("report", url, tmp_path, count=3) as workers, workers.bus.tail(report.ReportProgressed, start="earliest") as tail:
        await workers.joined("reports", "write")
        await workers.bus.publish(report.ReportOrdered(report_id="year", pages=report.PAGES))
        await until(lambda: len(report.pages()) >= 5)
        lost = await workers.lose_one("reports", group="write", work=nothing)
        written = len(report.pages())
        await workers.settled("reports")
        await workers.leave()
        progress = [(await anext(tail)).written]
        while progress[-1] < report.PAGES:
            progress.append((await anext(tail)).written)

    (first, begins), (second, goes_on) = report.runs()
    assert first == lost.pid != second
    assert (begins, goes_on) == (1, written + 1)
    assert report.pages() == [(page, first if page <= written else second) for page in range(1, report.PAGES + 1)]
    assert set(range(written + 1, report.PAGES + 1)) <= set(progress)
