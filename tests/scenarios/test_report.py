"""A report of ten leases, whose worker is killed in the middle of it."""

from __future__ import annotations

from scenarios import report
from tests.support.crew import PAUSE, crew, until


async def test_a_report_of_ten_leases_is_written_once_and_goes_on_where_its_worker_died(url, tmp_path, monkeypatch):
    """Another one stands by for four leases, and would begin it if its lease ran out while its worker lives."""
    monkeypatch.setattr(report, "DATABASE", tmp_path / "report.sqlite3")
    assert 10 * report.LEASE <= report.PAGES * report.PAGE

    async def four_leases() -> set[str]:
        await until(lambda: len(report.pages()) * report.PAGE >= 4 * report.LEASE, pause=PAUSE)
        return {published.event_id}

    async with crew("report", url, tmp_path) as workers:
        await workers.joined("reports", "write")
        published = await workers.bus.publish(report.ReportOrdered(report_id="year", pages=report.PAGES))
        lost = await workers.lose_one("reports", group="write", work=four_leases)
        await until(lambda: len(report.pages()) == report.PAGES, pause=PAUSE)
        await workers.settled("reports")
        progress = [each.written async for each in workers.bus.history(report.ReportProgressed)]
        await workers.leave()

    (first, begins), (second, goes_on) = report.runs()
    assert first == lost.pid != second
    assert begins == 1 < goes_on <= report.PAGES
    assert report.pages() == [(page, first if page < goes_on else second) for page in range(1, report.PAGES + 1)]
    assert set(range(goes_on, report.PAGES + 1)) <= set(progress)
