"""Which curve do bond prices and yields imply, and at which rate is a currency exchanged later?

Zero rates are continuous. Bootstrapping: Hull, Options, Futures, and Other Derivatives, chapter 4. Curves: Nelson and
Siegel, "Parsimonious modeling of yield curves", Journal of Business 60 (1987); Svensson, NBER working paper 4871
(1994).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import brentq, minimize, minimize_scalar

__all__ = ["Curve", "nelson_siegel", "svensson", "bootstrap", "forward_rates", "fx_forward", "fx_forward_simple"]

SHORTEST_DECAY, LONGEST_DECAY = 0.05, 30.0  # years; beyond them the shape cannot be told from a level and a line


@dataclass(frozen=True)
class Curve:
    """`y(t) = b0 + b1 f(t/tau) + b2 (f(t/tau) - exp(-t/tau)) + b3 (f(t/tau2) - exp(-t/tau2))`, f(x) = (1 - exp(-x))/x.

    beta0 is the long end, beta0 + beta1 the short one; beta3 is 0 for a curve of Nelson and Siegel. rmse: root of the
    mean squared error over the yields it was fitted to, in their unit. Call it with years for yields.
    """

    beta0: float
    beta1: float
    beta2: float
    tau: float
    rmse: float
    beta3: float = 0.0
    tau2: float | None = None

    def __call__(self, years: Any) -> Any:
        t = np.asarray(years, dtype=float)
        betas = [self.beta0, self.beta1, self.beta2] + ([self.beta3] if self.tau2 else [])
        value = (_loadings(np.atleast_1d(t), self.tau, self.tau2) @ betas).reshape(t.shape)
        return float(value) if t.ndim == 0 else value


def nelson_siegel(years: Any, yields: Any) -> Curve:
    """The least squares curve through yields at maturities in years; missing values are left out.

    For each tau the betas are a linear regression; tau is searched from 0.05 to 30 years, the best of a grid refined.
    The betas of noisy yields are poorly identified: compare rmse first.
    """
    t, y = _observed(years, yields, least=4)
    decays = np.geomspace(SHORTEST_DECAY, LONGEST_DECAY, 200)
    errors = [_regress(t, y, tau)[1] for tau in decays]
    best = int(np.argmin(errors))
    bounds = np.log(decays[max(best - 1, 0)]), np.log(decays[min(best + 1, len(decays) - 1)])
    found = minimize_scalar(
        lambda log_tau: _regress(t, y, math.exp(log_tau))[1], bounds=bounds, method="bounded", options={"xatol": 1e-10}
    )
    tau = math.exp(found.x) if found.fun <= errors[best] else float(decays[best])
    betas, error = _regress(t, y, tau)
    b0, b1, b2 = map(float, betas)
    return Curve(b0, b1, b2, tau, math.sqrt(error / len(t)))


def svensson(years: Any, yields: Any) -> Curve:
    """The least squares curve with a second hump (Svensson 1994), which needs six yields or more."""
    t, y = _observed(years, yields, least=6)
    decays = np.geomspace(SHORTEST_DECAY, LONGEST_DECAY, 30)
    pairs = [(a, b) for index, a in enumerate(decays) for b in decays[index + 1 :]]
    start = min(pairs, key=lambda pair: _regress(t, y, *pair)[1])
    limits = [(math.log(SHORTEST_DECAY), math.log(LONGEST_DECAY))] * 2
    found = minimize(
        lambda logs: _regress(t, y, math.exp(logs[0]), math.exp(logs[1]))[1] * 1e6,
        np.log(start),
        method="Nelder-Mead",
        bounds=limits,
        options={"xatol": 1e-9, "fatol": 1e-16, "maxiter": 2000},
    )
    tau, tau2 = (math.exp(value) for value in found.x)
    (b0, b1, b2, b3), error = _regress(t, y, tau, tau2)
    return Curve(float(b0), float(b1), float(b2), tau, math.sqrt(error / len(t)), float(b3), tau2)


def _observed(years: Any, yields: Any, least: int) -> tuple[np.ndarray, np.ndarray]:
    t, y = np.asarray(years, dtype=float), np.asarray(yields, dtype=float)
    if t.shape != y.shape or t.ndim != 1:
        raise ValueError("years and yields must be two lists of one length")
    known = np.isfinite(t) & np.isfinite(y)
    t, y = t[known], y[known]
    if len(t) < least or np.any(t <= 0):
        raise ValueError(f"the curve needs at least {least} yields at maturities above 0")
    return t, y


def _loadings(t: np.ndarray, tau: float, tau2: float | None = None) -> np.ndarray:
    def slope(decay: float) -> np.ndarray:
        x = np.maximum(t / decay, 1e-12)
        return -np.expm1(-x) / x

    columns = [np.ones_like(t), slope(tau), slope(tau) - np.exp(-t / tau)]
    if tau2:
        columns.append(slope(tau2) - np.exp(-t / tau2))
    return np.column_stack(columns)


def _regress(t: np.ndarray, y: np.ndarray, tau: float, tau2: float | None = None) -> tuple[np.ndarray, float]:
    design = _loadings(t, tau, tau2)
    betas = np.linalg.lstsq(design, y, rcond=None)[0]
    return betas, float(((y - design @ betas) ** 2).sum())


def bootstrap(bonds: Sequence[tuple[float, float, float, float]], *, freq: int = 2) -> list[float]:
    """Continuous zero rates at the maturities of bonds, given shortest first.

    bonds: (face, years, coupon, price), coupon the cash paid a year in freq parts, price dirty. Payments between
    known maturities are discounted at linearly interpolated zero rates, before the first at its rate.
    """
    times: list[float] = []
    zeros: list[float] = []
    for face, years, coupon, price in bonds:
        if times and years <= times[-1]:
            raise ValueError("bonds must be given from the shortest to the longest, one for each maturity")
        if not (face > 0 and years > 0 and price > 0) or coupon < 0:
            raise ValueError("face, years and price must be above 0, the coupon not below")
        count = math.ceil(years * freq - 1e-9) if coupon else 1
        when = years - np.arange(count - 1, -1, -1) / freq
        cash = np.full(count, coupon / freq)
        cash[-1] += face
        known, curve = [*times, years], list(zeros)
        value = partial(_present_value, when, cash, known, curve)
        zeros.append(brentq(lambda rate, value=value, price=price: value(rate) - price, -2.0, 5.0, xtol=1e-15))
        times.append(years)
    return zeros


def _present_value(when: np.ndarray, cash: np.ndarray, known: list[float], curve: list[float], rate: float) -> float:
    return float(cash @ np.exp(-np.interp(when, known, [*curve, rate]) * when))


def forward_rates(years: Any, zeros: Any) -> np.ndarray:
    """Continuous forward rates between neighbouring maturities, `(z2 t2 - z1 t1) / (t2 - t1)`; one fewer."""
    t, z = np.asarray(years, dtype=float), np.asarray(zeros, dtype=float)
    return np.diff(z * t) / np.diff(t)


def fx_forward(spot: float, domestic_rate: float, foreign_rate: float, years: float) -> float:
    """The forward price of one unit of foreign currency in domestic money, `S exp((r - r_f) T)`, continuous rates."""
    return spot * math.exp((domestic_rate - foreign_rate) * years)


def fx_forward_simple(
    spot: float,
    domestic_rate: float,
    foreign_rate: float,
    days: int,
    *,
    domestic_base: int = 360,
    foreign_base: int = 360,
) -> float:
    """The same with simple money market rates on their own day bases: `S (1 + r d/base) / (1 + r_f d/base_f)`."""
    return spot * (1 + domestic_rate * days / domestic_base) / (1 + foreign_rate * days / foreign_base)
