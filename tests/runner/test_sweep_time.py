"""Estimates of sweeps and walk-forwards go by what backtests took, not by what testing them did."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse

from runner.events import Publisher
from runner.models import Backtest, Run
from runner.sweeps import questions
from runner.sweeps.duration import seconds_by_sweep, seconds_of_backtests, seconds_of_sweep, walk_ahead
from runner.sweeps.questions import SweepQuestions
from runner.sweeps.results import walk_rows
from tests.factories import make_finished_run, make_project
from tests.runner.test_overfitting import swept

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("services")]


def tell(run: Run, *events: tuple[str, float]) -> None:
    publisher = Publisher(run.pk)
    publisher.publish({"type": "phase", "phase": "starting", "t": 0.0}, {"type": "phase", "phase": "running", "t": 1.0})
    charts = {"type": "display", "t": 1.5, "data": {"type": "backtest"}}
    publisher.publish(charts, *({"type": kind, "t": at} for kind, at in events))
    publisher.close()


def test_a_sweep_is_reckoned_by_the_backtests_of_the_last_run_without_their_tests():
    run = make_finished_run(cpu_seconds=14.0)
    assert seconds_of_sweep(run, 100, 2.0) == 700, "nothing else is known"
    tell(run, ("backtest", 2.5), ("checks", 8.0), ("backtest", 8.5), ("checks", 14.0))
    assert seconds_of_backtests(run) == pytest.approx(2.0)
    assert seconds_of_sweep(run, 100, 2.0) == pytest.approx(100)
    assert seconds_of_sweep(None, 100, 1.0) is seconds_of_sweep(run, None, 1.0) is None


def test_once_the_program_was_swept_its_trials_tell_how_long_the_next_sweep_takes():
    project = make_project()
    last = make_finished_run(project)
    tell(last, ("backtest", 3.4), ("checks", 8.0))
    assert seconds_by_sweep(last, 600) is None, "nothing was swept"
    run = swept(project, 0.01)
    made = run.trials.count()
    tell(run, ("backtest", 1.0 + made * 0.2), ("checks", 200.0))
    assert made >= 10 and seconds_by_sweep(last, 600) == pytest.approx(120)
    assert seconds_of_sweep(last, 600, 2.0) == pytest.approx(720), "what a first run takes is the most"
    project.draft = {"main.py": "print(9)"}
    assert seconds_by_sweep(make_finished_run(project), 600) is None, "of another program"


def test_the_form_of_a_walk_forward_says_how_many_trials_that_is_and_how_long_it_takes(client):
    project = make_project()
    run = swept(project, 0.01)
    dates = [f"{2000 + at // 12}-{at % 12 + 1:02}-01" for at in range(90)]
    Backtest.objects.create(
        run=run, position=0, start="2000-01-01 00:00Z", end="2007-06-01 00:00Z", cash=1, dates=dates
    )
    Run.objects.update(search={"space": {"a": {"values": [1]}}, "method": "grid"})
    tell(run, ("backtest", 91.0), ("checks", 200.0))
    assert walk_ahead(run, 20, 90, 30, 10, 5) == {"windows": 6, "trials": 120, "seconds": 180}
    assert walk_ahead(run, 0, 90, 30, 10, 5) is walk_ahead(run, 20, 20, 30, 10, 5) is None
    client.force_login(project.owner)
    page = client.get(reverse("runner:sweep", args=[run.pk])).content.decode()
    assert "6 windows, 120 trials. About 3\u00a0min 00\u00a0s going by this sweep" in page.replace("\u202f", "\u00a0")


def test_what_came_of_finished_windows_is_shown_before_the_whole_is_there():
    run = make_finished_run(search={"walk": {"train": 2, "test": 2}}, status=Run.Status.TIMED_OUT)
    questions = SweepQuestions(run)
    bars = {"train": ["2020-01-01", "2020-01-02"], "test": ["2020-01-03", "2020-01-04"]}
    for change in (0.0123, -0.5, None):
        about = {"bars": {**bars, "window": [change]}}
        sweep = questions.answer({"do": "open", "about": about})["sweep"]
        if change is not None:
            assert questions.answer({"do": "traded", "sweep": sweep, "change": change}) == {}
        # Asked for again, it is the same one.
        assert SweepQuestions(run).answer({"do": "open", "about": about})["sweep"] == sweep
    shown = [(row.outcome, row.gain) for row in walk_rows(run)]
    assert shown == [("1.2\u00a0%", True), ("−50.0\u00a0%", False), ("–", None)]
    other = make_finished_run(run.project, search={"walk": {"choose": "best"}}, status=Run.Status.TIMED_OUT)
    again = SweepQuestions(other)
    assert again.answer({"do": "open", "about": about})["sweep"] == sweep, "it tries the same combinations"
    again.answer({"do": "traded", "sweep": sweep, "change": 0.5})
    assert ([row.outcome for row in walk_rows(other)], walk_rows(run)[2].outcome) == (["50.0\u00a0%"], "–")
    questions.answer({"do": "traded", "sweep": sweep, "change": "much"})
    assert walk_rows(run)[2].outcome == "–"
    assert [row.outcome for row in walk_rows(other)] == ["50.0\u00a0%"], "of what another run has told nothing is lost"


def test_of_many_runs_the_latest_of_each_program_is_kept(monkeypatch):
    monkeypatch.setattr(questions, "MOST_OTHER_RUNS", 2)
    first = make_finished_run(make_project(source="print(1)"))
    runs = [first, make_finished_run(first.project), make_finished_run(first.project)]
    other = make_finished_run(make_project(source="print(2)"), queued=first.queued - timedelta(days=1))
    assert questions._most_telling([str(run.pk) for run in (*runs, other)]) == [str(runs[-1].pk), str(other.pk)]
