"""A report of ten leases, whose worker is killed in the middle of it."""

from __future__ import annotations

from scenarios import report
from tests.support.crew import crew, until


async def test_a_report_of_ten_leases_is_written_once_and_goes_on_where_its_worker_died(url, tmp_path, monkeypatch):
    """Two further workers stand by, and would begin it if its lease ever ran out while its worker lives."""
    monkeypatch.setattr(report, "DATABASE", tmp_path / "report.sqlite3")
    assert 10 * report.LEASE <= report.PAGES * report.PAGE

    async def two_more_pages() -> set[str]:
        enough = len(report.pages()) + 2
        await until(lambda: len(report.pages()) >= enough)
        return {published.event_id}

    async with crew("report", url, tmp_path, count=3) as workers:
        await workers.joined("reports", "write")
        published = await workers.bus.publish(report.ReportOrdered(report_id="year", pages=report.PAGES))
        lost = await workers.lose_one("reports", group="write", work=two_more_pages)
        written = len(report.pages())
        await workers.settled("reports")
        progress = [each.written async for each in workers.bus.history(report.ReportProgressed)]
        await workers.leave()

    (first, begins), (second, goes_on) = report.runs()
    assert first == lost.pid != second
    assert (begins, goes_on) == (1, written + 1)
    assert report.pages() == [(page, first if page <= written else second) for page in range(1, report.PAGES + 1)]
    assert set(range(written + 1, report.PAGES + 1)) <= set(progress)
