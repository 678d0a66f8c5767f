"""Where data are gone or time is over while the site makes a run again, what it has found stays and is told."""

from __future__ import annotations

from shutil import copytree

import pytest
from qfp.conventions import Usual
from qfp.objects import object_path
from rq.timeouts import JobTimeoutException

from runner import claims_box
from runner.honesty import companions, sending
from runner.honesty.examinable import NotComparable
from runner.honesty.noting import note
from runner.honesty.reached_prices import reached_prices
from runner.honesty.site_findings import choice, dates_unseen, finding, numbers
from runner.models import Backtest, FoundLeak
from tests.runner.reported import STORE, claim_of, stored

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def other(public_run, settings, tmp_path):
    """Another backtest of the run, in a store of its own, with a limit order: what it reached is looked at."""
    settings.STORE_DIR = copytree(STORE, tmp_path / "store")
    other = stored(public_run, claim_of("AAPL", 40, 20, bars=300))
    other.orders[0] |= {"kind": "limit", "limit": 1.0}
    other.conventions = Usual().as_dict()
    other.save()
    return other


def test_a_leak_that_was_found_stays_where_prices_of_another_backtest_are_gone(
    public_run, other, monkeypatch, settings
):
    def compare(*_):
        object_path(settings.STORE_DIR, other.instruments[0]["object"]).unlink(missing_ok=True)
        return {0: 5}, {}, {}

    monkeypatch.setattr(companions, "_compare", compare)
    monkeypatch.setattr(companions, "_repeated", lambda *_: (set(), {}))
    companions.examine(public_run.pk)
    leaking, unseen = (each.checks for each in public_run.backtests.order_by("position"))
    assert leaking["companion"]["state"] == leaking["lookahead"]["state"] == "red"
    assert unseen["companion"]["state"] == "amber" and "a fault of ours" in unseen["companion"]["sentence"]
    assert sending.EXAMINING not in leaking


def test_what_was_found_stays_a_doubt_where_data_are_gone_before_it_was_confirmed(
    public_run, other, monkeypatch, settings
):
    """And a leak where only what was tried after it failed."""
    before = {each.pk: each.checks for each in public_run.backtests.all()}
    path = object_path(settings.STORE_DIR, other.instruments[0]["object"])
    content = path.read_bytes()
    found = [({0: 5}, {}, {})]

    def compare(run, backtests, variation, *_):
        if found:
            return found.pop()
        path.unlink()
        bar = other.fills[0]["bar"] - 1
        moment = variation.known[other.position][bar]
        return reached_prices(settings.STORE_DIR, backtests, moment, variation.known)

    monkeypatch.setattr(companions, "_compare", compare)
    monkeypatch.setattr(
        companions, "_repeated", lambda run, backtests, changed, _: compare(run, backtests, *changed[0])
    )
    companions.examine(public_run.pk)
    checks = public_run.backtests.get(position=0).checks
    assert checks["companion"]["state"] == checks["lookahead"]["state"] == "amber"
    date = public_run.backtests.get(position=0).dates[5]
    for line in ("companion", "lookahead"):
        assert f"what it did on {date} changed" in checks[line]["sentence"]
        assert checks[line]["sentence"].endswith("could not be confirmed: a fault of ours.")

    path.write_bytes(content)
    for each in public_run.backtests.all():
        Backtest.objects.filter(pk=each.pk).update(checks=before[each.pk])
    found.append(({0: 5}, {}, {}))
    monkeypatch.setattr(companions, "_repeated", lambda *_: (set(), {}))
    companions.examine(public_run.pk)
    assert public_run.backtests.get(position=0).checks["lookahead"]["state"] == "red"


