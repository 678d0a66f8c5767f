"""Every backtest is tested without being asked, and its claims box says what was found."""

from __future__ import annotations

import re
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path

import django_rq
import pytest
from django.apps import apps
from django.conf import settings

from marketdata.store import current_snapshot_id
from runner import claims_box, repeats
from runner.execution import execute_next
from runner.honesty import companions, sending, site_findings
from runner.honesty.budget import LEAST_TIMES
from runner.honesty.known_leaks import same_as
from runner.models import Backtest, PackageLock, Run
from runner.recording import Recording
from tests.factories import make_finished_run, make_project, make_run
from tests.runner.reported import STORE, claim_of, stored

pytestmark = pytest.mark.django_db(transaction=True)

LEAK = """
from qfp import backtest, data
from qfp.backtesting import Strategy

bars = data.prices("IBM", "2009-01-02", "2010-06-30")
rises = bars["close"].shift(-1) > bars["close"]

class Knows(Strategy):
    def init(self): pass
    def next(self):
        if rises.iloc[len(self.data) - 1]:
            if not self.position: self.buy()
        else:
            self.position.close()

backtest(Knows, bars)
"""
# Later prices are others on other data, so it ends with an error there: after its first backtest.
LAST = 'assert round(bars["close"].iloc[-1], 2) == 117.81\n'
TWO = LAST + "backtest(Knows, bars, cash=5_000)\n"
HONEST = (
    """
import pandas as pd
from qfp import backtest, data
from qfp.backtesting import Strategy

class Trend(Strategy):
    def init(self):
        self.mean = self.I(lambda values: pd.Series(values).rolling(20).mean(), self.data.Close)
    def next(self):
        if self.data.Close[-1] > self.mean[-1]:
            if not self.position: self.buy()
        else:
            self.position.close()

bars = data.prices("IBM", "2009-01-02", "2010-06-30")
backtest(Trend, bars)
with open("kept.txt", "a") as file:
    file.write("once")
print("end")
"""
    + LAST
)


@pytest.fixture
def run_source(engine):
    def run_it(source: str, project=None, params: dict | None = None) -> Run:
        run = make_run(
            project or make_project(source=source), params=params or {}, snapshot=current_snapshot_id() or ""
        )
        execute_next()
        run.refresh_from_db()
        return run

    return run_it


def test_a_signal_computed_over_everything_is_found_in_the_box(run_source):
    run = run_source(LEAK + TWO)
    assert run.status == Run.Status.SUCCEEDED, run.message
    backtest, second = run.backtests.order_by("position")
    found = backtest.checks["lookahead"]
    assert found["state"] == "red" and found["found"]["bar"] == 1
    assert "shift(-1)" in found["sentence"] and "2009-01-05" in found["sentence"]
    lines = claims_box.lines(backtest)
    assert len(lines) == 9 and claims_box.summary(lines)["state"] == "red"
    told = second.checks["lookahead"]
    assert told["state"] == "amber" and "on other data it fails: AssertionError (line 17)" in told["sentence"]


def test_an_honest_run_is_clean_and_leaves_what_it_would_have_left(run_source):
    run = run_source(HONEST)
    (backtest,) = run.backtests.all()
    states = {line["key"]: line["state"] for line in claims_box.lines(backtest)}
    assert states["lookahead"] == states["amnesia"] == states["verified"] == "grey", "its sandbox's word"
    assert backtest.checks["lookahead"]["found"]["programs"] >= 1
    cells = backtest.checks["band"]["cells"]
    (base,) = [cell for cell in cells if cell["base"]]
    assert len(cells) == 12 and base["final_equity"] == backtest.metrics["final_equity"]
    (kept,) = run.artefacts.all()
    assert kept.size == len("once")
    # The page knows when only the tests go on.
    types = [event.get("phase", event["type"]) for event in Recording(run.pk).read()]
    assert types.index("examining") > types.index("backtest")
    assert "checks" in types[types.index("examining") :]


SILENT = LEAK.replace(
    "from qfp import backtest, data", "from qfp import backtest, checking, data\nchecking.begin = lambda _: None"
)


# An order on a day that is another one in each run, beside what it knows.
DRAWING = SILENT.replace("class Knows", "import random\nday = random.randrange(5, 300)\n\nclass Knows").replace(
    "    def next(self):\n        if",
    "    def next(self):\n        if len(self.data) == day: self.buy(size=1, limit=0.5)\n        if",
)


