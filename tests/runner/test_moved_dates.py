"""What is said of a program on other dates: nothing where it may look days up elsewhere, or trades others."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from django.conf import settings
from qfp import objects
from qfp.checking.amnesia import DAYS

from marketdata.store import LENT, current_snapshot_id
from runner.honesty import moved_dates
from runner.honesty.by_number import later_snapshot
from runner.honesty.examinable import NotComparable
from runner.honesty.other_splits import split_snapshot
from runner.honesty.varied_data import varied_snapshot
from runner.snapshot_series import by_id


def run_of(text: str = "print(1)", **read):
    return SimpleNamespace(manifest={"data": read}, revision=SimpleNamespace(files={"main.py": text}))


@pytest.mark.parametrize(
    ("run", "tables", "may"),
    [
        (run_of(), {}, False),
        (run_of(private=["mine/gold@1"]), {}, True),
        (run_of(brought=["mine/gold@1"]), {}, True),
        (run_of(), {("layer", "holidays/days.csv"): 1}, True),
        (run_of(), {("env", "days.csv"): 1}, False),
        (run_of("from backtesting.test import GOOG"), {}, True),
        (run_of("from backtesting import test"), {}, True),
        (run_of("import plotly.express as px\npx.data.stocks()"), {}, True),
        (run_of("from statsmodels import datasets"), {}, True),
        (run_of("from backtesting import Strategy\nfrom qfp import data"), {}, False),
    ],
)
def test_a_program_that_may_look_days_up_in_what_stays_is_not_judged_by_other_dates(run, tables, may):
    assert moved_dates._may_read_what_stays(run, SimpleNamespace(tables=tables)) is may


def test_decisions_on_other_dates_are_told_with_those_that_there_were_and_other_days_are_no_comparison():
    days = ["2009-01-02T00:00:00", "2009-01-05T00:00:00"]
    backtest = SimpleNamespace(dates=days)
    moved = {"dates": [moved_dates._day(day, -DAYS) for day in days], "orders": [1]}
    assert moved["dates"] == ["1981-01-02T00:00:00", "1981-01-05T00:00:00"], "28 years before"
    assert moved_dates._on_their_dates([moved], [backtest], -DAYS) == [{"dates": days, "orders": [1]}]
    for claims in ([], [moved, moved], [{"dates": days}], [{"dates": moved["dates"][:1]}]):
        with pytest.raises(NotComparable):
            moved_dates._on_their_dates(claims, [backtest], -DAYS)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("interval", "dates", "days"),
    [
        ("1d", ("2009-01-02", "2009-12-31"), -DAYS),
        ("1d", ("1929-01-02", "2009-12-31"), -DAYS),
        ("1d", ("1928-12-31", "2009-12-31"), DAYS),
        ("1d", ("1928-12-31", "2071-12-31"), DAYS),
        ("1d", ("1928-12-31", "2072-01-01"), 0),
        ("1h", ("2009-01-02", "2009-12-31"), 0),
        ("", ("2009-01-02", "2009-12-31"), 0),
    ],
)
def test_dates_move_by_28_years_where_calendars_know_both_and_bars_are_of_whole_days(interval, dates, days):
    snapshot = current_snapshot_id()
    every = by_id(settings.STORE_DIR, snapshot)
    series = next((name for name, entry in every.items() if entry["interval"] == interval), "fixed/unknown")
    backtest = SimpleNamespace(instruments=[{"series": series}], dates=list(dates))
    assert moved_dates._days_between(settings.STORE_DIR, snapshot, [backtest]) == days
    unknown = SimpleNamespace(instruments=[{"series": None}], dates=list(dates))
    assert moved_dates._days_between(settings.STORE_DIR, snapshot, [backtest, unknown]) == 0


def _varied(store, snapshot, moment):
    return varied_snapshot(store, snapshot, moment, 1, 1, all_shares=True)


def _varied_but_the_last(store, snapshot, moment):
    return varied_snapshot(store, snapshot, moment, 1, 1, all_shares=True, leave={"b"})


def _moved(store, snapshot, moment):
    return moved_dates.moved_snapshot(store, snapshot, -DAYS, True)


def _split(store, snapshot, moment):
    return split_snapshot(store, snapshot, moment, "2001-01-01", set(), True)


def _later(store, snapshot, moment):
    return later_snapshot(store, snapshot, moment, set(), True)


@pytest.mark.parametrize("made", [_varied, _varied_but_the_last, _moved, _split, _later])
def test_of_data_that_cannot_be_made_whole_nothing_stays(tmp_path, settings, made):
    settings.STORE_DIR = tmp_path
    dates = np.arange("2001-01-01", "2001-12-27", dtype="datetime64[D]").astype("datetime64[us]")
    acted = objects.put(tmp_path, objects.arrow_bytes(dates[:1], {"split": np.ones(1), "dividend": np.zeros(1)}))
    series = [
        {
            "id": name,
            "interval": "1d",
            "actions": acted if name == "a" else None,
            "object": objects.put(tmp_path, content),
        }
        for name in "ab"
        for content in [objects.arrow_bytes(dates, {"close": np.arange(360.0) % 7 + ord(name)})]
    ]
    snapshot = objects.write_snapshot(tmp_path, {"series": series, "universes": []})
    objects.object_path(tmp_path, series[1]["object"]).unlink()
    before = set(tmp_path.rglob("*"))
    with pytest.raises(FileNotFoundError), made(tmp_path, snapshot, dates[100]):
        pass
    assert set(tmp_path.rglob("*")) - before <= {tmp_path / LENT, tmp_path / LENT / ".lock"}
