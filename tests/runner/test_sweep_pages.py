"""From the form of a sweep to its page, to the values in the code, and to a walk-forward with a report."""

from __future__ import annotations

import csv
import io
import os
import re
import signal

import pytest
from django.urls import reverse
from django.utils import timezone
from qfp.figures import signed

from runner import claims_box, sharing
from runner.access import Viewer
from runner.events import Publisher
from runner.models import Backtest, Project, Run, Sweep, Trial
from runner.starting import wake_a_worker
from runner.sweeps.choice import doubts
from runner.sweeps.out_of_sample import Walked, out_of_sample
from runner.sweeps.results import walk_rows
from runner.sweeps.views import _swept_before
from tests.factories import make_finished_run, make_project, make_run, make_user
from tests.runner.test_reports import unsaid
from tests.runner.test_workers import ended, horse_of, running, until, until_it_is_found

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("services", "engine")]

PROGRAM = """
from qfp import backtest, data, param
from qfp.backtesting import Strategy

fast = param("fast", 10, 2, 60)
slow = param("slow", 40, 10, 250, step=10)
cost = param("cost", 0.001, 0.0, 0.01)


def mean(values, bars):
    return values.s.rolling(bars).mean()


class Cross(Strategy):
    def init(self):
        if fast == 13:
            raise ArithmeticError("bad luck")
        self.quick, self.calm = self.I(mean, self.data.Close, fast), self.I(mean, self.data.Close, slow)

    def next(self):
        if self.quick[-1] > self.calm[-1]:
            if not self.position:
                self.buy(size=0.95)
        else:
            self.position.close()


print("not heard of while it is swept")
backtest(Cross, data.prices("IBM", "2006-01-03", "2010-12-31"), commission=cost)
"""
FORM = {
    "start": "yes", "try:fast": "on", "low:fast": "4", "high:fast": "13", "step:fast": "3",
    "try:slow": "on", "low:slow": "20", "high:slow": "60", "step:slow": "10", "value:cost": "0.002",
    "constraint": "fast < slow and not (fast == 4 and slow == 20)", "objective": "sharpe", "seed": "1",
}  # fmt: skip


