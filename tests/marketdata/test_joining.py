"""New days are appended where the old ones are the same; an adjustment is told from a change of history."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from marketdata.admission import Admission
from marketdata.joining import Verdict, join
from marketdata.providers import Bars
from tests.marketdata.test_quality import clean, day_of


def cut(bars, first, last):
    return {name: values[first:last].copy() for name, values in bars.items()}


@pytest.fixture
def bars():
    return clean(300)


@pytest.fixture
def held(bars):
    return cut(bars, 0, 280)


@pytest.fixture
def new(bars):
    """The last ten days held, and twenty more."""
    return cut(bars, 270, 300)


def actions(bars, row, split=1.0, dividend=0.0):
    return {"date": bars["date"][[row]], "split": np.array([split]), "dividend": np.array([dividend])}


def test_equal_days_are_appended(bars, held, new):
    joined = join(held, None, new, None)
    assert (joined.verdict, joined.whole, joined.changed) == (Verdict.EQUAL, False, [])
    assert all(np.array_equal(joined.columns[name], bars[name]) for name in bars)


def test_rounding_by_the_provider_is_no_change(held, new):
    for name in ("open", "high", "low", "close"):
        new[name] = new[name].astype(np.float32).astype(np.float64)
    assert join(held, None, new, None).verdict == Verdict.EQUAL


@pytest.mark.parametrize("factor", [0.5, 0.9876, 0.9991])
@pytest.mark.parametrize("days", [10, 4])
def test_a_constant_factor_asks_for_the_whole_series(held, new, factor, days):
    """The last day with the factor is the one before the split or dividend: that may lie among the common days."""
    for name in ("open", "high", "low", "close"):
        new[name][:days] *= factor
    joined = join(held, None, new, None)
    assert joined.verdict == Verdict.FACTOR and joined.whole
    assert np.array_equal(joined.columns["close"], held["close"])


def test_the_whole_series_with_a_factor_takes_the_place_of_the_old_one(bars, held):
    whole = cut(bars, 0, 300)
    for name in ("open", "high", "low", "close"):
        whole[name][:290] *= 0.97
    joined = join(held, None, whole, None)
    assert joined.verdict == Verdict.FACTOR and not joined.whole
    assert np.array_equal(joined.columns["close"], whole["close"])


def test_another_value_is_a_restatement_with_its_day(bars, held, new):
    new["close"][3] *= 1.01
    joined = join(held, None, new, None)
    assert (joined.verdict, joined.changed) == (Verdict.RESTATED, [day_of(bars, 273)])
    assert joined.columns["close"][273] == new["close"][3] and joined.columns["close"][272] == held["close"][272]
    assert str(day_of(bars, 273)) in joined.message


def test_values_that_all_changed_by_their_own_amount_are_no_factor(held, new):
    for name in ("open", "high", "low", "close"):
        new[name] *= np.linspace(1.1, 1.2, len(new[name]))
    assert join(held, None, new, None).verdict == Verdict.RESTATED


def test_a_day_that_vanished_or_came_late_is_a_restatement(bars, held, new):
    gone = {name: np.delete(values, 4) for name, values in new.items()}
    assert join(held, None, gone, None).changed == [day_of(bars, 274)]
    late = {name: np.delete(values, 274) for name, values in held.items()}
    assert join(late, None, new, None).changed == [day_of(bars, 274)]


def test_the_last_day_may_be_settled_late(held, new):
    new["close"][9] *= 1.002
    new["volume"][9] += 1000
    joined = join(held, None, new, None)
    assert joined.verdict == Verdict.EQUAL and joined.columns["close"][279] == new["close"][9]


def test_without_a_common_day_the_whole_series_is_needed(bars, held):
    assert join(held, None, cut(bars, 285, 300), None).verdict == Verdict.APART


def test_all_there_is_takes_the_place_of_what_it_has_no_day_in_common_with(bars, held):
    """A key that gives the last hundred days, months later."""
    new = cut(bars, 285, 300)
    joined = join(held, None, new, None, all_there_is=True)
    assert joined.verdict == Verdict.APART and not joined.whole
    assert np.array_equal(joined.columns["date"], new["date"])


def test_splits_and_dividends_are_kept_and_new_ones_added(bars, held, new):
    joined = join(held, actions(bars, 100, split=2.0), new, actions(bars, 290, dividend=0.4))
    assert joined.verdict == Verdict.EQUAL
    assert joined.actions["date"].astype("datetime64[D]").tolist() == [day_of(bars, 100), day_of(bars, 290)]


def test_a_dividend_that_was_added_afterwards_is_a_restatement(bars, held, new):
    joined = join(held, None, new, actions(bars, 272, dividend=0.4))
    assert joined.verdict == Verdict.RESTATED and joined.changed == [day_of(bars, 272)]
    assert "dividends" in joined.message


def test_revised_figures_of_the_economy_are_a_restatement():
    months = np.arange(np.datetime64("2020-01"), np.datetime64("2021-01")).astype("datetime64[us]")
    held = {"date": months, "close": np.arange(100.0, 112.0)}
    new = {"date": months[6:], "close": np.array([106.0, 107.0, 108.4, 109.1, 110.0, 111.0])}
    joined = join(held, None, new, None)
    assert joined.changed == [date(2020, 9, 1), date(2020, 10, 1)]
    bars = Bars(new["date"], {"close": new["close"]}, kind="macro", interval="1mo")
    assert Admission(bars, [], [], joined).needs_all  # releases are not mixed
    assert not Admission(bars, [], [], join(held, None, held, None)).needs_all
