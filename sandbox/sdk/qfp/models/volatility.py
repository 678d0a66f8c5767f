"""How large will tomorrow's move be? Exponentially weighted and GARCH(1,1) variance.

GARCH: Bollerslev, Journal of Econometrics 31 (1986): `s2(t) = omega + alpha e(t-1)^2 + beta s2(t-1)`, e = r - mu,
normal errors. EWMA: J. P. Morgan, RiskMetrics Technical Document (1996). Variances are per period, in the square of
the returns' unit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg.lapack import dtbtrs
from scipy.optimize import minimize

__all__ = ["Garch", "garch", "ewma"]

_BACKCAST_DECAY, _BACKCAST_LENGTH = 0.94, 75


def ewma(returns: Any, *, decay: float = 0.94, start: float | None = None) -> np.ndarray:
    """`s2(t) = decay s2(t-1) + (1 - decay) r(t-1)^2`: the variance expected for each period from those before it,
    and, last, for the period to come (one value more than returns). The mean return is taken as 0.

    start: the variance of the first period; the square of the first return when left out.
    """
    r = _observed(returns, 1)
    if not 0 < decay < 1:
        raise ValueError("decay must lie between 0 and 1")
    first = float(r[0] ** 2) if start is None else start
    return np.concatenate([[first], _recursion((1 - decay) * r**2, decay, first)])


@dataclass(frozen=True)
class Garch:
    """A GARCH(1,1) model and, where it was fitted, what it says of the returns.

    mu: mean return. omega, alpha, beta: see above. log_likelihood: of all returns. variances: for each period, from
    those before it. next_variance: for the period to come.
    """

    mu: float
    omega: float
    alpha: float
    beta: float
    log_likelihood: float = math.nan
    variances: Any = None
    next_variance: float = math.nan

    @property
    def persistence(self) -> float:
        return self.alpha + self.beta

    @property
    def long_run(self) -> float:
        """The variance that forecasts return to, `omega / (1 - alpha - beta)`; NaN where they do not."""
        return self.omega / (1 - self.persistence) if self.persistence < 1 else math.nan

    @property
    def half_life(self) -> float:
        """Periods until half of a shock to variance is forgotten, `ln 0.5 / ln(alpha + beta)`."""
        return math.log(0.5) / math.log(self.persistence) if 0 < self.persistence < 1 else math.nan

    def forecast(self, periods: int, *, next_variance: float | None = None) -> np.ndarray:
        """The expected variances of the periods to come, the first being next_variance."""
        if periods < 1:
            raise ValueError("periods must be 1 or more")
        first = self.next_variance if next_variance is None else next_variance
        powers = self.persistence ** np.arange(periods)
        if self.persistence < 1:
            return self.long_run + powers * (first - self.long_run)
        return powers * first + self.omega * np.concatenate([[0.0], np.cumsum(powers[:-1])])


def garch(returns: Any) -> Garch:
    """The GARCH(1,1) model with constant mean that makes the returns most likely, 100 of them or more.

    The start variance is a weighted mean of the first 75 squared deviations with weights 0.94^i, as in the arch
    package; over some thousand returns another start moves the parameters by less than their standard errors. The
    returns are scaled inside, so fractions and percent give the same model in their own units.
    """
    r = _observed(returns, 100)
    scale = float(r.std())
    if scale <= 1e-12 * max(1.0, float(np.abs(r).max())):
        raise ValueError("returns without variation have no volatility to model")
    z = r / scale

    def model(parameters: np.ndarray) -> tuple[float, float, float, float]:
        mu, log_omega, persistence, share = parameters
        total = 0.99999 / (1 + math.exp(-persistence))
        alpha = total / (1 + math.exp(-share))
        return float(mu), math.exp(log_omega), alpha, total - alpha

    def loss(parameters: np.ndarray) -> float:
        with np.errstate(all="ignore"):
            value = -_log_likelihood(z, *model(parameters))[0] / len(z)
        return value if math.isfinite(value) else 1e6

    fits = []
    for alpha, total in ((0.05, 0.98), (0.1, 0.9), (0.2, 0.6)):
        start = [z.mean(), math.log(1 - total), math.log(total / (1 - total)), math.log(alpha / (total - alpha))]
        fits.append(minimize(loss, start, method="BFGS", options={"gtol": 1e-7}))
    mu, omega, alpha, beta = model(min(fits, key=lambda fit: fit.fun).x)
    likelihood, variances, following = _log_likelihood(z, mu, omega, alpha, beta)
    return Garch(
        mu * scale,
        omega * scale**2,
        alpha,
        beta,
        likelihood - len(r) * math.log(scale),
        variances * scale**2,
        following * scale**2,
    )


def _log_likelihood(
    r: np.ndarray, mu: float, omega: float, alpha: float, beta: float
) -> tuple[float, np.ndarray, float]:
    squares = (r - mu) ** 2
    early = squares[:_BACKCAST_LENGTH]
    weights = _BACKCAST_DECAY ** np.arange(len(early))
    before = float(weights @ early / weights.sum())
    shocks = omega + alpha * np.concatenate([[before], squares])
    variances = _recursion(shocks, beta, before)
    known = variances[:-1]
    likelihood = -0.5 * float((math.log(2 * math.pi) + np.log(known) + squares / known).sum())
    return likelihood, known, float(variances[-1])


def _recursion(inputs: np.ndarray, decay: float, start: float) -> np.ndarray:
    """`x(t) = inputs(t) + decay x(t-1)` from x before the first = start: a triangular system with two diagonals."""
    right = inputs.copy()
    right[0] += decay * start
    bands = np.ones((2, len(inputs)))
    bands[1] = -decay
    solution, _ = dtbtrs(bands, right, uplo="L", diag="U")
    return solution


def _observed(returns: Any, least: int) -> np.ndarray:
    r = np.asarray(returns, dtype=float)
    if r.ndim != 1 or not np.isfinite(r).all():
        raise ValueError("returns must be one list without missing or infinite values; drop them first")
    if len(r) < least:
        raise ValueError(f"at least {least} returns are needed, not {len(r)}")
    return r
