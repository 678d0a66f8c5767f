"""Every figure against hand-worked numbers, against an independent calculation, and at its edges."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path

import numpy as np
import pytest
from qfp import metrics

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


def test_against_an_independent_calculation():
    """A second implementation with the standard library only, element by element."""
    values = [float(value) for value in RANDOM]
    count, mean = len(values), math.fsum(values) / len(values)
    deviation = statistics.stdev(values)

    def moment(order):
        return math.fsum((v - mean) ** order for v in values) / count

    skew, kurtosis = moment(3) / moment(2) ** 1.5, moment(4) / moment(2) ** 2
    sharpe = mean / deviation
    variance = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    wealth, peak, worst = 1.0, 1.0, 0.0
    equity = [1.0]
    for value in values:
        wealth *= 1 + value
        equity.append(wealth)
        peak = max(peak, wealth)
        worst = min(worst, wealth / peak - 1)
    downside = math.sqrt(math.fsum(min(v, 0) ** 2 for v in values) / count)
    expected = {
        "volatility": deviation * math.sqrt(252),
        "sharpe": sharpe * math.sqrt(252),
        "sortino": mean / downside * math.sqrt(252),
        "skewness": skew,
        "kurtosis": kurtosis,
        "max_drawdown": worst,
        "total_return": wealth - 1,
        "cagr": wealth ** (252 / count) - 1,
        "calmar": (wealth ** (252 / count) - 1) / -worst,
        "sharpe_standard_error": math.sqrt(variance / (count - 1)) * math.sqrt(252),
        "probabilistic_sharpe": statistics.NormalDist().cdf(sharpe / math.sqrt(variance / (count - 1))),
        "best_return": max(values),
        "worst_return": min(values),
        "positive_share": sum(v > 0 for v in values) / count,
    }
    found = metrics.summary(equity, np.ones(count + 1), np.zeros(count + 1), [], [])
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-10, abs=1e-12), name
    if sharpe > 0:
        needed = 1 + variance * (statistics.NormalDist().inv_cdf(0.95) / sharpe) ** 2
        assert found["minimum_track_record"] == pytest.approx(needed, rel=1e-10)


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