@pytest.mark.parametrize("source", [SILENT + TWO, DRAWING + LAST])
def test_the_site_finds_on_data_of_its_own_what_a_program_keeps_its_box_from_telling(run_source, source):
    run = run_source(source, make_project(source=source, visibility="public"))
    backtest, *others = run.backtests.order_by("position")
    assert backtest.checks == {}
    before = set(Path(settings.STORE_DIR, "snapshots").iterdir())
    companions.examine(run.pk)
    backtest.refresh_from_db()
    assert backtest.checks["companion"]["state"] == "red", backtest.checks
    assert backtest.checks["lookahead"]["state"] == "red"
    for each in others:  # before which it ended
        each.refresh_from_db()
        assert each.checks["companion"]["state"] == "amber" and "lookahead" not in each.checks
        assert "on other data the program ended with an error" in each.checks["companion"]["sentence"]
    assert set(Path(settings.STORE_DIR, "snapshots").iterdir()) == before
    assert claims_box.lines(backtest)[0]["state"] == "red"


SWEPT = """
from qfp import Between, backtest, checking, data, sweep
checking.begin = lambda _: None
from qfp.backtesting import Strategy

bars = data.prices("IBM", "2009-01-02", "2010-06-30")
rises = bars["close"].shift(LEAD) > bars["close"].shift(LEAD + 1)

def score(days):
    return -abs(days - bars["close"].iloc[-1] * 1000 % 40)

days = sweep(score, {"days": range(1, 40)}, show=False).best["days"]

class Every(Strategy):
    def init(self): pass
    def next(self):
        if len(self.data) % (5 + AND) == 0 and rises.iloc[len(self.data) - 1]:
            if not self.position: self.buy()
        elif len(self.data) % 3 == 0:
            self.position.close()

backtest(Every, bars)
"""


OF_DATA = 'bars["close"].iloc[-1] * 1000'  # a sweep with it is another one on other data
MOVED = f"[*range(1, 40), int({OF_DATA})]"
DRAWN = f"sweep(score, {{'days': Between(1.0, {OF_DATA})}}, method='random', trials=1, show=False)"


@pytest.mark.parametrize(
    ("lead", "chosen", "values", "more", "state"),
    [
        ("1", "days", "range(1, 40)", "", "chosen"),
        ("-1", "0", "range(1, 40)", "", "leak"),
        ("1", "days", MOVED, "", "chosen"),
        ("-1", "0", MOVED, "", "leak"),
        ("-1", "0", "range(1, 40)", DRAWN, "unclear"),
    ],
)
def test_a_sweep_beside_a_leak_makes_it_no_choice_and_a_choice_is_no_leak(
    run_source, monkeypatch, lead, chosen, values, more, state
):
    source = SWEPT.replace("LEAD", lead).replace("AND", chosen).replace("range(1, 40)", values)
    source = source.replace("\nclass", f"\n{more}\nclass")
    run = run_source(source, make_project(source=source, visibility="public"))
    (backtest,) = run.backtests.all()
    sweeps, tried = run.sweeps.count(), run.trials.count()
    assert "lookahead" not in backtest.checks and tried >= 39, run.message
    made = []
    monkeypatch.setattr(companions, "repeat", lambda *given: made.append(given) or repeats.repeat(*given))
    slow = (values, state) == ("range(1, 40)", "chosen")
    if slow:
        Run.objects.filter(pk=run.pk).update(wall_seconds=119.0, cpu_seconds=119.0)
    companions.examine(run.pk)
    backtest.refresh_from_db()
    told = backtest.checks["companion"]["sentence"]
    assert ("There was no time left to change data " in told and " on any day" in told) is slow, told
    of_turns = [given[2] for given in made].index(run.snapshot)  # the first to see whether the same data give the same
    assert of_turns <= LEAST_TIMES or not slow, "those with sweeps that are held count, too"
    red = "red" if state == "leak" else "amber"
    assert backtest.checks["lookahead"]["found"]["state"] == state, backtest.checks
    assert backtest.checks["companion"]["state"] == backtest.checks["lookahead"]["state"] == red
    assert ("could not be told apart" in backtest.checks["lookahead"]["sentence"]) is (state == "unclear")
    assert (run.sweeps.count(), run.trials.count()) == (sweeps, tried), "what is made again is counted for nobody"


def test_what_an_honest_program_decides_is_the_same_on_data_of_the_sites_own(run_source):
    run = run_source(HONEST, make_project(source=HONEST, visibility="public"))
    companions.examine(run.pk)
    (backtest,) = run.backtests.all()
    assert backtest.checks["companion"]["state"] == "green", backtest.checks["companion"]
    assert backtest.checks["lookahead"]["evidence"] == "site"
    assert "made it again 7 times" in claims_box.lines(backtest)[-1]["text"]
    told = backtest.checks["dates"]
    assert told["state"] == "grey" and "ended with an error, so nothing was compared" in told["sentence"]
    assert told["sentence"] in claims_box.lines(backtest)[1]["text"]
    assert "splits" not in backtest.checks, "it decides by what prices are to each other"


