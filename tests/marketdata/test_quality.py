"""What is odd is found and named; what is only unusual gives no alarm."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from marketdata import calendars, quality
from marketdata.quality import Kind
from marketdata.quality.findings import MOST_OF_A_KIND
from marketdata.quality.series import PRICES

NEW_YORK = calendars.find("US")


def clean(rows: int = 500, seed: int = 3) -> dict[str, np.ndarray]:
    """Bars of a lively share on the sessions of New York, without a fault."""
    random = np.random.default_rng(seed)
    days = NEW_YORK.sessions(date(2018, 1, 2), date(2022, 12, 30))[:rows]
    close = 80 * np.exp(np.cumsum(random.normal(0, 0.02, rows)))
    open_ = close * np.exp(random.normal(0, 0.006, rows))
    high = np.maximum(open_, close) * (1 + random.uniform(0, 0.01, rows))
    low = np.minimum(open_, close) * (1 - random.uniform(0, 0.01, rows))
    volume = np.round(2e6 * np.exp(random.normal(0, 0.3, rows)))
    return {
        "date": days.astype("datetime64[us]"),
        "open": open_,
        "high": high,
        "low": low,
        "close": close,
        "volume": volume,
    }


def without(bars, rows):
    return {name: np.delete(values, rows) for name, values in bars.items()}


def scaled(bars, rows, factor, names=PRICES):
    changed = {name: values.copy() for name, values in bars.items()}
    for name in names:
        changed[name][rows] *= factor
    return changed


def day_of(bars, row) -> date:
    return bars["date"][row].astype("datetime64[D]").item()


def kinds(bars, **about) -> list[str]:
    return [finding.kind for finding in quality.check(bars, calendar=NEW_YORK, **about)]


@pytest.mark.parametrize("seed", range(20))
def test_clean_series_give_no_alarm(seed):
    assert quality.check(clean(1200, seed), calendar=NEW_YORK) == []


def test_a_missing_week_is_one_finding_with_its_days():
    (found,) = quality.check(without(clean(), slice(200, 205)), calendar=NEW_YORK)
    assert (found.kind, found.first, found.last) == (Kind.GAP, day_of(clean(), 200), day_of(clean(), 204))
    assert found.message.startswith("5 sessions are missing from 2018-10-17 to 2018-10-23")


def test_without_a_calendar_a_missing_week_is_seen_and_holidays_are_not():
    assert [f.kind for f in quality.check(without(clean(), slice(200, 205)))] == [Kind.GAP]
    assert quality.check(clean()) == []


def test_a_day_that_is_there_twice_is_named():
    bars = clean()
    twice = {name: np.insert(values, 100, values[100]) for name, values in bars.items()}
    (found,) = quality.check(twice, calendar=NEW_YORK)
    assert (found.kind, found.first) == (Kind.DUPLICATE, day_of(bars, 100))
    assert "with the same values" in found.message
    twice["close"][100] *= 1.001
    assert "with different values" in quality.check(twice, calendar=NEW_YORK)[0].message


def test_rows_out_of_order_are_named():
    bars = clean()
    order = np.arange(500)
    order[[300, 301]] = [301, 300]
    assert kinds({name: values[order] for name, values in bars.items()}) == [Kind.DISORDER]


@pytest.mark.parametrize("factor", [100, 0.01, 5])
@pytest.mark.parametrize("length", [1, 2])
def test_a_spike_that_comes_back_is_found(factor, length):
    (found,) = quality.check(scaled(clean(), slice(250, 250 + length), factor), calendar=NEW_YORK)
    assert (found.kind, found.first, found.last) == (Kind.SPIKE, day_of(clean(), 250), day_of(clean(), 249 + length))


def test_a_spike_in_the_last_row_is_found_before_it_comes_back():
    assert kinds(scaled(clean(), slice(499, 500), 100)) == [Kind.SPIKE]


def test_a_spike_of_the_high_alone_is_found():
    assert kinds(scaled(clean(), 250, 100, ["high"])) == [Kind.SPIKE]


def test_pence_that_become_pounds_are_another_unit_not_a_spike():
    (found,) = quality.check(scaled(clean(), slice(250, None), 0.01), calendar=NEW_YORK, kind="index")
    assert (found.kind, found.first) == (Kind.UNIT, day_of(clean(), 250))


@pytest.mark.parametrize(
    ("new_for_one", "said"), [(4, "4 new shares for one"), (2, "2 new shares"), (0.1, "one new share for 10")]
)
def test_an_unadjusted_split_is_found_unless_it_is_recorded(new_for_one, said):
    bars = scaled(clean(), slice(300, None), 1 / new_for_one)
    bars["volume"][300:] *= new_for_one
    found = [finding for finding in quality.check(bars, calendar=NEW_YORK) if finding.kind == Kind.UNADJUSTED_SPLIT]
    assert len(found) == 1 and found[0].first == day_of(bars, 300) and said in found[0].message
    actions = {"date": bars["date"][[300]], "split": np.array([new_for_one]), "dividend": np.zeros(1)}
    assert quality.check(bars, calendar=NEW_YORK, actions=actions) == []


def test_a_recorded_split_that_prices_do_not_show_is_found():
    bars = clean()
    actions = {"date": bars["date"][[300]], "split": np.array([2.0]), "dividend": np.zeros(1)}
    assert kinds(bars, actions=actions) == [Kind.SPLIT_NOT_IN_PRICES]


def test_a_share_that_halves_in_a_crowd_has_not_split():
    bars = scaled(clean(), slice(300, None), 0.5)
    bars["volume"][300] *= 12
    assert quality.check(bars, calendar=NEW_YORK) == []


@pytest.mark.parametrize("days", [-1, 1])
def test_bars_dated_a_day_off_are_a_zone_shift_and_nothing_else(days):
    bars = clean()
    first = next(row for row in range(200, 210) if day_of(bars, row).weekday() == 0)
    bars["date"] = bars["date"].copy()
    bars["date"][first : first + 60] += np.timedelta64(days, "D")
    assert set(kinds(bars)) <= {Kind.ZONE_SHIFT, Kind.DUPLICATE} and Kind.ZONE_SHIFT in kinds(bars)


def test_daily_bars_at_another_zones_midnight_are_a_zone_shift():
    bars = clean()
    bars["date"] = bars["date"] + np.timedelta64(5, "h")
    (found,) = quality.check(bars, calendar=NEW_YORK)
    assert found.kind == Kind.ZONE_SHIFT and "05:00" in found.message


def half_hours(first: date, last: date) -> dict[str, np.ndarray]:
    """Thirteen bars a session in UTC, as New York trades: summer time is in it."""
    begins = []
    for day in NEW_YORK.sessions(first, last).tolist():
        opening = np.datetime64(NEW_YORK.opening(day).replace(tzinfo=None), "us")
        length = int((NEW_YORK.closing(day) - NEW_YORK.opening(day)).total_seconds() // 1800)
        begins.append(opening + np.arange(length) * np.timedelta64(30, "m"))
    dates = np.concatenate(begins)
    close = 50 + np.cumsum(np.random.default_rng(1).normal(0, 0.05, len(dates)))
    return {"date": dates, "close": close}


def test_an_hour_that_summer_time_moved_is_found_in_bars_of_half_an_hour():
    bars = half_hours(date(2024, 2, 1), date(2024, 12, 31))
    assert kinds(bars, interval="30m") == []
    summer = (bars["date"] >= np.datetime64("2024-04-01")) & (bars["date"] < np.datetime64("2024-06-01"))
    bars["date"] = np.where(summer, bars["date"] + np.timedelta64(1, "h"), bars["date"])
    (found,) = quality.check(bars, calendar=NEW_YORK, interval="30m")
    assert (found.kind, found.first, found.last) == (Kind.ZONE_SHIFT, date(2024, 4, 1), date(2024, 5, 31))
    assert "1 hour after" in found.message


def test_local_times_taken_for_utc_are_a_zone_shift():
    bars = half_hours(date(2024, 1, 2), date(2024, 2, 28))
    bars["date"] = bars["date"] - np.timedelta64(5, "h")
    (found,) = quality.check(bars, calendar=NEW_YORK, interval="30m")
    assert found.kind == Kind.ZONE_SHIFT and "5 hours before" in found.message


@pytest.mark.parametrize("price", [0.0, -12.5])
def test_prices_of_zero_and_below_are_found_where_they_cannot_be(price):
    bars = clean()
    for name in PRICES:
        bars[name][123] = price
    assert kinds(bars) == [Kind.NOT_POSITIVE]
    assert quality.check({"date": bars["date"], "close": bars["close"]}, kind="commodity", calendar=NEW_YORK) == []


def test_a_missing_price_is_found():
    bars = clean()
    bars["low"][77] = np.nan
    assert kinds(bars) == [Kind.MISSING_VALUE]


def test_a_high_below_the_close_is_found_and_rounding_is_not():
    bars = clean()
    bars["high"][50] = bars["close"][50] * 0.99
    assert Kind.OHLC in kinds(bars)
    bars["high"][50] = max(bars["close"][50], bars["open"][50]) * (1 - 1e-8)
    assert kinds(bars) == []


def test_a_stale_run_is_found_where_prices_usually_move():
    bars = clean()
    for name in PRICES:
        bars[name][100:115] = bars["close"][100]
    (found,) = quality.check(bars, calendar=NEW_YORK)
    assert (found.kind, found.first, found.last) == (Kind.STALE, day_of(bars, 101), day_of(bars, 114))


@pytest.mark.parametrize("seed", range(5))
def test_a_share_that_often_stands_still_is_not_stale(seed):
    random = np.random.default_rng(seed)
    days = NEW_YORK.sessions(date(2010, 1, 4), date(2022, 12, 30))
    close = 3 + np.cumsum(random.normal(0, 0.01, len(days)) * (random.uniform(size=len(days)) < 0.4))
    assert quality.check({"date": days.astype("datetime64[us]"), "close": close}, calendar=NEW_YORK) == []


@pytest.mark.parametrize("volume", [-5.0, 2.0**31 - 1, 2.0**32 - 1, np.nan, 0.0])
def test_volumes_that_overflowed_or_vanished_are_found(volume):
    bars = clean()
    bars["volume"][400] = volume
    assert kinds(bars) == [Kind.VOLUME]


def test_a_bar_on_a_holiday_is_named():
    bars = clean()
    row = int(np.searchsorted(bars["date"], np.datetime64("2018-12-25")))
    holiday = {name: np.insert(values, row, values[row - 1]) for name, values in bars.items()}
    holiday["date"][row] = np.datetime64("2018-12-25")
    (found,) = quality.check(holiday, calendar=NEW_YORK)
    assert (found.kind, found.first) == (Kind.CLOSED_DAY, date(2018, 12, 25))


def test_a_series_that_is_wrong_throughout_needs_few_sentences():
    found = quality.check(without(clean(), np.arange(1, 499, 2)), calendar=NEW_YORK)
    assert len(found) == MOST_OF_A_KIND + 1 and "more of this kind" in found[-1].message


# GameStop's daily bars around its squeeze, in dollars as traded then; volumes in millions of shares.
GAMESTOP = """
2021-01-04 19.00 19.10 17.15 17.25 10.0
2021-01-05 17.35 18.08 17.23 17.37 5.0
2021-01-06 17.34 18.98 17.33 18.36 6.1
2021-01-07 18.47 19.45 18.02 18.08 6.1
2021-01-08 18.18 18.30 17.08 17.69 6.5
2021-01-11 19.41 20.65 19.01 19.94 14.9
2021-01-12 19.96 20.40 19.32 19.95 7.1
2021-01-13 20.42 38.65 20.03 31.40 144.5
2021-01-14 38.09 43.06 33.05 39.91 93.7
2021-01-15 38.49 40.75 34.01 35.50 46.9
2021-01-19 41.55 45.52 36.64 39.36 74.7
2021-01-20 37.37 41.19 36.06 39.12 33.5
2021-01-21 39.23 44.75 37.00 43.03 56.2
2021-01-22 42.59 76.76 42.32 65.01 196.8
2021-01-25 96.73 159.18 61.13 76.79 177.9
2021-01-26 88.56 150.00 80.20 147.98 178.6
2021-01-27 354.83 380.00 249.00 347.51 93.4
2021-01-28 265.00 483.00 112.25 193.60 58.8
2021-01-29 379.71 413.98 250.00 325.00 50.6
2021-02-01 316.56 322.00 212.00 225.00 37.4
2021-02-02 140.76 158.00 74.22 90.00 78.2
2021-02-03 112.01 113.40 85.25 92.41 42.7
2021-02-04 91.19 91.50 53.33 53.50 62.4
2021-02-05 54.04 95.00 51.09 63.77 81.3
"""


@pytest.mark.parametrize("names", [("open", "high", "low", "close", "volume"), ("close",)])
def test_gamestop_in_january_2021_is_news_and_not_a_fault(names):
    rows = [line.split() for line in GAMESTOP.split("\n") if line]
    columns = {
        name: np.array([float(row[at]) for row in rows])
        for at, name in enumerate(["open", "high", "low", "close", "volume"], 1)
    }
    bars = {"date": np.array([row[0] for row in rows], "datetime64[us]"), **{name: columns[name] for name in names}}
    assert quality.check(bars, calendar=NEW_YORK) == []
