"""Which weights? Minimum variance, tangency, the efficient frontier, risk parity, Black-Litterman and clusters.

means and covariance are of one period's returns, both annual or both daily; weights add up to 1 and are arrays in the
order of the assets. Source of the first three: Markowitz, "Portfolio selection", Journal of Finance 7 (1952).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import pdist

__all__ = [
    "Portfolio",
    "BlackLitterman",
    "portfolio",
    "min_variance",
    "tangency",
    "frontier",
    "risk_parity",
    "black_litterman",
    "hierarchical",
]


@dataclass(frozen=True)
class Portfolio:
    """weights; volatility of the return; mean and sharpe where means were given; risk_shares: each asset's part of
    the variance, `w_i (S w)_i / w'S w`, which add up to 1.
    """

    weights: np.ndarray
    volatility: float
    risk_shares: np.ndarray
    mean: float = math.nan
    sharpe: float = math.nan


def portfolio(weights: Any, covariance: Any, means: Any = None, *, risk_free_rate: float = 0.0) -> Portfolio:
    """What given weights amount to."""
    cov = _covariance(covariance)
    w = np.asarray(weights, dtype=float)
    part = w * (cov @ w)
    variance = float(part.sum())
    volatility = math.sqrt(max(0.0, variance))
    shares = part / variance if variance > 0 else np.full(len(w), math.nan)
    if means is None:
        return Portfolio(w, volatility, shares)
    mean = float(w @ np.asarray(means, dtype=float))
    return Portfolio(w, volatility, shares, mean, (mean - risk_free_rate) / volatility if volatility else math.nan)


def min_variance(covariance: Any, *, long_only: bool = False) -> Portfolio:
    """The least volatile portfolio: `S^-1 1 / (1' S^-1 1)`, or without negative weights by quadratic programming."""
    cov = _covariance(covariance)
    ones = np.ones(len(cov))
    if long_only:
        return portfolio(_nonnegative(cov, ones[None, :], ones / len(cov)), cov)
    raw = _solve(cov, ones)
    return portfolio(raw / raw.sum(), cov)


def tangency(means: Any, covariance: Any, *, risk_free_rate: float = 0.0, long_only: bool = False) -> Portfolio:
    """The portfolio with the highest Sharpe ratio: `S^-1 (m - r)`, scaled to 1.

    Raises ValueError where there is none: no mean above the risk-free rate (long only), or a minimum variance
    portfolio that earns less than it.
    """
    cov = _covariance(covariance)
    excess = np.asarray(means, dtype=float) - risk_free_rate
    if long_only:
        best = int(np.argmax(excess))
        if excess[best] <= 0:
            raise ValueError("no asset is expected to earn more than the risk-free rate")
        start = np.zeros(len(cov))
        start[best] = 1 / excess[best]
        raw = _nonnegative(cov, excess[None, :], start)
    else:
        raw = _solve(cov, excess)
        if raw.sum() <= 1e-12 * np.abs(raw).sum():
            raise ValueError("the minimum variance portfolio earns no more than the risk-free rate: nothing touches")
    return portfolio(raw / raw.sum(), cov, means, risk_free_rate=risk_free_rate)


def frontier(
    means: Any, covariance: Any, *, points: int = 50, long_only: bool = True, risk_free_rate: float = 0.0
) -> list[Portfolio]:
    """Portfolios with the least variance for their mean, from the minimum variance portfolio to the highest mean."""
    cov = _covariance(covariance)
    m = np.asarray(means, dtype=float)
    least = min_variance(cov, long_only=long_only).weights
    low, high, best = float(least @ m), float(m.max()), int(np.argmax(m))
    found = []
    for target in np.linspace(low, max(low, high), points):
        if long_only:
            share = (target - low) / (high - low) if high > low else 0.0
            start = (1 - share) * least
            start[best] += share
            weights = _nonnegative(cov, np.vstack([np.ones(len(m)), m]), start)
        else:
            weights = _on_line(cov, m, float(target))
        found.append(portfolio(weights, cov, m, risk_free_rate=risk_free_rate))
    return found


def _on_line(cov: np.ndarray, means: np.ndarray, target: float) -> np.ndarray:
    """Least variance with a given mean, negative weights allowed: a mix of two portfolios."""
    sides = np.vstack([np.ones(len(means)), means])
    inverse = _solve(cov, sides.T)
    return inverse @ np.linalg.lstsq(sides @ inverse, np.array([1.0, target]), rcond=None)[0]


def risk_parity(covariance: Any, *, budgets: Any = None) -> Portfolio:
    """Positive weights that bear equal parts of the risk, or parts in proportion to budgets.

    The unique minimum of `x'S x / 2 - sum b_i ln x_i` (Maillard, Roncalli and Teiletche, J. of Portfolio Management
    36, 2010; Spinu 2013), by damped Newton steps.
    """
    cov = _covariance(covariance)
    count = len(cov)
    shares = np.full(count, 1 / count) if budgets is None else np.asarray(budgets, dtype=float)
    if len(shares) != count or np.any(shares <= 0):
        raise ValueError("budgets must be one number above 0 for each asset")
    shares = shares / shares.sum()
    deviation = np.sqrt(np.diag(cov))
    if np.any(deviation <= 0):
        raise ValueError("an asset without volatility cannot bear a part of the risk")
    corr = cov / np.outer(deviation, deviation)
    x = np.full(count, 1 / math.sqrt(corr.sum())) if corr.sum() > 0 else np.ones(count)
    for _ in range(200):
        gradient = corr @ x - shares / x
        step = np.linalg.solve(corr + np.diag(shares / x**2), gradient)
        decrement = math.sqrt(max(0.0, float(gradient @ step)))
        length = 1.0 if decrement < 0.25 * math.sqrt(shares.min()) else 1 / (1 + decrement / math.sqrt(shares.min()))
        x = x - length * step
        if decrement < 1e-14:
            break
    weights = x / deviation
    return portfolio(weights / weights.sum(), cov)


@dataclass(frozen=True)
class BlackLitterman:
    """equilibrium: excess returns that make the market weights optimal, `delta S w`. means: expected excess returns
    with the views. uncertainty: M, the covariance of that estimate. omega: of the views. weights: optimal with the
    covariance S + M (He and Litterman). weights_prior: with S alone (Idzorek and some packages).
    """

    equilibrium: np.ndarray
    means: np.ndarray
    uncertainty: np.ndarray
    omega: np.ndarray
    weights: np.ndarray
    weights_prior: np.ndarray


def black_litterman(
    covariance: Any,
    market_weights: Any,
    views: Any,
    expected: Any,
    *,
    risk_aversion: float = 2.5,
    tau: float = 0.05,
    omega: Any = None,
) -> BlackLitterman:
    """Expected returns between the market's equilibrium and one's own views, and the weights they call for.

    views: P, one row for each view, its weights on the assets (a relative view adds up to 0). expected: Q, what each
    view says its row will earn above the risk-free rate. omega: the covariance of the views' errors,
    `diag(P tau S P')` when left out. Source: He and Litterman, "The intuition behind Black-Litterman model
    portfolios" (1999).
    """
    cov = _covariance(covariance)
    market = np.asarray(market_weights, dtype=float)
    p, q = np.atleast_2d(np.asarray(views, dtype=float)), np.atleast_1d(np.asarray(expected, dtype=float))
    if p.shape != (len(q), len(cov)) or len(market) != len(cov):
        raise ValueError("views must have a row for each expected return and a column for each asset")
    if tau <= 0 or risk_aversion <= 0:
        raise ValueError("tau and risk_aversion must be above 0")
    equilibrium = risk_aversion * cov @ market
    prior = tau * cov
    doubt = np.diag(np.diag(p @ prior @ p.T)) if omega is None else np.asarray(omega, dtype=float)
    gain = np.linalg.solve(p @ prior @ p.T + doubt, p @ prior).T
    means = equilibrium + gain @ (q - p @ equilibrium)
    uncertainty = prior - gain @ p @ prior
    weights = np.linalg.solve(risk_aversion * (cov + uncertainty), means)
    return BlackLitterman(equilibrium, means, uncertainty, doubt, weights, _solve(risk_aversion * cov, means))


def hierarchical(covariance: Any) -> Portfolio:
    """Hierarchical risk parity: assets are ordered by clusters of correlation and the weight is divided down the
    tree by inverse variance; nothing is inverted, so it works for more assets than observations.

    Distance `sqrt((1 - rho)/2)`, clusters by single linkage of the distances' distances. Source: Lopez de Prado,
    "Building diversified portfolios that outperform out of sample", J. of Portfolio Management 42 (2016).
    """
    cov = _covariance(covariance)
    variances = np.diag(cov)
    if np.any(variances <= 0):
        raise ValueError("every asset must have a variance above 0")
    weights = np.ones(len(cov))
    if len(cov) == 1:
        return portfolio(weights, cov)
    correlation = np.clip(cov / np.sqrt(np.outer(variances, variances)), -1, 1)
    distance = np.sqrt((1 - correlation) / 2)
    order = leaves_list(linkage(pdist(distance), method="single"))
    groups = [order]
    while groups:
        group = groups.pop()
        if len(group) < 2:
            continue
        left, right = group[: len(group) // 2], group[len(group) // 2 :]
        risk = [_cluster_variance(cov, part) for part in (left, right)]
        weights[left] *= risk[1] / sum(risk)
        weights[right] *= risk[0] / sum(risk)
        groups += [left, right]
    return portfolio(weights, cov)


def _cluster_variance(cov: np.ndarray, members: np.ndarray) -> float:
    part = cov[np.ix_(members, members)]
    inverse = 1 / np.diag(part)
    weights = inverse / inverse.sum()
    return float(weights @ part @ weights)


def _covariance(covariance: Any) -> np.ndarray:
    cov = np.asarray(covariance, dtype=float)
    if cov.ndim != 2 or cov.shape[0] != cov.shape[1] or not np.isfinite(cov).all():
        raise ValueError("covariance must be a square table of finite numbers")
    if np.abs(cov - cov.T).max(initial=0.0) > 1e-8 * np.abs(cov).max(initial=0.0):
        raise ValueError("covariance must be symmetric")
    return cov


def _solve(cov: np.ndarray, right: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.solve(cov, right)
    except np.linalg.LinAlgError:
        raise ValueError(
            "the covariance is singular: use fewer assets, more observations, or long_only weights"
        ) from None


def _nonnegative(cov: np.ndarray, sides: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The x >= 0 with the least `x'S x` among those with the same `sides x` as start, by a primal active set method
    (Nocedal and Wright, Numerical Optimization, 2006, section 16.5).
    """
    x = start.copy()
    free = x > 0
    scale = np.abs(cov).max()
    for _ in range(20 * len(x) + 100):
        inside = np.flatnonzero(free)
        gradient = cov @ x
        count, rows = len(inside), len(sides)
        system = np.zeros((count + rows, count + rows))
        system[:count, :count] = cov[np.ix_(inside, inside)]
        system[:count, count:] = sides[:, inside].T
        system[count:, :count] = sides[:, inside]
        right = np.concatenate([-gradient[inside], np.zeros(rows)])
        try:
            answer = np.linalg.solve(system, right)
        except np.linalg.LinAlgError:  # fewer assets are free than conditions hold, or some of them move alike
            answer = np.linalg.lstsq(system, right, rcond=None)[0]
        step, multipliers = answer[:count], answer[count:]
        if np.abs(step).max(initial=0.0) <= 1e-12 * max(1.0, np.abs(x).max()):
            slack = gradient + sides.T @ multipliers
            slack[inside] = 0.0
            worst = int(np.argmin(slack))
            if slack[worst] >= -1e-11 * scale:
                return x
            free[worst] = True
            continue
        falling = step < 0
        limits = np.full(count, np.inf)
        limits[falling] = -x[inside][falling] / step[falling]
        blocking = int(np.argmin(limits))
        length = min(1.0, float(limits[blocking]))
        x[inside] = np.maximum(0.0, x[inside] + length * step)
        if length < 1.0:
            x[inside[blocking]] = 0.0
            free[inside[blocking]] = False
    raise ValueError("no portfolio was found: the covariance is too nearly singular")
