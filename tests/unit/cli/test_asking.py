"""What cannot be undone is asked about; what takes long is told."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from eventbus import ConfigurationError
from eventbus.cli import asking
from eventbus.cli.asking import Progress, confirm


def invoke(answer):
    app = typer.Typer()

    @app.command()
    def main() -> None:
        confirm("everything \x1b will go", yes=False)
        typer.echo("done")

    return CliRunner().invoke(app, [], input=answer)


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(asking, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1), ("", 1)])
@pytest.mark.usefixtures("terminal")
def test_only_a_yes_goes_on(answer, code):
    """No answer is a no; the question stands on standard error, and obeys no control character."""
    result = invoke(answer)
    assert (result.exit_code, "done" in result.stdout) == (code, code == 0)
    assert result.stderr.startswith(r"everything \x1b will go. Go on? [y/N]")


def test_where_nobody_can_be_asked_nothing_is_done(monkeypatch):
    """A script says --yes."""
    monkeypatch.setattr(asking, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: False)))
    with pytest.raises(ConfigurationError, match="Nothing was done: add --yes"):
        confirm("everything will go", yes=False)
    confirm("everything will go", yes=True)


def test_progress_is_said_now_and_then(monkeypatch, capsys):
    """Every two seconds, not at every batch; without a total where none is known."""
    now = [100.0]
    monkeypatch.setattr(asking, "time", SimpleNamespace(monotonic=lambda: now[0]))
    progress = Progress("redriven", 500)
    for done, moment in ((100, 101.0), (200, 102.0), (300, 103.0), (400, 104.5)):
        now[0] = moment
        progress(done)
    assert capsys.readouterr().err == "eventbus: redriven 200 of 500 so far\neventbus: redriven 400 of 500 so far\n"
    progress = Progress("redriven", None)
    now[0] += 2
    progress(7)
    assert (capsys.readouterr().err, progress.done) == ("eventbus: redriven 7 so far\n", 7)
