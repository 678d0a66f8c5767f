"""Every figure against hand-worked numbers, against an independent calculation, and at its edges."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path

import numpy as np
import pytest
from qfp import metrics

REFERENCES = Path(__file__).parents[1] / "data" / "metric_references.json"
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


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="missing or infinite"):
        metrics.sharpe_ratio([0.1, float("nan")])


def wealth(returns):
    return np.cumprod(np.concatenate([[1.0], 1 + returns]))


REFERENCE_FUNCTIONS = {
    "total_return": lambda r, rf, year: metrics.total_return(wealth(r)),
    "sharpe_arithmetic": lambda r, rf, year: metrics.sharpe_ratio(r, rf, year),
    "sortino": lambda r, rf, year: metrics.sortino_ratio(r, 0.0, year),
    "downside_deviation": lambda r, rf, year: metrics.downside_deviation(r, 0.0, year),
    "cagr": lambda r, rf, year: metrics.cagr(wealth(r), year),
    "ann_vol": lambda r, rf, year: metrics.volatility(r, year),
    "max_drawdown": lambda r, rf, year: metrics.max_drawdown(wealth(r)),
    "calmar": lambda r, rf, year: metrics.calmar_ratio(wealth(r), year),
    "skew": lambda r, rf, year: metrics.skewness(r),
    "excess_kurtosis": lambda r, rf, year: metrics.kurtosis(r) - 3,
    "var_hist": lambda r, rf, year: metrics.value_at_risk(r),
    "es_hist": lambda r, rf, year: metrics.expected_shortfall(r),
    "win_rate": lambda r, rf, year: metrics.positive_share(r),
}


@pytest.mark.parametrize("case", json.loads(REFERENCES.read_text()), ids=lambda case: case["id"])
def test_against_reference_values(case):
    """Values two independent methods agree on, with their tolerances."""
    function = REFERENCE_FUNCTIONS[case["measure"]]
    got = function(np.array(case["returns"], dtype=float), case["risk_free_rate"], case["periods_per_year"])
    if case["expected"] is None:
        assert math.isnan(got)
    else:
        allowed = case["abs"] + case["rel"] * abs(case["expected"])
        assert abs(got - case["expected"]) <= allowed