def test_a_sweep_from_the_form_is_recorded_shown_used_and_walked_forward(client, worker):
    user = make_user()
    project = make_project(user, source=PROGRAM)
    client.force_login(user)
    form = f"{project.base_url}/sweep"
    assert 'name="low:fast" value="2"' in client.get(form).content.decode(), "its text says so before its first run"
    first = ended(started(client, f"{project.base_url}/run", {"source": PROGRAM}))
    assert first.status == Run.Status.SUCCEEDED, (first.message, first.error)
    page = client.get(form).content.decode()
    assert 'name="low:fast" value="2"' in page and "at a time" in page
    counting = {name: value for name, value in FORM.items() if name != "start"}
    counted = client.post(form, counting, headers={"HX-Request": "true"}).content.decode()
    assert "<strong>19 trials</strong>" in counted and "<form" not in counted and not Trial.objects.exists()

    run = ended(started(client, form, FORM))
    assert run.status == Run.Status.SUCCEEDED, (run.message, run.error)
    assert run.params == {"cost": 0.002} and Trial.objects.filter(run=run).count() == 19
    sweep = Sweep.objects.get()
    address = reverse("runner:sweep", args=[run.pk])
    page = client.get(address).content.decode()
    assert "Go on with the plateau" in page and "bad luck" in page and "Probability of overfitting" in page
    assert "Every trial a line" in page and "recorded by an earlier run" not in page
    rows = list(csv.DictReader(io.StringIO(client.get(f"{address}/{sweep.pk}/trials.csv").content.decode())))
    assert len(rows) == 19 and {row["error"] for row in rows if row["fast"] == "13"} == {"ArithmeticError: bad luck"}
    best = max((row for row in rows if row["score"]), key=lambda row: float(row["score"]))

    # The plateau has been run as a backtest of its own, and says what chose its parameters.
    (backtest,) = run.backtests.all()
    assert backtest.checks["overfitting"]["sentence"].startswith("This run has tried 19 combinations in a sweep.")
    (line,) = (line for line in claims_box.lines(backtest) if line["key"] == "pbo")
    assert line["text"] == backtest.checks["overfitting"]["sentence"]
    plateau = next(
        row for row in rows if float(row["score"] or -9) == pytest.approx(backtest.metrics["sharpe"], abs=1e-9)
    )
    assert backtest.checks["lookahead"]["state"] == "green", backtest.checks["lookahead"]

    # Any cell's values can be written into the code; nothing is lost.
    client.post(f"{address}/use", {"sweep": sweep.pk, "trial": best["trial"]})
    project.refresh_from_db()
    assert f'param("fast", {best["fast"]}, 2' in project.source and 'param("cost", 0.002,' in project.source
    assert project.revisions.first().source == project.source and project.revisions.count() == 2
    assert f'value="{best["slow"]}"' in client.get(project.edit_url).content.decode()

    # Choosing on one stretch and trading the next, from the plateau and its neighbours.
    walk = {"sweep": sweep.pk, "trial": plateau["trial"], "train": "500", "test": "250", "purge": "5", "embargo": "2"}
    walked = ended(started(client, f"{address}/walk-forward", walk | {"near": "yes"}))
    assert walked.status == Run.Status.SUCCEEDED, (walked.message, walked.error)
    assert walked.sweeps.count() == 4 and set(walked.search["space"]) == {"fast", "slow"}
    assert walked.revision == run.revision != project.revisions.first(), "what was written since stays the latest"
    assert project.revisions.count() == 2 and project.revisions.first().source == project.source
    page = client.get(reverse("runner:sweep", args=[walked.pk])).content.decode()
    assert f'<a href="{reverse("runner:sweep", args=[run.pk])}">The sweep it came from</a>' in page
    assert _swept_before(walked).get_deferred_fields() >= {"manifest", "message"}, "fifty are read"
    part = client.get(reverse("runner:sweep", args=[run.pk]), headers={"HX-Request": "true"}).content.decode()
    assert f"{run.pk}/backtests/0" in part, "whoever has watched the sweep is led to its result"
    assert page.count("?sweep=") == 4 and "purge 5, embargo 2" in page and "Out of sample" in page
    (joined,) = walked.backtests.all()
    assert joined.verified, joined.verified_text
    assert joined.strategy == "Cross, walk-forward" and joined.checks["overfitting"]["state"] == "green"
    report = client.get(f"{joined.get_absolute_url()}/report.html").content.decode()
    window = walked.sweeps.order_by("pk").first()
    (row, *_) = walk_rows(walked)
    assert row.outcome.startswith(signed(window.about["traded"][str(walked.pk)] * 100, 1)), (
        "as it was told before the whole was there"
    )
    assert "Windows of the walk-forward" in report
    assert all(said in report for said in (row.chosen, row.outcome, " – ".join(row.train), " – ".join(row.test)))
    assert (
        "Neighbouring"
        not in client.get(f"{reverse('runner:sweep', args=[walked.pk])}?sweep={window.pk}").content.decode()
    )

    # Whoever counts finds all of them: the first run, the combinations, one of which the plateau's result is, and the
    # walk-forward's.
    (line,) = (line for line in claims_box.lines(backtest) if line["key"] == "trials")
    parts = "19 combinations of sweeps, 1 result of a sweep or walk-forward, 1 backtest of another run"
    assert line["text"].startswith(f"21 different trials ({parts}) along")

    # The sweep's own page names it, and advises nothing that it speaks against.
    page = client.get(address).content.decode()
    lost = joined.equity[-1] < joined.cash
    assert "Out of sample, chosen anew in 4 windows" in page and f'href="{joined.get_absolute_url()}"' in page
    assert ("Go on with the plateau" in page) == (not lost) and ("lost money" in page) == lost
    (edge,) = (f"{address}?pick={row['trial']}" for row in rows if (row["fast"], row["slow"]) == ("10", "60"))
    page = client.get(edge).content.decode()
    assert "slow 60 is the highest" in page and ("Better may lie beyond" in page) == (not lost)
    told = sweep.overfitting | {"trials": 19, "probability": 0.76, "too_few": False}
    Sweep.objects.filter(pk=sweep.pk).update(overfitting=told)
    page = client.get(address).content.decode()
    advised = page[page.index('id="choice-title"') : page.index("Use these values")]
    assert "The probability of overfitting is 76\N{NO-BREAK SPACE}%" in advised and "luck" in advised
    assert "Go on with" not in page and "button--primary" not in advised
    page = client.get(edge).content.decode()
    assert "slow 60 is the highest" in page and "Better may lie beyond" not in page
    assert (
        "Out of sample"
        not in client.get(f"{reverse('runner:sweep', args=[walked.pk])}?sweep={window.pk}").content.decode()
    )

    # Whoever shows the combination that did best on these data is told, and tells, what choosing so has come to.
    total = next(figure["text"] for figure in joined.figures if figure["key"] == "total_return")
    said = "one of 19 combinations that were tried on these same data. Out of sample, chosen anew in 4 windows and"
    Run.objects.filter(pk=walked.pk).update(finished=first.finished)  # else the walk-forward is what the page shows
    shared = " ".join(sharing.what_others_see(project, Project.Visibility.PUBLIC))
    assert said in shared and f"{total}, Sharpe " in shared
    held = next(figure["text"] for figure in joined.figures if figure["key"] == "buy_and_hold")
    years = f"from {joined.start.year} to {joined.end.year}: total return"
    assert years in shared and f"; over the same bars buy and hold {held}." in shared
    client.logout()
    assert client.get(address).status_code == 404
    Project.objects.update(visibility=Project.Visibility.PUBLIC)
    found = out_of_sample(backtest, Viewer(None))
    there = f"/api/v1{backtest.get_absolute_url().replace('/r/', '/runs/')}"
    assert client.get(there).json()["out_of_sample"] == found.sentence
    walk_there = f"/api/v1{joined.get_absolute_url().replace('/r/', '/runs/')}"
    assert client.get(walk_there).json()["out_of_sample"] == found.found
    assert unsaid(client.get(f"{there}/report.pdf").content, [found.sentence]) == []
    assert found.sentence in client.get(f"{there}/report.html").content.decode()
    page = client.get(backtest.get_absolute_url()).content.decode()
    assert said in page and total in page and f'<a href="{joined.get_absolute_url()}">The walk-forward' in page
    assert "combinations that were tried on these" not in client.get(joined.get_absolute_url()).content.decode()

    # A fork's result may be of the same sweep. What came of that is told as long as others may find it.
    fork = make_project(source=PROGRAM, visibility="public", forked_from=run.revision)
    forked = Backtest.objects.get(pk=backtest.pk)
    forked.pk, forked.run = None, make_finished_run(fork, params=run.params, declared_params=run.declared_params)
    forked.save()
    assert out_of_sample(forked, Viewer(None))
    for hidden in (Project.Visibility.UNLISTED, Project.Visibility.PRIVATE):
        Project.objects.filter(pk=project.pk).update(visibility=hidden)
        assert out_of_sample(forked, Viewer(None)) is None and out_of_sample(forked, Viewer(user)), hidden


