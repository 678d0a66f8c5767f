"""What the models of qfp must hold beside printed values: parities, limits, simulations, refusals."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from qfp.models import (
    allocation,
    barriers,
    cointegration,
    cross_validation,
    heston,
    lookback,
    market_making,
    options,
    rates,
    risk,
    simulation,
    trees,
    volatility,
)

DATA = json.loads((Path(__file__).parent.parent / "data" / "model_references.json").read_text())["data"]
MARKET = {"spot": 100.0, "rate": 0.05, "volatility": 0.25, "years": 0.75, "dividend": 0.02}


def test_models_cost_nothing_until_one_is_used():
    program = "import sys, qfp; qfp.models; print('numpy' in sys.modules, 'scipy' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["False", "False"]


# Options


def test_put_call_parity_holds_to_the_last_digits():
    generator = np.random.default_rng(1)
    strike, years = generator.uniform(20, 500, 2000), generator.uniform(0.01, 10, 2000)
    rate, sigma, dividend = (generator.uniform(low, high, 2000) for low, high in ((-0.02, 0.1), (0.01, 1), (0, 0.08)))
    call, put = (options.price(kind, 100, strike, rate, sigma, years, dividend=dividend) for kind in ("call", "put"))
    gap = options.parity_gap(call, put, 100, strike, rate, years, dividend=dividend)
    assert np.abs(gap / strike).max() < 1e-12


def test_each_greek_is_the_derivative_it_is_named_for():
    at = {**MARKET, "strike": 110.0}
    derivatives = {
        "delta": ("price", "spot", 1), "vega": ("price", "volatility", 1), "theta": ("price", "years", -1),
        "rho": ("price", "rate", 1), "phi": ("price", "dividend", 1), "dual_delta": ("price", "strike", 1),
        "gamma": ("delta", "spot", 1), "speed": ("gamma", "spot", 1), "vanna": ("delta", "volatility", 1),
        "volga": ("vega", "volatility", 1), "charm": ("delta", "years", -1), "color": ("gamma", "years", -1),
        "zomma": ("gamma", "volatility", 1), "ultima": ("volga", "volatility", 1),
        "dual_gamma": ("dual_delta", "strike", 1),
    }  # fmt: skip
    for kind in ("call", "put"):
        figures = options.greeks(kind, **at)
        for name, (of, by, sign) in derivatives.items():
            up, down = (options.greeks(kind, **{**at, by: at[by] + step})[of] for step in (1e-4, -1e-4))
            assert figures[name] == pytest.approx(sign * (up - down) / 2e-4, rel=1e-5, abs=1e-6), (kind, name)


def test_implied_volatility_comes_back_from_any_price_that_determines_it():
    generator = np.random.default_rng(2)
    strike = 100 * np.exp(generator.uniform(-2.5, 2.5, 5000))
    years, sigma = np.exp(generator.uniform(-7, 3.4, 5000)), np.exp(generator.uniform(-4, 1.6, 5000))
    for kind, maximum in (("call", 100.0), ("put", strike * np.exp(-0.03 * years))):
        price = options.price(kind, 100, strike, 0.03, sigma, years)
        intrinsic = options.price(kind, 100, strike, 0.03, 0.0, years)
        telling = (price > 1e-280) & (price - intrinsic > 1e-6 * price) & (price < 0.99 * maximum)
        found = options.implied_volatility(kind, price, 100, strike, 0.03, years)
        assert telling.sum() > 2000
        assert np.abs(found[telling] / sigma[telling] - 1).max() < 1e-9


@pytest.mark.parametrize("price", [5.0 + 1e-15, 4.0, math.nan])
def test_price_at_or_below_the_intrinsic_value_implies_no_volatility(price):
    with pytest.raises(ValueError, match="not above the intrinsic value"):
        options.implied_volatility("call", price, 105, 100, 0.0, 1.0)
    assert math.isnan(options.implied_volatility("call", np.array([price]), 105, 100, 0.0, 1.0)[0])


def test_tree_with_cash_dividends_is_the_escrowed_model():
    paid = [(0.25, 2.0), (0.5, 2.0)]
    left = 100 - sum(amount * math.exp(-0.05 * time) for time, amount in paid)
    european = trees.crr("call", 100, 95, 0.05, 0.3, 0.75, style="european", steps=2000, cash_dividends=paid)
    assert european == pytest.approx(options.price("call", left, 95, 0.05, 0.3, 0.75), abs=2e-3)
    assert trees.crr("call", 100, 95, 0.05, 0.3, 0.75, steps=500, cash_dividends=paid) > european


@pytest.mark.parametrize("barrier_kind", barriers.KINDS)
@pytest.mark.parametrize("kind", ["call", "put"])
def test_barriers_agree_with_simulation_watched_always_or_on_some_days(barrier_kind, kind):
    level = 92.0 if barrier_kind.startswith("down") else 109.0
    other = barrier_kind.replace("out", "x").replace("in", "out").replace("x", "in")
    for strike in (88.0, 101.0, 112.0):
        option = {**MARKET, "strike": strike, "level": level}
        always = barriers.barrier(barrier_kind, kind, **option)
        vanilla = options.price(kind, **{**MARKET, "strike": strike})
        assert always + barriers.barrier(other, kind, **option) == pytest.approx(vanilla, abs=1e-12)
        some_days = barriers.barrier_discrete(barrier_kind, kind, **option, observations=8)
        for bridge, exact in ((True, always), (False, some_days)):
            found = simulation.barrier(barrier_kind, kind, **option, steps=8, bridge=bridge, paths=10_000, seed=6)
            assert abs(found.value - exact) <= 3.5 * found.standard_error + 1e-12, (strike, bridge)


def test_lookback_passes_smoothly_through_zero_carry():
    carries = np.linspace(-2e-4, 2e-4, 41)
    for kind, extreme in (("call", 90.0), ("put", 110.0)):
        values = [lookback.floating(kind, 100, extreme, 0.05, 0.3, 1, dividend=0.05 - carry) for carry in carries]
        line = np.polynomial.Polynomial.fit(carries, values, 3)
        assert values == pytest.approx(line(carries), abs=2e-9)


@pytest.mark.parametrize("method", simulation.METHODS)
def test_variance_reduction_keeps_the_price_and_tells_its_error(method):
    exact = options.price("call", strike=105.0, **MARKET)
    estimates = [
        simulation.european("call", strike=105.0, **MARKET, method=method, paths=4000, seed=s) for s in range(60)
    ]
    off = np.array([(estimate.value - exact) / estimate.standard_error for estimate in estimates])
    assert abs(off.mean()) < 0.45
    assert 0.7 < off.std() < 1.3
    if method != "plain":
        assert all(estimate.standard_error < 0.85 * estimate.plain_standard_error for estimate in estimates)


@pytest.mark.parametrize(("spot", "years", "bermudan"), [(36, 2, 4.840405), (40, 2, 2.884537), (44, 2, 1.689976)])
def test_regression_on_paths_finds_the_price_of_early_exercise(spot, years, bermudan):
    found = simulation.longstaff_schwartz("put", spot, 40, 0.06, 0.2, years, exercises=50 * years, paths=40_000, seed=5)
    assert abs(found.value - bermudan) < 3 * found.standard_error


def test_option_that_can_be_exercised_only_at_the_end_is_european():
    found = simulation.longstaff_schwartz("call", strike=105.0, **MARKET, exercises=1, paths=400_000, seed=1)
    assert abs(found.value - options.price("call", strike=105.0, **MARKET)) < 3 * found.standard_error


def test_heston_over_long_and_short_times_stays_between_the_bounds_of_no_arbitrage():
    model = heston.Heston(v0=0.04, kappa=1.5, theta=0.06, sigma=0.9, rho=-0.8)
    assert not model.feller
    strikes = np.linspace(40, 250, 43)
    for years in (0.02, 1, 30):
        calls = model.price("call", 100, strikes, 0.02, years, dividend=0.01)
        puts = model.price("put", 100, strikes, 0.02, years, dividend=0.01)
        gap = options.parity_gap(calls, puts, 100, strikes, 0.02, years, dividend=0.01)
        assert np.abs(gap).max() < 1e-9
        assert np.all(np.diff(calls) <= 1e-9)
        assert np.all(np.diff(calls, 2) >= -1e-9)


# Rates, volatility, risk


def test_svensson_curve_gives_back_the_yields_it_was_made_of():
    made = rates.Curve(0.04, -0.02, 0.03, 1.2, 0.0, -0.025, 7.0)
    years = np.array([0.25, 0.5, 1, 2, 3, 5, 7, 10, 15, 20, 30])
    assert rates.svensson(years, made(years)).rmse < 1e-6
    assert rates.nelson_siegel(years, made(years)).rmse > 1e-4


def test_garch_is_the_same_in_fractions_and_percent_and_its_variances_lead():
    percent = np.array(DATA["sp500_returns_pct"][:1500])
    one, other = volatility.garch(percent), volatility.garch(percent / 100)
    assert other.alpha == pytest.approx(one.alpha, abs=1e-3)
    assert other.omega * 1e4 == pytest.approx(one.omega, rel=0.02)
    expected = one.omega + one.alpha * (percent[:-1] - one.mu) ** 2 + one.beta * one.variances[:-1]
    assert one.variances[1:] == pytest.approx(expected, rel=1e-12)
    assert one.forecast(5000)[-1] == pytest.approx(one.long_run, rel=1e-3)


def test_ewma_hand_worked():
    # 0.04 first; then 0.9 * 0.04 + 0.1 * 0.04 = 0.04; 0.9 * 0.04 + 0.1 * 0.01 = 0.037
    assert volatility.ewma([0.2, 0.1], decay=0.9) == pytest.approx([0.04, 0.04, 0.037])


def test_exceptions_of_value_at_risk_are_tested_by_likelihood():
    # Kupiec 1995: 8 of 255 at 99 %: 2 ln((8/255)^8 (247/255)^247 / (0.01^8 0.99^247))
    ratio = 2 * (8 * math.log(8 / 255 / 0.01) + 247 * math.log(247 / 255 / 0.99))
    assert risk.kupiec(8, 255, level=0.99)[0] == pytest.approx(ratio)
    assert risk.kupiec(8, 255, level=0.99)[1] == pytest.approx(0.006129, abs=1e-6)
    spread, bunched = [False] * 95 + [True] * 5, [(position % 20) == 0 for position in range(100)]
    assert risk.christoffersen(spread)[1] < 0.01 < risk.christoffersen(bunched)[1]


# Portfolios


def test_long_only_portfolios_meet_the_conditions_of_an_optimum():
    returns = np.random.default_rng(3).standard_normal((90, 40)) @ np.random.default_rng(4).uniform(0, 0.01, (40, 40))
    cov, means = np.cov(returns.T), np.random.default_rng(5).normal(0.001, 0.001, 40)
    least = allocation.min_variance(cov, long_only=True)
    held = least.weights > 0
    marginal = cov @ least.weights
    assert 0 < held.sum() < 40
    assert marginal[held] == pytest.approx(marginal[held].mean(), rel=1e-7)
    assert marginal[~held].min() >= marginal[held].mean() * (1 - 1e-7)
    curve = allocation.frontier(means, cov, points=15)
    assert curve[0].weights == pytest.approx(least.weights, abs=1e-9)
    assert curve[-1].weights[means.argmax()] == pytest.approx(1.0)
    assert [point.mean for point in curve] == pytest.approx(np.linspace(curve[0].mean, means.max(), 15))
    assert np.all(np.diff([point.volatility**2 for point in curve], 2) > -1e-12)
    best = allocation.tangency(means, cov, long_only=True)
    assert best.sharpe >= max(point.sharpe for point in curve) - 1e-12
    assert np.ptp(allocation.risk_parity(cov).risk_shares) < 1e-10


def test_clusters_divide_the_weight_and_survive_more_assets_than_observations():
    # Two assets that move as one share what the third one gets alone.
    cov = np.array([[0.04, 0.0396, 0.0], [0.0396, 0.04, 0.0], [0.0, 0.0, 0.04]])
    weights = allocation.hierarchical(cov).weights
    assert weights[0] == pytest.approx(weights[1], rel=1e-9)
    assert weights[2] > 0.45
    many = np.cov(np.random.default_rng(6).standard_normal((20, 60)).T)
    found = allocation.hierarchical(many).weights
    assert found.min() > 0
    assert found.sum() == pytest.approx(1.0)


def test_portfolio_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="symmetric"):
        allocation.min_variance([[1.0, 0.5], [0.1, 1.0]])
    with pytest.raises(ValueError, match="earn more than the risk-free rate"):
        allocation.tangency([0.01, 0.02], np.eye(2), risk_free_rate=0.03, long_only=True)
    with pytest.raises(ValueError, match="singular"):
        allocation.min_variance([[1.0, 1.0], [1.0, 1.0]])


# Statistics


@pytest.mark.parametrize(
    ("series", "terms", "statistic", "p_value", "lags"),
    [  # adfuller of statsmodels 0.15.0, autolag AIC
        ("log_brent", "none", 0.48475073746235486, 0.8213542255969292, 6),
        ("log_brent", "constant", -1.65508890816865, 0.45438777819075, 1),
        ("log_brent", "trend", -2.850102576785012, 0.17915121778113485, 1),
        ("log_cons", "constant", -1.6449345048982644, 0.45968355079247475, 3),
    ],
)
def test_unit_root_test_agrees_with_statsmodels(series, terms, statistic, p_value, lags):
    found = cointegration.adf(DATA[series], terms=terms)
    assert (found.statistic, found.p_value, found.lags) == (
        pytest.approx(statistic, abs=1e-8), pytest.approx(p_value, abs=1e-8), lags,
    )  # fmt: skip


def test_cointegration_takes_the_values_for_two_series():
    found = cointegration.engle_granger(DATA["log_wti"], DATA["log_brent"], lags=0)
    # coint of statsmodels 0.15.0
    assert found.test.p_value == pytest.approx(1.4912875021124235e-05, rel=1e-6)
    assert list(found.test.critical.values()) == pytest.approx([-3.9245967, -3.35176139, -3.05528709], abs=1e-8)


def test_half_life_of_a_series_with_known_return():
    generator = np.random.default_rng(7)
    spread = np.zeros(20_000)
    for index in range(1, len(spread)):
        spread[index] = 0.9 * spread[index - 1] + generator.standard_normal()
    assert cointegration.half_life(spread) == pytest.approx(math.log(0.5) / math.log(0.9), rel=0.06)
    assert math.isnan(cointegration.half_life(1.01 ** np.arange(50)))


def test_zscore_of_a_bar_does_not_change_with_later_bars():
    series = np.cumsum(np.random.default_rng(8).standard_normal(100))
    assert cointegration.zscore(series, 20)[:60] == pytest.approx(cointegration.zscore(series[:60], 20), nan_ok=True)


@pytest.mark.parametrize("tested", [1, 2])
def test_no_training_label_shares_data_with_a_test_label(tested):
    horizon, samples = 7, 200
    splits = list(cross_validation.combinatorial_folds(samples, 5, tested, horizon=horizon, embargo=0.02))
    assert len(splits) == math.comb(5, tested)
    for train, test in splits:
        assert len(train) > samples * (1 - tested / 5) - 2 * tested * (horizon + 5)
        used = np.zeros(samples + horizon + 1, dtype=bool)
        for index in test:
            used[index : index + horizon + 1] = True
        assert not any(used[index : index + horizon + 1].any() for index in train)
        for index in test:  # four samples of embargo
            assert not np.isin(np.arange(index, min(index + horizon + 5, samples)), train).any()


def test_market_maker_earns_about_what_the_paper_prints_with_half_the_risk():
    # Avellaneda and Stoikov 2008, table 1 (gamma 0.1): profit 62.94, deviation 5.89 against 67.21 and 13.43
    minding, ignoring = (market_making.simulate(about=about, seed=2) for about in ("reservation", "mid"))
    assert minding.profits.mean() == pytest.approx(64, abs=2.5)
    assert minding.profits.std() == pytest.approx(6.2, abs=0.8)
    assert ignoring.profits.std() == pytest.approx(13.4, abs=1.2)
    assert minding.inventories.std() < ignoring.inventories.std() / 2
