"""How is an option priced by simulation with fewer paths, watched barriers or early exercise?

Beside `qfp.montecarlo` (fast European and Asian options on many cores), in double precision and one process:
variance reduction side by side, barriers by the Brownian bridge, American options by regression. The model is
geometric Brownian motion; results are `qfp.montecarlo.Estimate`. Units as in `qfp.models`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import ndtri

from qfp.models.barriers import KINDS
from qfp.models.options import sign_of
from qfp.montecarlo import Estimate

__all__ = ["european", "barrier", "longstaff_schwartz", "METHODS"]

METHODS = ("plain", "antithetic", "control", "stratified")
STRATA = 100
_CHUNK = 20_000


def european(
    kind: str,
    spot: float,
    strike: float,
    rate: float,
    volatility: float,
    years: float,
    *,
    dividend: float = 0.0,
    method: str = "antithetic",
    paths: int = 100_000,
    seed: int = 0,
) -> Estimate:
    """A European option, by one of four methods (Glasserman, Monte Carlo Methods in Financial Engineering, chapter 4).

    method: "plain"; "antithetic", each path with its mirror image; "control", the share price at expiry, whose
    expectation is known, as a control variate; "stratified", the normal numbers spread evenly over 100 strata.
    paths is rounded up to a whole number of pairs or strata. plain_standard_error is what as many plain paths give.
    """
    sign = sign_of(kind)
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    _check(spot, strike, volatility, years, paths)
    generator = np.random.default_rng(seed)
    unit = {"antithetic": 2, "stratified": STRATA}.get(method, 1)
    count = math.ceil(paths / unit) * unit
    if method == "stratified":
        uniform = (np.arange(STRATA)[:, None] + generator.random((STRATA, count // STRATA))) / STRATA
        z = ndtri(np.clip(uniform, 1e-300, 1 - 1e-16))
    else:
        z = generator.standard_normal(count // 2 if method == "antithetic" else count)
        if method == "antithetic":
            z = np.vstack([z, -z])
    discount = math.exp(-rate * years)
    end = spot * np.exp((rate - dividend - volatility**2 / 2) * years + volatility * math.sqrt(years) * z)
    payoff = discount * np.maximum(sign * (end - strike), 0.0)
    plain = float(payoff.std(ddof=1)) / math.sqrt(count)
    if method == "plain":
        return Estimate(float(payoff.mean()), plain, count, seed, plain)
    if method == "antithetic":
        pairs = payoff.mean(axis=0)
        return Estimate(float(pairs.mean()), _error(pairs), count, seed, plain)
    if method == "stratified":
        if payoff.shape[1] < 2:
            raise ValueError(f"stratified needs at least {2 * STRATA} paths")
        within = payoff.var(axis=1, ddof=1) / payoff.shape[1]
        return Estimate(float(payoff.mean()), math.sqrt(float(within.sum())) / STRATA, count, seed, plain)
    known = end * discount - spot * math.exp(-dividend * years)
    spread = float(known.var())
    slope = float(np.cov(payoff, known, ddof=0)[0, 1]) / spread if spread > 0 else 0.0
    controlled = payoff - slope * known
    return Estimate(float(controlled.mean()), _error(controlled), count, seed, plain)


def barrier(
    barrier_kind: str,
    kind: str,
    spot: float,
    strike: float,
    level: float,
    rate: float,
    volatility: float,
    years: float,
    *,
    dividend: float = 0.0,
    steps: int = 50,
    bridge: bool = True,
    paths: int = 50_000,
    seed: int = 0,
) -> Estimate:
    """A European option with a barrier and no rebate, along `steps` steps, antithetic.

    bridge: weigh each path by the chance that it did not touch the barrier between its steps, `1 - exp(-2 ln(H/S_i)
    ln(H/S_{i+1}) / (v^2 dt))`: the barrier is then watched all the time, without bias however few the steps. False:
    it is watched at the steps only (`qfp.models.barriers.barrier_discrete`).
    """
    sign = sign_of(kind)
    if barrier_kind not in KINDS:
        raise ValueError(f"barrier_kind must be one of {', '.join(KINDS)}, not {barrier_kind!r}")
    _check(spot, strike, volatility, years, paths)
    eta = 1 if barrier_kind.startswith("down") else -1
    if level <= 0 or eta * (spot - level) <= 0:
        raise ValueError("the barrier must be above 0 and not reached yet")
    step = years / steps
    drift, width = (rate - dividend - volatility**2 / 2) * step, volatility * math.sqrt(step)
    generator = np.random.default_rng(seed)
    edge = math.log(level / spot)
    values, plain = [], []
    for size in _chunks(math.ceil(paths / 2)):
        z = generator.standard_normal((steps, size))
        both = []
        for mirrored in (z, -z):
            log_price, survival = np.zeros(size), np.ones(size)
            for move in mirrored:
                following = log_price + drift + width * move
                before, after = eta * (log_price - edge), eta * (following - edge)
                if bridge:
                    survival *= -np.expm1(-2 * np.maximum(before, 0) * np.maximum(after, 0) / width**2)
                else:
                    survival *= after > 0
                log_price = following
            payoff = np.maximum(sign * (spot * np.exp(log_price) - strike), 0.0) * math.exp(-rate * years)
            both.append(payoff * (survival if barrier_kind.endswith("out") else 1 - survival))
        values.append((both[0] + both[1]) / 2)
        plain.append(np.concatenate(both))
    pairs, singles = np.concatenate(values), np.concatenate(plain)
    return Estimate(float(pairs.mean()), _error(pairs), len(singles), seed, _error(singles))


def longstaff_schwartz(
    kind: str,
    spot: float,
    strike: float,
    rate: float,
    volatility: float,
    years: float,
    *,
    dividend: float = 0.0,
    exercises: int = 50,
    degree: int = 3,
    paths: int = 50_000,
    seed: int = 0,
) -> Estimate:
    """An option that may be exercised at i T/n, i = 0 ... n (a Bermudan option), by least squares on simulated paths.

    exercises: n. Going back in time, the value of waiting is regressed on 1, x ... x^degree, x = S/K, over the paths
    in the money, and the option exercised where its payoff is larger. Half of the paths find the rule, the other half
    price it, so the estimate is never too high on average: it is the worth of that rule. Paths are antithetic.
    Source: Longstaff and Schwartz, Review of Financial Studies 14 (2001), with its second set of paths.
    """
    sign = sign_of(kind)
    _check(spot, strike, volatility, years, paths)
    if exercises < 1 or not 1 <= degree <= 8:
        raise ValueError("exercises must be 1 or more and degree from 1 to 8")
    generator = np.random.default_rng(seed)
    step = years / exercises
    discount = math.exp(-rate * step)
    size = math.ceil(paths / 4)
    drift, width = (rate - dividend - volatility**2 / 2) * step, volatility * math.sqrt(step)

    def walked() -> np.ndarray:
        logs = np.cumsum(width * generator.standard_normal((exercises, size)), axis=0)
        trend = drift * np.arange(1, exercises + 1)[:, None]
        return spot / strike * np.exp(np.hstack([trend + logs, trend - logs]))

    rules: list[Any] = [None] * exercises
    learnt = walked()
    cash = np.maximum(sign * (learnt[-1] - 1), 0.0)
    for index in range(exercises - 2, -1, -1):
        cash *= discount
        x = learnt[index]
        payoff = sign * (x - 1)
        inside = payoff > 0
        if int(inside.sum()) <= degree + 1:
            continue
        rules[index] = np.polynomial.Polynomial.fit(x[inside], cash[inside], degree)
        exercised = inside.copy()
        exercised[inside] = payoff[inside] > rules[index](x[inside])
        cash[exercised] = payoff[exercised]
    priced = walked()
    cash = np.maximum(sign * (priced[-1] - 1), 0.0)
    for index in range(exercises - 2, -1, -1):
        cash *= discount
        if rules[index] is None:
            continue
        payoff = sign * (priced[index] - 1)
        exercised = (payoff > 0) & (payoff > rules[index](priced[index]))
        cash[exercised] = payoff[exercised]
    cash *= discount * strike
    pairs = (cash[:size] + cash[size:]) / 2
    value = max(float(pairs.mean()), sign * (spot - strike))
    return Estimate(value, _error(pairs), len(cash), seed, _error(cash))


def _error(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) / math.sqrt(len(values))


def _chunks(count: int) -> list[int]:
    return [min(_CHUNK, count - done) for done in range(0, count, _CHUNK)]


def _check(spot: float, strike: float, volatility: float, years: float, paths: int) -> None:
    if not (spot > 0 and strike > 0 and volatility > 0 and years > 0):
        raise ValueError("spot, strike, volatility and years must be above 0")
    if not 100 <= paths <= 10_000_000:
        raise ValueError("paths must be from 100 to 10,000,000")