def test_a_sweep_advises_nothing_that_its_overfitting_or_its_walk_forward_speak_against():
    gained, lost = Walked("", "", False), Walked("", "", True)
    assert doubts(None, None) == doubts({"probability": 0.5, "too_few": False}, gained) == []
    assert (
        doubts({"probability": None, "too_few": False}, None)
        == doubts({"probability": 0.9, "too_few": True}, None)
        == []
    )
    (one,) = doubts({"probability": 0.76, "too_few": False}, gained)
    (other,) = doubts({"probability": 0.1, "too_few": False}, lost)
    assert "76\N{NO-BREAK SPACE}%" in one and "lost money" in other
    assert doubts({"probability": 0.76, "too_few": False}, lost) == [one, other]


def plain(text: str) -> str:
    """Without what stands between thousands, and without emphasis."""
    return re.sub("[\u2009\u202f]|</?strong>", "", text)


def started(client, address: str, form: dict) -> Run:
    answer = client.post(address, form)
    assert answer.status_code == 303, answer.content.decode()[:2000]
    run = Run.objects.order_by("-queued").first()
    assert str(run.pk) in answer["Location"], answer["Location"]
    return run


MANY = """
import time
import numpy as np
import pandas as pd
from qfp import param, portfolio_backtest

a, b = param("a", 0, 0, 19), param("b", 0, 0, 9)
days = pd.bdate_range("2020-01-01", periods=40)
close = 100 * np.cumprod(1 + 0.001 * np.sin(np.arange(40) * (a + 1) / (b + 3)))
bars = pd.DataFrame({"open": close, "high": close, "low": close, "close": close, "volume": 1.0}, index=days)
portfolio_backtest({"made up": bars}, weights={"made up": 1.0})
"""
WHOLE = {
    "start": "yes", "try:a": "on", "low:a": "0", "high:a": "19", "step:a": "1",
    "try:b": "on", "low:b": "0", "high:b": "9", "step:b": "1", "objective": "total_return",
}  # fmt: skip


