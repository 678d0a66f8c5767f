"""What is an option worth when volatility itself moves at random?

Heston, "A closed-form solution for options with stochastic volatility", Review of Financial Studies 6 (1993):
`dS = (r - q) S dt + sqrt(v) S dW1`, `dv = kappa (theta - v) dt + sigma sqrt(v) dW2`, correlation rho. v is a
variance: v0 = 0.04 is a volatility of 20 % a year. Units as in `qfp.models`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from qfp.models.options import price as black_scholes
from qfp.models.options import sign_of

__all__ = ["Heston"]

_PANEL, _PANEL_WEIGHTS = np.polynomial.legendre.leggauss(32)
_NEGLIGIBLE = 1e-15
_FURTHEST = 1e6


@dataclass(frozen=True)
class Heston:
    """One set of parameters of the model.

    v0: variance now. kappa: speed of return a year. theta: long-run variance. sigma: volatility of variance. rho:
    correlation of price and variance, -1 to 1. `feller` says whether variance stays above 0 (2 kappa theta >= sigma^2);
    the prices are right either way.
    """

    v0: float
    kappa: float
    theta: float
    sigma: float
    rho: float

    def __post_init__(self) -> None:
        if min(self.v0, self.theta, self.kappa) < 0 or self.sigma <= 0 or not -1 <= self.rho <= 1:
            raise ValueError("Heston needs v0, kappa, theta >= 0, sigma > 0 and rho from -1 to 1")

    @property
    def feller(self) -> bool:
        return 2 * self.kappa * self.theta >= self.sigma**2

    def characteristic(self, u: Any, years: float) -> Any:
        """`E[exp(i u X)]`, X the log price at T over its forward, for complex u.

        The form that keeps to one branch of the logarithm for all maturities (Albrecher, Mayer, Schoutens and
        Tistaert, "The little Heston trap", Wilmott Magazine, 2007).
        """
        u = np.asarray(u, dtype=complex)
        beta = self.kappa - 1j * self.rho * self.sigma * u
        d = np.sqrt(beta**2 + self.sigma**2 * (u**2 + 1j * u))
        # beta - d is a difference of near numbers where sigma is small; their product is not.
        less = -(self.sigma**2) * (u**2 + 1j * u) / (beta + d)
        g = less / (beta + d)
        decay = np.exp(-d * years)
        level = less * years - 2 * np.log1p(g * (1 - decay) / (1 - g))
        spread = less / self.sigma**2 * (1 - decay) / (1 - g * decay)
        return np.exp(self.kappa * self.theta / self.sigma**2 * level + self.v0 * spread)

    def price(self, kind: str, spot: float, strike: Any, rate: float, years: float, *, dividend: float = 0.0) -> Any:
        """The price of a European call or put; strike may be an array.

        `C = S exp(-q T) - sqrt(F K) exp(-r T) / pi * int_0^inf Re[exp(i u k) phi(u - i/2)] / (u^2 + 1/4) du`,
        k = ln(F/K) (Lewis, Option Valuation under Stochastic Volatility, 2000), by Gauss-Legendre panels up to where
        the integrand vanishes. Exact to about 1e-10 of the spot.
        """
        sign = sign_of(kind)
        strikes = np.atleast_1d(np.asarray(strike, dtype=float))
        if not (spot > 0 and np.all(strikes > 0)):
            raise ValueError("spot and strike must be above 0")
        if years <= 0:
            value = black_scholes(kind, spot, strikes, rate, 0.0, max(years, 0.0), dividend=dividend)
            return float(value[0]) if np.ndim(strike) == 0 else value
        forward, discount = spot * math.exp((rate - dividend) * years), math.exp(-rate * years)
        k = np.log(forward / strikes)
        u, weight = self._nodes(years, float(np.abs(k).max()))
        transform = self.characteristic(u - 0.5j, years) / (u**2 + 0.25) * weight
        integral = (np.exp(1j * np.outer(k, u)) @ transform).real
        call = discount * (forward - np.sqrt(forward * strikes) / math.pi * integral)
        value = call if sign > 0 else call - discount * (forward - strikes)
        value = np.maximum(value, 0.0)
        return float(value[0]) if np.ndim(strike) == 0 else value

    def _nodes(self, years: float, moneyness: float) -> tuple[np.ndarray, np.ndarray]:
        """Panels that double in width, none with more than about one turn of the integrand."""
        end = 16.0
        while abs(self.characteristic(end - 0.5j, years)) / end > _NEGLIGIBLE and end < _FURTHEST:
            end *= 2
        bounds = [0.0, 0.5]
        turn = 2 * math.pi / max(moneyness + abs(self.rho) * self.sigma * years + 0.05, 0.1)
        while bounds[-1] < end:
            bounds.append(min(bounds[-1] * 2, bounds[-1] + turn))
        left, half = np.array(bounds[:-1]), np.diff(bounds) / 2
        nodes = left[:, None] + half[:, None] * (_PANEL + 1)
        return nodes.ravel(), (half[:, None] * _PANEL_WEIGHTS).ravel()