@pytest.mark.parametrize("first", ["clean", "leak", "chosen"])
def test_what_is_found_when_a_run_is_examined_again_takes_the_place_of_all_that_was_found_before(
    public_run, monkeypatch, first
):
    """As it is where a worker died between what it noted of two backtests."""
    own = {"state": "green", "sentence": "No look-ahead found.", "evidence": "box", "found": {"state": "clean"}}
    public_run.backtests.update(checks={"lookahead": own})
    found = {"clean": ({}, {}, {}), "leak": ({0: 5}, {}, {}), "chosen": ({}, {0: 5}, {})}[first]
    memories = {0: numbers() | dates_unseen("of a test") | {"splits": {"state": "amber", "sentence": "Told."}}}
    monkeypatch.setattr(companions, "_compare", lambda *_: found)
    monkeypatch.setattr(companions, "_repeated", lambda *_: (set(), {}))
    monkeypatch.setattr(companions, "_memories", lambda *_: memories)
    companions.examine(public_run.pk)
    checks = public_run.backtests.get().checks
    assert checks["lookahead"]["evidence"] == "site" and checks["lookahead"] != own
    assert ("numbers" in checks) is (first == "clean")

    def fail(*_):
        raise NotComparable("its data are gone")

    unseen, other = (stored(public_run, claim_of("AAPL", slow, 20, bars=300)) for slow in (30, 40))
    Backtest.objects.filter(pk=unseen.pk).update(checks=finding(unseen, None, 0, companions.FAULT))
    monkeypatch.setattr(companions, "_compare", fail)
    companions.examine(public_run.pk)
    assert public_run.backtests.get(position=0).checks == checks, "who could not look takes nothing away"
    unseen.refresh_from_db()
    assert "its data are gone" in unseen.checks["companion"]["sentence"], "of two reasons the last one"
    FoundLeak.objects.all().delete()
    Backtest.objects.filter(pk=other.pk).update(checks={})
    monkeypatch.setattr(companions, "_compare", lambda *_: ({0: 5}, {}, {}))
    monkeypatch.setattr(companions, "_repeated", lambda *_: ({0}, {}))  # it draws
    companions.examine(public_run.pk)
    now = public_run.backtests.get(position=0).checks
    assert now.keys() == {"companion", "lookahead"} and now["lookahead"] == own
    assert "random numbers" in now["companion"]["sentence"]


def test_a_finding_of_the_site_is_taken_back_where_what_the_box_had_said_was_not_kept(public_run):
    backtest = public_run.backtests.get()
    silent = choice(backtest, 5, True)
    assert silent["lookahead"]["found"]["state"] == "chosen"
    backtest.checks = silent
    note(backtest, "", finding(backtest, None, 3, ""))
    assert public_run.backtests.get().checks.keys() == {"companion"}, "its box has never said anything"
    old = {name: {key: value for key, value in told.items() if key != "box"} for name, told in silent.items()}
    for doubt, state in (("", "green"), (companions.DRAWN, "amber")):
        backtest.checks = old
        backtest.save()
        note(backtest, "", finding(backtest, None, 3, doubt))
        backtest.refresh_from_db()
        told = backtest.checks["lookahead"]
        assert told["state"] == backtest.checks["companion"]["state"] == state and "found" not in told
        assert backtest.checks["companion"]["sentence"] in told["sentence"]
    note(backtest, "", {})
    assert public_run.backtests.get().checks["lookahead"] == told


@pytest.mark.parametrize("left", [0, 1])
def test_where_the_same_data_could_not_be_run_again_for_comparison_other_dates_are_not_tried(
    public_run,
    monkeypatch,
    left,
):
    def compare(run, backtests, variation, budget, tables):
        budget.times = left
        return {}, {}, {}

    monkeypatch.setattr(companions, "_compare", compare)
    clean = {"state": "green", "sentence": "No look-ahead found.", "found": {"state": "clean"}}
    public_run.backtests.update(checks={"lookahead": clean})
    companions.examine(public_run.pk)
    checks = public_run.backtests.get().checks
    assert checks["companion"]["state"] == "green" and checks["dates"]["state"] == "grey"
    assert checks["splits"]["state"] == "grey"
    assert all(checks[line]["sentence"].endswith("there was no time left.") for line in ("dates", "splits"))
    (line,) = (line for line in claims_box.lines(public_run.backtests.get()) if line["key"] == "lookahead")
    assert checks["splits"]["sentence"] in line["text"]


@pytest.mark.parametrize("tried", ["_decided_otherwise", "_claims"])
def test_nothing_more_is_tried_once_the_time_of_the_job_is_over(public_run, monkeypatch, tried):
    """_decided_otherwise: on other dates. _claims: with other splits."""
    begun = []

    def over(*_, **__):
        begun.append(1)
        raise JobTimeoutException

    monkeypatch.setattr(companions, "_compare", lambda *_: ({}, {}, {}))
    monkeypatch.setattr(companions, "_decided_otherwise", lambda *_, **__: {})
    monkeypatch.setattr(companions, tried, over)
    companions.examine(public_run.pk)
    checks = public_run.backtests.get().checks
    assert begun == [1] and sending.EXAMINING not in checks
    assert checks["companion"]["sentence"].endswith("there was no time left.")
