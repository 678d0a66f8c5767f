"""What a sweep says of later backtests of its project, and that nothing a box tells breaks a page."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from django.apps import apps
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from qfp.conventions import BacktestingPy

from runner import overfitting, trials
from runner.access import Viewer
from runner.attempts import Attempts
from runner.backtests import MAX_BACKTESTS
from runner.claims.packed import Opener
from runner.claims.reading import read_attempt
from runner.data_questions import DataQuestions
from runner.events import Publisher
from runner.intake import Intake
from runner.models import ENTRY, Backtest, Project, Run, Sweep, Trial
from runner.recording import Recording
from runner.starting import start_run
from runner.sweeps.questions import SweepQuestions
from runner.sweeps.results import FEW, SweepResults
from tests.factories import make_finished_run, make_project, make_run, make_user
from tests.runner.test_claims_box import make_backtest

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("services")]


def swept(project: Project, edge: float, count: int = 20, **about) -> Run:
    """A run with a sweep of which one combination is better than noise by `edge` a day."""
    run = make_finished_run(project, search={"space": {}}, manifest={"data": {"private": []}})
    sweep = Sweep.objects.create(project=project, key=f"{edge}{count}", about={"objective": "sharpe", **about})
    sweep.runs.add(run)
    rng = np.random.default_rng(3)
    for number in range(count):
        returns = rng.normal(edge if number == 0 else 0.0, 0.01, (16, 30))
        both = np.concatenate([returns.sum(axis=1), (returns**2).sum(axis=1)])
        told = {"params": {"a": number}, "score": float(returns.mean()), "length": 30}
        blocks = b64encode(both.astype("<f8").tobytes()).decode()
        Trial.objects.create(sweep=sweep, run=run, key=str(number), number=number, blocks=blocks, **told)
    return run


def found_of(run: Run, **values):
    return overfitting.finding(run, Backtest(run=run, **values))


def walked(project: Project, count: int, trials: bool = True) -> Run:
    """A walk-forward with so many windows of two days."""
    run = make_finished_run(project, search={"walk": {"train": 2, "test": 2}})
    for at in range(count):
        days = [f"2020-{at + 1:02}-0{day}" for day in range(1, 5)]
        about = {"bars": {"window": [0, 2, 2, 4], "train": days[:2], "test": days[2:]}}
        sweep = Sweep.objects.create(project=project, key=f"w{run.pk}{at}", about=about)
        sweep.runs.add(run)
        for number in range(2 if trials else 0):
            Trial.objects.create(sweep=sweep, run=run, key=f"{number}", number=number)
    return run


def test_only_the_result_of_the_windows_of_a_walk_forward_is_out_of_sample():
    run = walked(make_project(), 2)
    dates = ["2020-01-03", "2020-01-04", "2020-02-03", "2020-02-04"]
    assert found_of(run, dates=dates)["sentence"].endswith("program's word.") and found_of(run, dates=dates)["windows"]
    for other in (dates[1:], dates[:3], [*dates, "2020-03-01"], [*dates[:2], "2020-01-20", *dates[2:]]):
        assert found_of(run, dates=other)["state"] == "amber"
    late = run.sweeps.order_by("-created").first()
    for learnt, state in ((dates[2], "green"), (dates[3], "amber")):  # of hours, a day is learnt from and traded
        late.about["bars"]["train"][1] = learnt
        late.save()
        assert found_of(run, dates=dates)["state"] == state
    assert found_of(walked(make_project(), 0), dates=dates)["state"] == "amber"
    assert found_of(walked(make_project(), 2, trials=False), dates=dates)["state"] == "amber"


def test_what_runs_again_as_it_was_leaves_the_latest_revision_the_latest():
    project = make_project()
    swept_by = make_run(project).revision
    head = project.make_revision({ENTRY: "print(2)"}, project.owner)
    walked = start_run(project, Viewer(project.owner), files=swept_by.files, revision=swept_by)
    assert walked.revision == swept_by and project.revisions.first() == head


def test_a_sweep_is_not_forgotten_behind_windows_and_empty_sweeps():
    project = make_project()
    swept(project, 0.0)
    walked(project, 25)
    other = make_finished_run(project)
    for at in range(25):
        Sweep.objects.create(project=project, key=f"empty{at}", about={}).runs.add(other)
    assert found_of(make_finished_run(project))["sentence"].startswith("The project has tried 20 combinations")


def test_a_page_stands_where_trials_have_other_parameters_than_each_other(client):
    user = make_user()
    run = swept(make_project(user), 0.01, count=3)
    for number, params in enumerate(({"a": 1}, {"b": 2}, {})):
        Trial.objects.filter(number=number).update(params=params)
    client.force_login(user)
    for chosen in ({}, {"x": "a", "y": "b", "pick": "1"}, {"x": "b", "over": "mean"}):
        assert client.get(reverse("runner:sweep", args=[run.pk]), chosen).status_code == 200


def test_backtests_after_a_sweep_say_how_likely_its_choice_was_luck():
    project = make_project()
    assert found_of(make_finished_run(project)) is None
    lucky = swept(project, 0.0)
    assert found_of(lucky)["sentence"].startswith("This run has tried 20 combinations in a sweep. In ")
    later = found_of(make_finished_run(project))
    assert later["state"] in ("amber", "red") and later["sentence"].startswith("The project has tried 20 combinations")
    assert Sweep.objects.get().overfitting["trials"] == 20

    fork = make_project(project.owner, forked_from=project.revisions.first())
    assert found_of(make_finished_run(fork)) == later
    swept(project, 0.01)
    assert found_of(make_finished_run(project))["state"] == "green"
    assert found_of(make_finished_run(fork)) == later, "what came after the fork is not its own"
    few = found_of(swept(make_project(), 0.01, count=5))
    assert few["state"] == "amber" and "Too few configurations to say: 5" in few["sentence"]


def test_sweeps_from_before_are_on_the_pages_of_their_runs():
    run = swept(make_project(), 0.0, count=3)
    sweep = run.sweeps.get()
    sweep.runs.clear()
    fill = import_module("runner.migrations.0014_runs_of_sweeps").fill
    fill(apps, None)
    fill(apps, None)
    assert list(sweep.runs.all()) == [run]


@pytest.mark.parametrize(
    "about",
    [
        {"space": 5, "bars": {"window": [1], "train": 3}, "maximize": "no"},
        {"space": {"<b>x</b>": 1, "b": 2}, "objective": ["sharpe"], "bars": {"train": [1, 2], "test": [3, 4]}},
    ],
)
def test_a_page_stands_whatever_a_box_has_told_of_its_sweep(client, about):
    user = make_user()
    run = swept(make_project(user), 0.01, **about)
    client.force_login(user)
    page = client.get(reverse("runner:sweep", args=[run.pk]), {"x": "b", "pick": "3", "over": "mean"})
    assert page.status_code == 200 and b"<b>x</b>" not in page.content
    Run.objects.update(search={"walk": {"train": 1, "test": 1, "purge": 0, "embargo": 0, "choose": "best"}})
    assert client.get(reverse("runner:sweep", args=[run.pk])).status_code == 200


def test_values_are_used_though_a_parameter_that_was_left_alone_is_no_plain_value(client):
    user = make_user()
    project = make_project(user, source='from qfp import param\na = param("a", 5)\nb = param("b", len("xyz"))\n')
    run = swept(project, 0.01, about={})
    Run.objects.update(params={"b": 3}, declared_params=[{"name": "a", "default": 5}, {"name": "b", "default": 3}])
    client.force_login(user)
    chosen = {"sweep": run.sweeps.get().pk, "trial": "7"}
    client.post(reverse("runner:use-values", args=[run.pk]), chosen)
    project.refresh_from_db()
    assert 'param("a", 7)' in project.source and 'param("b", len("xyz"))' in project.source
    Run.objects.update(params={"b": 4})
    client.post(reverse("runner:use-values", args=[run.pk]), {**chosen, "trial": "8"})
    project.refresh_from_db()
    assert 'param("a", 7)' in project.source, "another value of b could not be written, so nothing is"


def test_the_plateau_of_many_trials_is_looked_for_once(services):
    run = swept(make_project(), 0.01, count=2)
    sweep, tried = run.sweeps.get(), overfitting.tried_in(run.sweeps.get()) * (FEW // 2 + 1)
    found = SweepResults(sweep, tried=tried).plateau
    others = [replace(each, score=-each.score) for each in tried]
    assert SweepResults(sweep, tried=others).plateau == found, "kept for a sweep with as many trials"
    assert SweepResults(sweep, tried=others[:FEW]).plateau != found


@pytest.mark.parametrize(("bars", "sweeps"), [(None, 2), ({"bars": [["IBM", None]]}, 2), ("0" * 64, 1)])
def test_a_sweep_goes_on_over_the_same_data_only(bars, sweeps):
    project = make_project()
    told = {"number": 0, "params": {"a": 1}, "score": 1.0}
    known = []
    for snapshot in ("a" * 64, "a" * 64, "b" * 64):
        questions = SweepQuestions(make_run(project, snapshot=snapshot))
        sweep = questions.answer({"do": "open", "about": {"target": "f", "bars": bars}})["sweep"]
        known.append(len(questions.answer({"do": "known", "sweep": sweep})["trials"]))
        assert questions.answer({"do": "add", "sweep": sweep, "trials": [told]}) == {}
    assert known == [0, 1, 2 - sweeps] and Sweep.objects.count() == sweeps
    assert trials.of_project(project).count == 1, "the same combination is counted once whatever the data"


def test_the_page_of_many_trials_is_reckoned_once_for_all_who_look(client, settings):
    run = swept(make_project(visibility=Project.Visibility.PUBLIC), 0.01, count=2)
    sweep, address = run.sweeps.get(), reverse("runner:sweep", args=[run.pk])
    told = {"sweep": sweep, "run": run, "figures": {"trades": 3}}
    more = [Trial(key=str(n), number=n, params={"a": n}, score=n / 1000, **told) for n in range(2, FEW + 1)]
    Trial.objects.bulk_create(more)

    def shown(**asked) -> str:
        return client.get(address, asked, headers={"HX-Request": "true"}).content.decode()

    first = shown()
    assert "<strong>301</strong> of 301 trials" in first and "a 300" in first
    Trial.objects.update(score=-1.0)
    assert shown() == first
    assert shown(pick="7") != first, "what is asked for is not mixed up"
    Trial.objects.create(key="new", number=FEW + 1, params={"a": FEW + 1}, score=0.5, **told)
    with CaptureQueriesContext(connection) as asked:
        assert "<strong>302</strong>" in shown()
    assert not any('"blocks"' in query["sql"] for query in asked if "figures" in query["sql"]), "of no use there"
    nowhere = {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:9"}
    settings.CACHES = {"default": nowhere}
    assert "<strong>302</strong>" in shown()


def test_backtests_beyond_those_that_are_recorded_count_as_trials():
    project = make_project()
    claim = {
        "strategy": "Cross",
        "params": {"fast": 1},
        "instruments": [{"symbol": "IBM", "series": "fixed/IBM", "adjust": "split"}],
        "period": {"start": "2009-01-02", "end": "2009-12-31"},
        "cash": 10_000.0,
        "conventions": BacktestingPy().as_dict(),
    }
    for _ in range(2):  # the same program twice tries nothing new
        run = make_run(project)
        intake = Intake(run, Publisher(run.pk), DataQuestions(run))
        intake.backtests = [Backtest()] * MAX_BACKTESTS
        for fast in (1, 2, 2, 3):
            intake.take({"type": "backtest", "claim": {**claim, "params": {"fast": fast}}, "number": None})
        intake.take({"type": "backtest", "claim": {**claim, "cash": "much"}, "number": None})
        intake.publisher.close()
        assert run.attempts.count() == 4, "what cannot be read was tried as well"
    assert trials.of_project(project).count == 4
    tried = read_attempt(claim)
    assert tried.pop("ended") is None
    one = Backtest(run=run, position=0, **tried)
    one.trial = trials.of_backtest(one, trials.Code(run.revision.files), run.params)
    one.save()
    assert trials.of_project(project).count == 4, "recorded elsewhere, it is the same trial"
    said = [event["text"] for event in Recording(run.pk).read() if event["type"] == "notice"]
    assert sum("further ones count as trials" in text for text in said) == 1 and len(said) == 1
    run = make_run(project)
    intake = Intake(run, Publisher(run.pk), DataQuestions(run))
    for fast in (3, 4):  # of Backtest itself, which shows nothing
        intake.take({"type": "backtest", "claim": {**claim, "params": {"fast": fast}}, "number": None, "attempt": True})
    intake.publisher.close()
    assert run.attempts.count() == 2 and trials.of_project(project).count == 5
    for _ in range(2):  # the same parameters with other ends: the program sets something around it
        run = make_run(project)
        intake = Intake(run, Publisher(run.pk), DataQuestions(run))
        for equity in (10_500.0, 10_500.0, 11_000.0, 12_000.0):
            ended = {"params": {"fast": 4}, "ended": ["Equity Final [$]", equity]}
            intake.take({"type": "backtest", "claim": {**claim, **ended}, "number": None, "attempt": True})
        intake.take({"type": "backtest", "claim": {**claim, "ended": "much"}, "number": None, "attempt": True})
        intake.publisher.close()
        assert run.attempts.count() == 4 and trials.of_project(project).count == 8
    run = make_run(project)
    intake = Intake(run, Publisher(run.pk), DataQuestions(run))
    intake.attempts.left = 5
    told = [{"params": {"fast": 4}}, {"params": "much"}, 7, {"params": {"fast": 5}, "ended": ["Return [%]", 3.0]}]
    told += [{"params": {"fast": 5}, "ended": ["Return [%]", 4.0]}, {"params": {"fast": 6}}]  # the last is one too many
    intake.take({"type": "backtest", "claim": {**claim, "tried": told}, "number": None, "attempt": True})
    intake.publisher.close()
    assert run.attempts.count() == 5 and trials.of_project(project).count == 12
    assert not [event for event in Recording(run.pk).read() if event["type"] == "notice"]
    run = make_run(project)
    intake = Intake(run, Publisher(run.pk), DataQuestions(run))
    many = {"instruments": claim["instruments"] * 2, "tried": told * 100}  # would be read and hashed 600 times
    for more, attempt in ((many, True), ({"cash": "much"}, False)):  # the second would have been recorded
        intake.take({"type": "backtest", "claim": {**claim, **more}, "number": None, "attempt": attempt})
    intake.publisher.close()
    assert run.attempts.count() == 2 and trials.of_project(project).count == 13, "the second is known"


def test_the_same_program_with_another_outcome_in_a_later_run_is_another_trial():
    """It reads the clock, or a file that changes: who runs it until it looks well has tried as often."""
    project, names = make_project(), []
    for equity in (10_500.0, 10_500.0 + 1e-9, 11_000.0, 10_500.0, 11_000.0, 12_000.0):
        one = make_backtest(project, trial="", metrics={"final_equity": equity})
        one.trial = Attempts(one.run, Opener()).name_of_recorded(one, equity)
        one.save()
        names.append(one.trial)
    assert names[0] == names[1] == names[3] and names[2] == names[4] and len(set(names)) == 3
    assert trials.of_project(project).count == 3


def test_a_parameter_that_is_given_its_default_is_the_same_trial_as_one_that_is_not_given():
    """A page sends every value of its form, with a run and with a cell of a live session; a first run has none."""
    code = trials.Code({"main.py": 'from qfp import param\nfast = param("fast", 10)\nturbo = param("turbo", True)\n'})
    kept = {"strategy": "Cross", "params": {}}
    plain = code.fingerprint({"run_params": {}, **kept})
    assert code.fingerprint({"run_params": {"fast": 10, "turbo": True}, **kept}) == plain
    others: list[dict[str, Any]] = [{"fast": 11}, {"fast": 10, "turbo": False}, {"turbo": 1}, {"other": 10}]
    assert len({plain, *(code.fingerprint({"run_params": given, **kept}) for given in others)}) == 5