def test_the_tests_never_cost_a_run_its_own_end(engine):
    """It uses most of its processor time itself; what is left is not enough to run it again."""
    source = "import time\nend = time.process_time() + 2.4\nwhile time.process_time() < end: pass\n" + HONEST
    run = make_run(make_project(source=source), snapshot=current_snapshot_id() or "", limits={"cpu_seconds": 3.0})
    execute_next()
    run.refresh_from_db()
    assert run.status == Run.Status.SUCCEEDED, run.message
    (backtest,) = run.backtests.all()
    assert backtest.checks["lookahead"]["state"] == "amber"
    assert re.search("left no time|took too long|time ran out", backtest.checks["lookahead"]["sentence"])


def recorded_text(run: Run) -> list[dict]:
    return [event for event in Recording(run.pk).read(limit=1000) if event["type"] == "stdout"]


def test_a_leak_that_was_found_stays_when_the_next_variation_cannot_be_compared(public_run, monkeypatch):
    """And it is examined once, however often it is sent and whoever else has begun."""
    made = iter([({0: 5}, {}, {}), companions.NotComparable("on other data it makes other backtests")])

    def compare(*_):
        Backtest.objects.filter(run=public_run).update(
            checks={**public_run.backtests.get().checks, "band": {"cells": []}}
        )
        if isinstance(found := next(made), Exception):
            raise found
        return found

    monkeypatch.setattr(companions, "_compare", compare)
    monkeypatch.setattr(companions, "_repeated", lambda *_: (set(), {}))
    for run in (public_run, Run.objects.get(pk=public_run.pk)):
        sending.send(run)
    assert len(django_rq.get_queue(sending.QUEUE).jobs) == 1
    backtest = public_run.backtests.get()
    assert companions._claim(backtest) and not companions._claim(public_run.backtests.get())
    companions.examine(public_run.pk)
    assert "companion" not in public_run.backtests.get().checks
    public_run.backtests.update(checks={})
    companions.examine_next()
    companions.examine_next()
    assert Run.objects.get(pk=public_run.pk).examination_asked is None
    checks = public_run.backtests.get().checks
    assert checks["companion"]["state"] == checks["lookahead"]["state"] == "red"
    assert sending.EXAMINING not in checks and "band" in checks, "noted by another meanwhile"


def test_what_was_found_of_a_run_holds_for_whoever_makes_the_same_and_for_nobody_else(public_run, monkeypatch):
    """Whoever writes one otherwise has the same days drawn, and turns nobody else's result red."""
    claim = claim_of("IBM", 40, 20, bars=300)
    text = "import qfp\ndef f(a): return a * 2\nqfp.backtest(f(3))"
    acting = text.replace("def", 'assert exec("on changed data: sell") is None\ndef').replace("3", "7")
    cells = text.replace("def", "# %% [markdown]\ndef")  # what it begins is not run
    other = text.replace("*", "/")
    names = ("first", "acting", "cells", "other", "tuned", "packages", "files", "same", "late")
    files = {"acting": acting, "cells": cells, "other": other}
    runs = {"first": public_run}
    for name in names[1:]:
        runs[name] = make_finished_run(make_project(visibility="public"), snapshot=claim["snapshot"])
        stored(runs[name], claim)
    for name, run in runs.items():
        run.revision.files = {"main.py": files.get(name, text)} | ({"a.csv": "1"} if name == "files" else {})
        run.revision.save()
    runs["tuned"].params = {"a": 1}
    runs["packages"].lock = PackageLock.objects.create(sha256="a" * 64, text="", base="")
    for name in ("tuned", "packages"):
        runs[name].save()
    leaking, drawn = {runs["acting"].pk}, []

    def compare(run, backtests, variation, budget, tables):
        drawn.append((run.pk, variation))
        return ({0: 5} if run.pk in leaking else {}), {}, {}

    monkeypatch.setattr(companions, "_compare", compare)
    monkeypatch.setattr(companions, "_repeated", lambda *_: (set(), {}))
    monkeypatch.setattr(companions, "on_other_dates", lambda *_: {})
    monkeypatch.setattr(companions, "layer_of", lambda *_: nullcontext())

    def states():
        found = {name: run.backtests.first() for name, run in runs.items()}
        return {name: each.checks.get("companion", {}).get("state") for name, each in found.items() if each}

    def days(name):
        return [variation for pk, variation in drawn if pk == runs[name].pk]

    early = [name for name in names if name not in ("acting", "late")]
    for name in early:
        companions.examine(runs[name].pk)
    companions.examine(runs["acting"].pk)
    assert states() == {**dict.fromkeys(early, "green"), "acting": "red", "late": None}
    assert days("acting") == days("first") == days("cells") != days("other"), "drawn by the shape of the code"
    leaking = {runs["same"].pk}
    runs["same"].backtests.update(checks={})
    companions.examine(runs["same"].pk)
    reds = {name for name, state in states().items() if state == "red"}
    assert reds == {"first", "same", "acting"}
    runs["same"].backtests.all().delete()
    companions.examine(runs["late"].pk)
    checks = runs["late"].backtests.get().checks
    assert checks["companion"]["state"] == checks["lookahead"]["state"] == "red" and not days("late")
    (green,) = Backtest.objects.filter(run=runs["other"])
    before = green.same
    Backtest.objects.filter(pk=green.pk).update(same="", checks={"companion": {"state": "green", "same": before}})
    import_module("runner.migrations.0020_fill_same_backtests").fill(apps, None)
    assert [each.pk for each in same_as(before, public_run.backtests.get())] == [green.pk]


