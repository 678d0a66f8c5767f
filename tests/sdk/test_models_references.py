"""Every model against values of the literature: one function of this file for each formula, one test for each case."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from qfp import models, montecarlo

REFERENCES = json.loads((Path(__file__).parent.parent / "data" / "model_references.json").read_text())
MARKET = {"S": "spot", "K": "strike", "r": "rate", "sigma": "volatility", "T": "years", "q": "dividend"}


def market(given, **names):
    """The inputs of a case under the names of qfp.models; what the formula needs besides by keyword."""
    known = {**MARKET, "type": "kind", **names}
    return {known.get(name, name): value for name, value in given.items()}


def black76(type, F, **rest):
    return models.options.black76(forward=F, **market({"type": type, **rest}))


def parity_gap(**given):
    arguments = market(given)
    call, put = (models.options.price(kind, **arguments) for kind in ("call", "put"))
    arguments.pop("volatility")
    return models.options.parity_gap(call, put, **arguments)


def crr(exercise_every=1, **given):
    return models.trees.crr(exercise_every=exercise_every, **market(given))


def binomial_ud(u, d, dt, **given):
    return models.trees.binomial(up=u, down=d, step=dt, **market(given))


def asian_arith_disc(n_fix, **given):
    exact = models.asian.arithmetic(steps=n_fix, **market(given))
    simulated = montecarlo.asian(steps=n_fix, paths=50_000, seed=1, workers=1, **market(given))
    assert abs(simulated.value - exact) < 3 * simulated.standard_error + 1e-5
    return exact


def asian_rogers_shi_lb(**given):
    return models.asian.arithmetic_lower_bound("call", **market(given))


def barrier(kind, type, H, **given):
    return models.barriers.barrier(kind, type, level=H, **market(given))


def barrier_discrete_doc(H, m, **given):
    return models.barriers.barrier_discrete("down-out", "call", level=H, observations=m, **market(given))


def digital(kind, type, **given):
    return models.digitals.digital(type, pays=kind, **market(given))


def one_touch(H, pay, **given):
    return models.digitals.one_touch(barrier=H, pays=pay, **market(given))


def heston(v0, kappa, theta, sigma, rho, **given):
    return models.heston.Heston(v0, kappa, theta, sigma, rho).price(**market(given))


def bond(y, **given):
    return vars(models.bonds.bond(yield_rate=y, **given))


def bond_cont(y, **given):
    figures = vars(models.bonds.continuous(yield_rate=y, **given))
    return {**figures, "duration": figures["modified"]}


def day_count(convention, start, end):
    return models.bonds.year_fraction(date.fromisoformat(start), date.fromisoformat(end), convention)


def bootstrap(bonds):
    return models.rates.bootstrap(bonds)


def fx_forward_simple(S, r_dom, r_for, days, base_dom, base_for):
    return models.rates.fx_forward_simple(S, r_dom, r_for, days, domestic_base=base_dom, foreign_base=base_for)


def black_litterman(cov, w_eq, delta, tau, P, Q):
    found = models.allocation.black_litterman(cov, w_eq, P, Q, risk_aversion=delta, tau=tau)
    return {
        "pi": found.equilibrium,
        "mu": found.means,
        "weights": found.weights,
        "weights_prior_cov": found.weights_prior,
        "weight_minus_scaled_eq": found.weights - np.array(w_eq) / (1 + tau),
        "omega_over_tau": np.diag(found.omega) / tau,
    }


def shares(found):
    return {
        "weights": found.weights,
        "vol": found.volatility,
        "risk_share": found.risk_shares,
        "ret": found.mean,
        "sharpe": found.sharpe,
    }


def var_cornish_fisher(mu, sigma, skew, exkurt, level):
    found = models.risk.cornish_fisher(mu, sigma, skew, exkurt, level=level)
    return {"z_cf": -(found.var + mu) / sigma, "var": found.var, "es": found.es}


def garch_forecast(omega, alpha, beta, sigma2_next, h):
    model = models.volatility.Garch(0.0, omega, alpha, beta)
    path = model.forecast(h, next_variance=sigma2_next)
    return {"long_run": model.long_run, "path": path, "half_life": model.half_life}


def garch_mle(returns):
    model = models.volatility.garch(returns)
    return {**vars(model), "loglik": model.log_likelihood}


def engle_granger(y, x, lags):
    found = models.cointegration.engle_granger(y, x, lags=lags)
    return {"stat": found.test.statistic, "hedge_ratio": found.hedge_ratio, "const": found.const}


FORMULAS = {
    "bsm_price": lambda **given: models.options.price(**market(given)),
    "black76": black76,
    "bsm": lambda **given: models.options.greeks(**market(given)),
    "parity_gap": parity_gap,
    "parity_other": lambda **given: models.options.parity_price(**market(given)),
    "implied_vol": lambda **given: models.options.implied_volatility(**market(given)),
    "crr": crr,
    "binomial_ud": binomial_ud,
    "asian_geo_disc": lambda **given: models.asian.geometric(**market(given, n_fix="steps")),
    "asian_geo_cont": lambda **given: models.asian.geometric_continuous(**market(given)),
    "asian_arith_disc": asian_arith_disc,
    "asian_rogers_shi_lb": asian_rogers_shi_lb,
    "barrier": barrier,
    "barrier_discrete_doc": barrier_discrete_doc,
    "lookback_floating": lambda **given: models.lookback.floating(**market(given)),
    "lookback_fixed": lambda **given: models.lookback.fixed(**market(given)),
    "digital": digital,
    "one_touch": one_touch,
    "heston": heston,
    "bond": bond,
    "bond_cont": bond_cont,
    "bond_yield": lambda **given: models.bonds.bond_yield(**given),
    "day_count": day_count,
    "bootstrap": bootstrap,
    "fx_forward": lambda S, r_dom, r_for, T: models.rates.fx_forward(S, r_dom, r_for, T),
    "fx_forward_simple": fx_forward_simple,
    "nelson_siegel_fit": lambda times, yields: vars(models.rates.nelson_siegel(times, yields)),
    "black_litterman": black_litterman,
    "min_variance": lambda cov: shares(models.allocation.min_variance(cov)),
    "min_variance_long_only": lambda cov: shares(models.allocation.min_variance(cov, long_only=True)),
    "tangency": lambda cov, mu, rf: shares(models.allocation.tangency(mu, cov, risk_free_rate=rf)),
    "risk_parity": lambda cov: shares(models.allocation.risk_parity(cov)),
    "kelly_binary": lambda p, b: models.kelly.binary(p, b),
    "kelly_gaussian": lambda mu, r, sigma: vars(models.kelly.gaussian(mu, r, sigma)),
    "kelly_multi": lambda cov, mu, r: models.kelly.multivariate(mu, cov, r),
    "var_normal": lambda mu, sigma, level: vars(models.risk.normal(mu, sigma, level=level)),
    "var_portfolio": lambda values, vols, corr, level, horizon: models.risk.portfolio(
        values, vols, corr, level=level, periods=horizon
    ),
    "var_cornish_fisher": var_cornish_fisher,
    "var_historical": lambda returns, level, method: vars(
        models.risk.historical(returns, level=level, method=method)
    ),
    "var_discrete": lambda losses, probs, level: vars(models.risk.discrete(losses, probs, level=level)),
    "garch_forecast": garch_forecast,
    "engle_granger": engle_granger,
}  # fmt: skip
# Cases without a formula are those of a source that prints its result only.
OF_AREA = {"lookback": FORMULAS["lookback_floating"], "garch": garch_mle}


def filled(value):
    """The inputs with the longer series put in."""
    if isinstance(value, dict):
        return REFERENCES["data"][value["$data"]] if "$data" in value else {k: filled(v) for k, v in value.items()}
    return [filled(item) for item in value] if isinstance(value, list) else value


def agree(got, expected, tolerance, path=""):
    if isinstance(expected, dict):
        for key, value in expected.items():
            agree(got[key], value, tolerance.get("keys", {}).get(key, tolerance), f"{path}.{key}")
    elif isinstance(expected, list):
        assert len(got) == len(expected), path
        for index, value in enumerate(expected):
            agree(got[index], value, tolerance, f"{path}[{index}]")
    else:
        allowed = tolerance.get("abs", 0.0) + tolerance.get("rel", 0.0) * abs(expected)
        assert abs(got - expected) <= allowed, f"{path}: {got} is not {expected} within {allowed}"


@pytest.mark.parametrize("case", REFERENCES["cases"], ids=lambda case: case["id"])
def test_value_of_the_literature_is_met(case):
    formula = FORMULAS[case["fn"]] if case["fn"] else OF_AREA[case["area"]]
    inputs, expected = filled(case["inputs"]), case["expected"]
    if isinstance(expected, dict) and "error" in expected:
        with pytest.raises(ValueError):
            formula(**inputs)
        return
    agree(formula(**inputs), expected, case["tolerance"])