def test_a_sweep_from_the_form_goes_on_where_its_worker_was_killed(client, worker):
    user = make_user()
    project = make_project(user, source=MANY)
    declared = [
        {"name": "a", "kind": "number", "default": 0, "minimum": 0, "maximum": 19},
        {"name": "b", "kind": "number", "default": 0, "minimum": 0, "maximum": 9},
    ]
    make_finished_run(project, declared_params=declared)
    client.force_login(user)
    lost = started(client, f"{project.base_url}/sweep", WHOLE)
    running(lost)
    until(lambda: Trial.objects.count() > 0, "the first trials")
    live = client.get(reverse("runner:sweep", args=[lost.pk]), headers={"HX-Request": "true"}).content.decode()
    assert "of 200 trials" in plain(live) and 'hx-trigger="every 2s"' in live
    os.kill(horse_of(worker), signal.SIGKILL)
    until_it_is_found(lost)
    before = Trial.objects.count()
    assert 0 < before < 200
    page = client.get(reverse("runner:sweep", args=[lost.pk])).content.decode()
    assert f"Interrupted after {before} of 200 trials" in plain(page)
    again = started(client, reverse("runner:go-on", args=[lost.pk]), {})
    wake_a_worker()
    assert ended(again).status == Run.Status.SUCCEEDED, (again.message, again.error)
    found = Trial.objects.all()
    assert sorted(found.values_list("number", flat=True)) == list(range(200)) and Sweep.objects.count() == 1
    assert found.filter(run=lost).count() == before
    page = plain(client.get(reverse("runner:sweep", args=[again.pk])).content.decode())
    assert f"{before} of them were recorded by an earlier run" in page
    # The backtest of the plateau is one more: without bars of its own the site cannot know that it is the same.
    (line,) = (line for line in claims_box.lines(again.backtests.get()) if line["key"] == "trials")
    parts = "(200 combinations of sweeps, 1 result of a sweep or walk-forward)"
    assert plain(line["text"]).startswith(f"201 different trials {parts} along the project's lineage.")


def test_before_the_first_trial_the_page_tells_which_package_is_brought_in(client):
    user = make_user()
    run = make_run(make_project(user), search={"method": "tpe"})
    client.force_login(user)
    page = reverse("runner:sweep", args=[run.pk])
    assert "Waiting for a free worker. Next in the queue." in client.get(page).content.decode()
    Run.objects.filter(pk=run.pk).update(status=Run.Status.RUNNING, started=timezone.now())
    publisher = Publisher(run.pk)
    publisher.publish({"type": "package", "text": "Downloading optuna 5.0.0 (0.4 MB)", "t": 0.1})
    assert "Packages come first: Downloading optuna 5.0.0 (0.4 MB)." in client.get(page).content.decode()
    publisher.publish({"type": "phase", "phase": "running", "t": 0.2})
    assert "The first trials are being made." in client.get(page).content.decode()
    publisher.close()


def test_what_is_wrong_in_the_form_is_told_once(client):
    project = make_project(make_user())
    declared = [{"name": "fast", "default": 4, "value": 4, "kind": "number", "type": "int", "low": 2, "high": 20}]
    make_finished_run(project, declared_params=declared)
    client.force_login(project.owner)
    wrong = {"try:fast": "on", "low:fast": "9", "high:fast": "3", "step:fast": "1", "objective": "sharpe", "seed": "1"}
    page = client.post(f"{project.base_url}/sweep", wrong | {"start": "yes"})
    assert page.status_code == 422 and page.content.decode().count("the step has to be above 0") == 1
    assert "What has to be changed is said at its field." in page.content.decode()
    # As it is typed only the sum below the form is drawn anew, and what is wrong or odd at each field.
    part = told(client, project, wrong)
    assert part["param-fast"] == "fast: the step has to be above 0, and “to” not below “from”."
    odd = {"low:fast": "3", "high:fast": "20", "step:fast": "4"}
    assert told(client, project, wrong | odd)["param-fast"] == "The last value is 19: steps of 4 from 3 do not meet 20."
    assert told(client, project, wrong | odd | {"step:fast": "30"})["param-fast"].startswith("Only 3 is tried: steps")
    alone = odd | {"high:fast": "3"}
    assert told(client, project, wrong | alone)["param-fast"] == "Only 3 is tried, so nothing is compared."
    assert told(client, project, wrong | alone | {"listed:fast": "5, 7"}) == {}
    commas = wrong | odd | {"listed:fast": ","}
    assert told(client, project, commas)["param-fast"] == "fast: write the values to try, with commas between them."
    assert client.post(f"{project.base_url}/sweep", commas | {"start": "yes"}).status_code == 422
    assert told(client, project, wrong | odd | {"step:fast": "1", "trials": "5"}) == {
        "trials": "13 of 18 combinations are left out."
    }


def told(client, project: Project, form: dict) -> dict[str, str]:
    """What is said at each field while the form is filled in."""
    part = client.post(f"{project.base_url}/sweep", form, headers={"HX-Request": "true"}).content.decode()
    notes = re.findall(r'id="note-([\w-]+)"[^>]*hx-swap-oob="innerHTML">(.*?)</div>', part)
    return {at: text for at, note in notes if (text := re.sub("<[^>]+>", "", note))}