def test_what_others_see_is_green_only_where_the_site_has_looked_itself(public_run):
    green = {"state": "green", "sentence": "No look-ahead found.", "evidence": "box", "found": {"state": "clean"}}
    project, backtest = public_run.project, public_run.backtests.get()

    def states(**checks) -> dict[str, tuple[str, str]]:
        backtest.checks = {"lookahead": green, **checks}
        return {line["key"]: (line["state"], line["text"]) for line in claims_box.lines(backtest)}

    backtest.run.project.visibility = project.Visibility.PRIVATE
    assert states()["lookahead"][0] == "grey"
    for visibility in (project.Visibility.UNLISTED, project.Visibility.PUBLIC):
        backtest.run.project.visibility = visibility
        state, text = states()["lookahead"]
        assert state == "amber" and "not examined it yet" in text
        doubt = site_findings.finding(backtest, None, 0, "on other data the program ended with an error")
        found = states(**doubt)
        assert found["lookahead"][0] == found["verified"][0] == "amber"
        assert "the program ended with an error" in found["verified"][1]
        assert states(**site_findings.finding(backtest, None, 2, ""))["lookahead"][0] == "green"
    # What its box found stays in sight until there is something new, and how far the site is.
    sending.send(backtest.run)
    state, text = states()["lookahead"]
    assert state == "blue" and "No look-ahead found." in text and "wait for a worker" in text
    assert claims_box.checking(backtest) == ""
    first = public_run.backtests.get()
    assert companions._claim(first)
    assert "are under way." in states()["lookahead"][1] and claims_box.checking(backtest) == "Being checked"
    companions._tell_progress(first, 2, 6)
    assert states()["lookahead"][0] == "blue" and "2 of 6 done" in states()["lookahead"][1]
    assert claims_box.checking(backtest) == "Checking: 2 of 6 done"
    backtest.run.status = backtest.run.Status.RUNNING
    backtest.checks = {}
    assert claims_box.checking(backtest) == "Being checked" and claims_box.lines(backtest)[0]["state"] == "blue"
    for state, told in (("partly", "Being checked"), ("clean", ""), ("leak", "")):  # first its strategies are tested
        backtest.checks = {"lookahead": {**green, "found": {"state": state}}}
        assert claims_box.checking(backtest) == told
    backtest.run.status = backtest.run.Status.SUCCEEDED
    backtest.run.wall_seconds = 500.0
    assert "more than 120 seconds" in states()["lookahead"][1] and not sending.wanted(backtest.run)


ASKING = """
from qfp import channel

def said(what, body):
    try:
        return str(channel.ask(what, body))
    except channel.Unanswered as reason:
        return str(reason)

told = [said("nothing", {}), said("sweep", {"do": "known"}), said("data", {"do": "what"}), said("pmap", {"do": "add"})]
assert "again" not in "".join(told), told
"""


def test_a_program_is_not_told_that_it_is_made_again(run_source):
    """It succeeds both times, though it fails where any answer is another one."""
    first = run_source(ASKING + "print(told)\n")
    assert first.status == Run.Status.SUCCEEDED, first.message
    told = next(event["text"] for event in recorded_text(first) if "no such question" in event["text"])
    source = f"{ASKING}assert str(told) == {told.strip()!r}\n"
    run = run_source(source, make_project(source=source))
    assert run.status == Run.Status.SUCCEEDED, run.message
    again = repeats.repeat(run, "again", run.snapshot)
    assert again.outcome == Run.Status.SUCCEEDED and again.asked == {"nothing", "sweep", "data", "pmap"}


def test_a_claim_that_would_be_refused_is_not_compared(settings):
    settings.STORE_DIR = STORE
    claim = claim_of("IBM", 40, 20, bars=300)
    assert repeats._checked(claim, claim["snapshot"], set()) and not repeats._checked({}, claim["snapshot"], set())
