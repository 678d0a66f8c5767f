"""Crises, months and windows that move along; regressions on a market and on factors; paths drawn again."""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from qfp import metrics, regression, resampling, windows
from scipy.signal import lfilter

REFERENCES = json.loads((Path(__file__).parents[1] / "data" / "metric_references.json").read_text())
REGRESSIONS = [case for case in REFERENCES["cases"] if case["fn"] == "ols_hac"]

# Closes of the S&P 500 around three crises, as published.
SPX = {
    "2008-08-29": 1282.83, "2008-09-30": 1166.36, "2008-12-31": 903.25, "2009-03-09": 676.53, "2009-03-31": 797.87,
    "2020-02-19": 3386.15, "2020-02-20": 3373.23, "2020-03-12": 2480.64, "2020-03-23": 2237.40, "2020-03-24": 2447.33,
    "2021-12-31": 4766.18, "2022-01-03": 4796.56, "2022-10-12": 3577.03, "2022-12-30": 3839.50, "2023-01-03": 3824.14,
}  # fmt: skip


def test_known_crises_have_their_known_returns():
    rows = {row.crisis.name: row for row in windows.crisis_table(list(SPX.values()), list(SPX))}
    assert rows["Financial crisis"].total_return == pytest.approx(797.87 / 1282.83 - 1)  # -37.8 %
    assert rows["Financial crisis"].max_drawdown == pytest.approx(676.53 / 1282.83 - 1)
    assert rows["Covid crash"].total_return == pytest.approx(-0.3392, abs=1e-4)
    assert rows["Rising rates, 2022"].total_return == pytest.approx(-0.1944, abs=1e-4)


def test_a_crisis_outside_the_bars_is_not_covered_and_not_zero():
    days = np.arange("2020-03-02", "2022-07-01", dtype="datetime64[D]")
    rows = {row.crisis.name: row for row in windows.crisis_table(np.ones(len(days)), days)}
    for name in ("Covid crash", "Rising rates, 2022", "Financial crisis"):  # begins before; ends later; neither
        assert not rows[name].covered and math.isnan(rows[name].total_return)
    monthly = np.arange("2019-01", "2021-01", dtype="datetime64[M]")
    covid = [row for row in windows.crisis_table(np.ones(len(monthly)), monthly) if row.crisis.name == "Covid crash"]
    assert not covid[0].covered  # one bar a month cannot show it


def test_months_and_years_by_hand():
    dates = ["2023-11-30", "2023-12-15", "2023-12-29", "2024-01-31", "2024-03-28"]
    years = windows.monthly_table([100, 110, 120, 90, 99], dates)
    assert [year.year for year in years] == [2023, 2024]
    assert years[0].months[10:] == pytest.approx((0.0, 0.2)) and years[0].total == pytest.approx(0.2)
    assert years[1].months[0] == pytest.approx(-0.25) and math.isnan(years[1].months[1])
    assert years[1].months[2] == pytest.approx(0.1) and years[1].total == pytest.approx(99 / 120 - 1)
    assert windows.monthly_table([], []) == []


def test_a_moving_window_is_the_figure_of_each_stretch():
    rng = np.random.default_rng(4)
    returns, benchmark = rng.normal(0.0005, 0.01, 300), rng.normal(0.0003, 0.01, 300)
    benchmark[200:260] = 0.001  # nothing varies here
    sharpe, beta = windows.rolling_sharpe(returns, 50), windows.rolling_beta(returns, benchmark, 50)
    deviation = windows.rolling_volatility(returns, 50)
    assert np.isnan(sharpe[:49]).all() and np.isnan(beta[:49]).all()
    for at in (49, 120, 299):
        stretch = slice(at - 49, at + 1)
        assert sharpe[at] == pytest.approx(metrics.sharpe_ratio(returns[stretch]), rel=1e-9)
        assert beta[at] == pytest.approx(metrics.beta(returns[stretch], benchmark[stretch]), rel=1e-9)
        assert deviation[at] == pytest.approx(metrics.volatility(returns[stretch]), rel=1e-9)
    assert np.isnan(beta[250:259]).all() and not np.isnan(beta[262:]).any()
    assert np.isnan(windows.rolling_sharpe([0.001] * 60, 50)).all()
    assert len(windows.rolling_beta([], [], 50)) == 0 and np.isnan(windows.rolling_sharpe(returns[:9], 50)).all()


# Regressions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", REGRESSIONS, ids=lambda case: case["id"])
def test_newey_west_errors_are_those_of_the_reference(case):
    inputs, expected = case["inputs"], case["expected"]
    values = np.array(REFERENCES["data"][inputs["y"]["$data"]], dtype=float)
    factors = np.array(REFERENCES["data"][inputs["X"]["$data"]], dtype=float).reshape(len(values), -1)
    found = regression.least_squares(values, factors, [f"f{i}" for i in range(factors.shape[1])], inputs["lags"])
    got = {
        "coef": [c.value for c in found.coefficients],
        "se_hac": [c.error for c in found.coefficients],
        "t_hac": [c.t for c in found.coefficients],
        "se_ols": [c.plain_error for c in found.coefficients],
        "r2": found.r_squared,
        "n": found.observations,
    }
    for key, value in expected.items():
        assert got[key] == pytest.approx(value, abs=1e-8, rel=1e-8), key


