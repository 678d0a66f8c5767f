"""Every figure against hand-worked numbers, against an independent calculation, and at its edges."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from qfp import metrics
from qfp.metrics.series import quantile

from runner.figures import GROUPS
from tests.sdk import metric_oracle

REFERENCES = json.loads((Path(__file__).parents[1] / "data" / "metric_references.json").read_text())["cases"]
RANDOM = np.random.default_rng(7).standard_t(4, 500) * 0.01


def test_total_return_cagr_and_drawdown_by_hand():
    equity = [100, 120, 90, 130]  # peak 120, trough 90: -30/120
    assert metrics.total_return(equity) == pytest.approx(0.3)
    assert metrics.max_drawdown(equity) == pytest.approx(-0.25)
    assert metrics.drawdown_details(equity) == {"depth": -0.25, "start": 1, "trough": 2, "recovery": 3}
    assert metrics.cagr([100, 121], 1) == pytest.approx(0.21)
    assert metrics.cagr([100] + [0] * 9 + [121], 10) == pytest.approx(0.21)
    assert metrics.calmar_ratio(equity, 3) == pytest.approx(0.3 / 0.25)


def test_sharpe_and_sortino_by_hand():
    returns = [0.01, -0.01, 0.03]  # mean 0.01, deviation 0.02, downside sqrt(0.0001 / 3)
    assert metrics.sharpe_ratio(returns, periods_per_year=1) == pytest.approx(0.5)
    assert metrics.sharpe_ratio(returns) == pytest.approx(0.5 * math.sqrt(252))
    assert metrics.sortino_ratio(returns, periods_per_year=1) == pytest.approx(0.01 / math.sqrt(0.0001 / 3))


def test_quantiles_are_those_of_numpy_to_the_last_digit():
    for count in (1, 2, 3, 20, 21, 500):
        for share in (0, 0.002, 0.05, 0.25, 0.5, 0.6, 0.95, 0.998, 1):
            assert quantile(RANDOM[:count], share) == np.quantile(RANDOM[:count], share)
    assert quantile([3, 1, 2, 4], 0.5) == 2.5
    assert math.isnan(quantile([], 0.5)) and math.isnan(quantile([1, math.nan], 0.1))


def test_trades_by_hand():
    profits = [10, -5, 20, -5]
    assert metrics.win_rate(profits) == 0.5
    assert metrics.profit_factor(profits) == 3
    assert metrics.payoff_ratio(profits) == 3
    assert metrics.expectancy(profits) == 5


def test_value_at_risk_is_positive_for_a_loss():
    returns = np.arange(-10, 11) / 100  # the 5 % quantile of 21 values is the second lowest
    assert metrics.value_at_risk(returns) == pytest.approx(0.09)
    assert metrics.expected_shortfall(returns) == pytest.approx(0.095)


def account(changes, trades=(), start=1_000.0, year=252, market=None):
    """The arguments of summary() for an account that changes like this, beside another that does."""
    equity, other = [start], [100.0]
    for change in changes:
        equity.append(equity[-1] * (1 + change))
    for change in market if market is not None else [0.4 * c + 0.001 for c in changes]:
        other.append(other[-1] * (1 + change))
    bars = len(equity)
    positions = [float(bar % 3 > 0) for bar in range(bars)]
    traded = [150.0 if bar % 3 == 1 else 0.0 for bar in range(bars)]
    return {
        "equity": equity,
        "positions": positions,
        "traded_value": traded,
        "commissions": [1.25] * (bars // 3),
        "trades": [
            {"profit": p, "return_fraction": p / 500, "entry_bar": 2 * i, "exit_bar": 2 * i + 1 + i % 4}
            for i, p in enumerate(trades)
        ],
        "periods_per_year": year,
        "benchmark": other,
    }


MARKET = np.random.default_rng(8).standard_t(5, 500) * 0.008
ACCOUNTS = {
    "fat tails beside a market": account(RANDOM, [12, -5, 20, -5, -7, 0, -3, 9.5, -1], market=MARKET),
    "hourly, rising": account(np.abs(RANDOM[:80]), [1, 2, 3], year=1638),
    "only losses": account(-np.abs(RANDOM[:60]), [-1, -2, -2, -4]),
    "nothing varies": account([0.0] * 30, [5, 5, 5]),
    "one observation": account([0.02], [3]),
    "total loss": account([0.05, -0.02, 0.01, -1.0, 0.3, 0.1], [20, -1_029], market=[0.01, -0.01, 0, -0.05, 0.02, 0]),
    "no bars": account([]) | {"equity": [], "positions": [], "traded_value": [], "benchmark": []},
    "one bar": account([]),
    "a market that stands still": account(RANDOM[:40], [1, -1], market=[0.0] * 40),
}  # fmt: skip


@pytest.mark.parametrize("name", ACCOUNTS)
def test_every_figure_equals_a_second_calculation(name):
    """In plain Python, one value after the other."""
    given = ACCOUNTS[name]
    year, equity = given["periods_per_year"], given["equity"]
    expected = dict(metric_oracle.series_figures(equity, year))
    expected |= dict(metric_oracle.figures_beside(equity, given["benchmark"], year))
    traded = [given[key] for key in ("positions", "traded_value", "commissions", "trades")]
    expected |= dict(metric_oracle.trading_figures(equity, *traded, year))
    found = metrics.summary(**given)
    assert found.keys() == expected.keys() and len(found) >= 40
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=1e-10, abs=1e-10, nan_ok=True), key
    # Each has a label, a sentence and a formula; the ends of the interval are drawn where the site checks a claim.
    known = [each.key for group in GROUPS.values() for each in group]
    assert sorted(known) == sorted([*found, "sharpe_low", "sharpe_high"])


def test_missing_values_alone_are_no_bars():
    nothing = account([]) | {"equity": [math.nan] * 5, "positions": [math.nan] * 5, "traded_value": [math.nan] * 5}
    found = metrics.summary(**nothing | {"benchmark": [math.nan] * 5})
    empty = metrics.summary(**ACCOUNTS["no bars"])
    assert found == pytest.approx(empty, nan_ok=True)
    assert sum(math.isnan(value) for value in found.values()) > 40


def test_values_at_the_limits_of_numbers_are_not_defined_rather_than_infinite():
    for equity in ([1e-300, 1e300, 1e-300], [1e308, 1e308, 1.7e308], [5e-324, 1.0, 2.0], [1e15, 1e-15, 1e15]):
        given = account([0.1, 0.1], [1e308, -1e-308]) | {"equity": equity, "benchmark": equity[::-1]}
        assert not any(math.isinf(value) for value in metrics.summary(**given).values())


@pytest.mark.parametrize(
    ("start", "step", "count", "periods"),
    [
        ("2024-01-01", "D", 100, 365),
        ("2024-01-01", "7D", 100, 52),
        ("2024-01-31", "30D", 40, 12),
        ("2024-01-01T00", "h", 300, 24 * 365),
    ],
)
def test_the_bars_of_a_year_are_read_off_the_bars(start, step, count, periods):
    unit = np.timedelta64(1, "D") * int(step[:-1] or 1) if step.endswith("D") else np.timedelta64(1, "h")
    dates = np.datetime64(start) + np.arange(count) * unit
    assert metrics.periods_per_year(dates) == periods
    assert f"{periods}" in metrics.frequency_of(dates).text


def test_bars_of_an_exchange_are_252_a_year_and_those_within_a_day_so_many_times_that():
    days = np.arange("2024-01-01", "2024-06-01", dtype="datetime64[D]")
    days = days[(days.astype(int) + 3) % 7 < 5]
    assert metrics.periods_per_year(days) == 252
    hours = (days[:, None] + np.arange(10, 17).astype("timedelta64[h]")).ravel()
    assert metrics.periods_per_year(hours) == 7 * 252
    assert metrics.periods_per_year([str(day) for day in days]) == 252
    # Two hours of Sunday evening are few bars of a week, as in markets for currencies.
    sundays = np.arange("2024-01-07", "2024-06-01", 7, dtype="datetime64[D]")
    evenings = (sundays[:, None] + np.arange(22, 24).astype("timedelta64[h]")).ravel()
    all_day = (days[:, None] + np.arange(24).astype("timedelta64[h]")).ravel()
    assert metrics.periods_per_year(np.sort(np.concatenate([all_day, evenings]))) == 24 * 252
    for unknown in ([], [1, 2, 3, 4], ["a", "b", "c"], days[:2]):
        assert metrics.periods_per_year(unknown) == 252 and "assumed" in metrics.frequency_of(unknown).text


def test_excursions_and_exposure_by_hand():
    trades = [
        {"entry_bar": 0, "exit_bar": 2, "entry_price": 100.0, "size": 2.0, "return_fraction": 0.05},
        {"entry_bar": 1, "exit_bar": 2, "entry_price": 100.0, "size": -1.0, "return_fraction": 0.01},
    ]
    found = metrics.excursions(trades, high=[101, 108, 103, 200], low=[99, 95, 98, 1])
    assert found[0] == pytest.approx({"adverse": -0.05, "favourable": 0.08, "result": 0.05})
    assert found[1] == pytest.approx({"adverse": -0.08, "favourable": 0.05, "result": 0.01})
    net, gross = metrics.exposure_series([[50, -25], [0, 0], [10, 10]], [100, 100, 0])
    assert net.tolist() == [0.25, 0, 0] and gross.tolist() == [0.75, 0, 0]
    falls = metrics.falls([100, 90, 95, 100, 120, 60, 90])
    assert falls[0] == {"depth": -0.5, "start": 4, "trough": 5, "recovery": None}
    assert falls[1] == pytest.approx({"depth": -0.1, "start": 0, "trough": 1, "recovery": 3})


@pytest.mark.parametrize(
    "equity",
    [
        [],
        [100.0],
        [100.0, 100.0],
        [100.0] * 50,
        [100.0, 0.0],
        [100.0, 50.0, 0.0, 0.0],
        [100.0, -5.0],
        [0.0, 1.0],
    ],
)
def test_edges_give_a_number_or_nan_never_an_exception_or_infinity(equity):
    found = metrics.summary(equity, [0.0] * len(equity), [0.0] * len(equity), [], [])
    assert all(not math.isinf(value) for value in found.values())
    if len(equity) < 2:
        assert math.isnan(found["sharpe"]) and math.isnan(found["cagr"])


def test_constant_returns_have_no_sharpe_ratio_however_they_are_rounded():
    assert math.isnan(metrics.sharpe_ratio([0.001] * 100))
    assert math.isnan(metrics.sharpe_ratio(metrics.returns_of(100 * 1.001 ** np.arange(500))))


def test_total_loss_is_minus_one():
    assert metrics.cagr([100, 50, 0]) == -1 and metrics.max_drawdown([100, 50, 0]) == -1


def test_infinite_values_are_refused_and_missing_ones_dropped():
    with pytest.raises(ValueError, match="infinite"):
        metrics.sharpe_ratio([0.1, float("inf")])
    assert metrics.sharpe_ratio([0.1, float("nan"), 0.2]) == metrics.sharpe_ratio([0.1, 0.2])


def wealth(returns):
    return np.cumprod(np.concatenate([[1.0], 1 + returns]))


def days_of_the_deepest_fall(returns, dates, base):
    found = metrics.drawdown_details(wealth(returns))
    days = [base, *dates]
    places = {"peak": found["start"], "trough": found["trough"], "recovery": found["recovery"]}
    return {name: None if at is None else days[at] for name, at in places.items()}


# What a case calls it, by the returns r, the benchmark b, the risk-free rate f and the periods of a year p.
MEASURES = {
    "n_obs": lambda r, b, f, p: len(r),
    "total_return": lambda r, b, f, p: metrics.total_return(wealth(r)),
    "cagr": lambda r, b, f, p: metrics.cagr(wealth(r), p),
    "ann_vol": lambda r, b, f, p: metrics.volatility(r, p),
    "sharpe_arithmetic": lambda r, b, f, p: metrics.sharpe_ratio(r, f, p),
    "sharpe_geometric": lambda r, b, f, p: metrics.geometric_sharpe_ratio(r, f, p),
    "sortino": lambda r, b, f, p: metrics.sortino_ratio(r, 0.0, p),
    "downside_deviation": lambda r, b, f, p: metrics.downside_deviation(r, 0.0, p),
    "omega": lambda r, b, f, p: metrics.omega_ratio(r),
    "max_drawdown": lambda r, b, f, p: metrics.max_drawdown(wealth(r)),
    "calmar": lambda r, b, f, p: metrics.calmar_ratio(wealth(r), p),
    "skew": lambda r, b, f, p: metrics.skewness(r),
    "skew_unbiased": lambda r, b, f, p: metrics.skewness(r, unbiased=True),
    "excess_kurtosis": lambda r, b, f, p: metrics.kurtosis(r) - 3,
    "excess_kurtosis_unbiased": lambda r, b, f, p: metrics.kurtosis(r, unbiased=True) - 3,
    "var_hist": lambda r, b, f, p: metrics.value_at_risk(r),
    "es_hist": lambda r, b, f, p: metrics.expected_shortfall(r),
    "tail_ratio": lambda r, b, f, p: metrics.tail_ratio(r),
    "win_rate": lambda r, b, f, p: metrics.positive_share(r),
    "beta": lambda r, b, f, p: metrics.beta(r, b),
    "alpha_arithmetic": lambda r, b, f, p: metrics.alpha(r, b, f, p),
    "alpha_compound": lambda r, b, f, p: metrics.alpha(r, b, f, p, compound=True),
    "tracking_error": lambda r, b, f, p: metrics.tracking_error(r, b, p),
    "information_ratio": lambda r, b, f, p: metrics.information_ratio(r, b, p),
    "treynor": lambda r, b, f, p: metrics.treynor_ratio(r, b, f, p),
}  # fmt: skip


def measured(case):
    inputs = case["inputs"]
    if case["fn"] == "turnover":
        old, drift = np.array(inputs["w_old"]), 1 + np.array(inputs["returns"])
        drifted = old * drift / ((old * drift).sum() + 1 - old.sum())
        traded = float(np.abs(np.array(inputs["w_new"]) - drifted).sum())
        return {"two_way": traded, "one_way": metrics.turnover([traded], [1.0], 1)}
    returns = np.array(inputs["returns"], dtype=float)
    if case["fn"] == "var_historical":
        return {
            "var": metrics.value_at_risk(returns, inputs["level"], interpolated=inputs["method"] == "linear"),
            "es": metrics.expected_shortfall(returns, inputs["level"], interpolated=inputs["method"] == "linear"),
        }
    known = returns[~np.isnan(returns)]
    if inputs["metric"] == "max_drawdown_dates":
        dates = [day for day, value in zip(inputs["dates"], returns, strict=True) if not math.isnan(value)]
        return days_of_the_deepest_fall(known, dates, inputs["base_date"])
    if inputs["metric"] == "cagr_calendar":
        return metrics.calendar_growth(wealth(known), [inputs["base_date"], *inputs["dates"]])
    benchmark = np.array(inputs["benchmark"], dtype=float) if "benchmark" in inputs else None
    # An account is made of the returns that are known; the other measures drop the missing ones themselves.
    of_accounts = ("total_return", "cagr", "max_drawdown", "calmar", "n_obs")
    series = known if inputs["metric"] in of_accounts else returns
    return MEASURES[inputs["metric"]](series, benchmark, inputs["rf"], inputs["ppy"])


@pytest.mark.parametrize(
    "case",
    [c for c in REFERENCES if c["fn"] in ("perf", "turnover", "var_historical")],
    ids=lambda case: case["id"],
)
def test_against_reference_values(case):
    """Values two independent methods agree on, with their tolerances."""
    got, expected = measured(case), case["expected"]
    if expected == {"undefined": True}:
        assert math.isnan(got)
        return
    if not isinstance(expected, dict):
        got, expected = {"value": got}, {"value": expected}
    for key in got:
        if isinstance(expected[key], float | int):
            allowed = case["tolerance"]["abs"] + case["tolerance"].get("rel", 0) * abs(expected[key])
            assert abs(got[key] - expected[key]) <= allowed, key
        else:
            assert got[key] == expected[key], key