def test_a_known_beta_is_found_within_its_error():
    rng = np.random.default_rng(8)
    benchmark = rng.normal(0.0004, 0.01, 1_000)
    returns = 0.003 + 1.2 * benchmark + rng.normal(0, 0.005, 1_000)
    found = regression.capm(returns, benchmark)
    assert abs(found["beta"].value - 1.2) < 2 * found["beta"].error
    assert found["beta"].low < 1.2 < found["beta"].high and found["beta"].p < 1e-12
    assert found.annual_alpha.value == pytest.approx(0.003 * 252, rel=0.2)
    assert found["beta"].value == pytest.approx(metrics.beta(returns, benchmark), rel=1e-10)
    factors = {"market": benchmark, "size": rng.normal(0, 0.01, 1_000)}
    assert abs(regression.factor_model(returns, factors)["size"].t) < 3
    with_gaps = returns.copy()
    with_gaps[::10] = np.nan
    assert regression.capm(with_gaps, benchmark).observations == 900


def test_a_regression_that_cannot_be_is_not_defined():
    rng = np.random.default_rng(9)
    market = rng.normal(0, 0.01, 50)
    cannot = [
        ([0.1], {"a": [0.2]}),
        ([], {"a": []}),
        (market, {"a": np.zeros(50)}),
        (market, {"a": market, "b": 2 * market}),
        (np.full(50, np.nan), {"a": market}),
    ]
    for returns, factors in cannot:
        found = regression.factor_model(returns, factors)
        assert not found.defined and math.isnan(found["a"].p) and math.isnan(found.r_squared)


# Paths drawn again -------------------------------------------------------------------------------------------------


def test_ten_thousand_paths_repeat_by_their_seed_and_agree_with_theory():
    deviation, count = 0.01, 200
    normal = NormalDist(0.0005, deviation)
    logs = np.array([normal.inv_cdf((i + 0.5) / count) for i in range(count)])
    found = resampling.monte_carlo(np.expm1(logs), seed=5, block=1)
    assert len(found.final) == 10_000
    theory = NormalDist(logs.mean() * count, logs.std() * math.sqrt(count))
    for level in (0.05, 0.25, 0.5, 0.75, 0.95):
        assert found.quantile(level) == pytest.approx(math.exp(theory.inv_cdf(level)), rel=0.01)
    assert (resampling.monte_carlo(np.expm1(logs), seed=5, block=1).final == found.final).all()
    assert (resampling.monte_carlo(np.expm1(logs), seed=6, block=1).final != found.final).any()
    assert found.bands.shape == (5, len(found.steps)) and (np.diff(found.bands, axis=0) >= 0).all()
    assert found.actual[-1] == pytest.approx(math.exp(logs.sum())) and found.max_drawdown.max() <= 0


def test_trades_in_another_order_end_alike_and_fall_differently():
    profits = np.array([50.0, -40, 30, -20, 60, -70, 10, 25])
    found = resampling.shuffle_trades(profits, 1_000, paths=500, seed=1)
    assert np.allclose(found.final, 1_000 + profits.sum())
    assert found.max_drawdown.min() == pytest.approx(-130 / 1_000, abs=0.005)  # all losses first
    drawn = resampling.shuffle_trades(profits, 1_000, paths=500, seed=1, replace=True)
    assert drawn.final.std() > 0 and 0 < drawn.loss_probability() < 1
    ruined = resampling.shuffle_trades([-600.0, -600.0, 1_000.0], 1_000, paths=50)
    assert ruined.final.min() == 0 and ruined.max_drawdown.min() == -1


def test_a_total_loss_and_too_few_values_are_no_surprise():
    found = resampling.monte_carlo([0.01, -1.0, 0.02], paths=50, block=1)
    assert np.isfinite(found.final).all() and found.final.min() < 1e-9
    with pytest.raises(ValueError, match="at least two"):
        resampling.monte_carlo([0.01])
    assert resampling.block_length(np.zeros(100)) == 1


def test_blocks_are_as_long_as_asked_and_as_the_returns_ask():
    rng = np.random.default_rng(3)
    _, drawn = resampling.drawn_blocks(10_000, 20, 8, "stationary", rng)
    assert (drawn.sum(axis=1) == 10_000).all() and drawn[drawn > 0].mean() == pytest.approx(8, rel=0.05)
    _, fixed = resampling.drawn_blocks(100, 20, 8, "circular", rng)
    assert (fixed[:, :-1] == 8).all() and (fixed[:, -1] == 4).all()
    # Politis and White's best length for an autoregression of 0.5: (2 phi / (1 - phi^2)) ** (2/3) * n ** (1/3).
    phi, count = 0.5, 20_000
    following = lfilter([1], [1, -phi], rng.normal(0, 0.01, count))
    assert resampling.block_length(following) == pytest.approx(
        (2 * phi / (1 - phi**2)) ** (2 / 3) * count ** (1 / 3), rel=0.2
    )
    assert resampling.block_length(rng.normal(0, 0.01, count)) < 8
