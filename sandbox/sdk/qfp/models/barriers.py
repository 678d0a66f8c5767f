"""What is an option worth that begins or ends when the price touches a barrier?

`barrier` watches all the time (Merton 1973; Reiner and Rubinstein, "Breaking down the barriers", Risk 4, 1991);
`barrier_discrete` only on some days, which is what most contracts say: the difference is large near the barrier
(Broadie, Glasserman and Kou, "A continuity correction for discrete barrier options", Mathematical Finance 7, 1997,
table 2.1). Units as in `qfp.models`.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.sparse import csr_array
from scipy.special import ndtr

from qfp.models.digitals import one_touch
from qfp.models.options import price, sign_of

__all__ = ["barrier", "barrier_discrete", "shifted_barrier", "KINDS"]

KINDS = ("down-out", "down-in", "up-out", "up-in")
_SHIFT = 0.5825971579390106  # -zeta(1/2) / sqrt(2 pi)
_NODES_PER_DEVIATION = 4  # of the density of one step; more change nothing beyond the twelfth digit


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
    rebate: float = 0.0,
) -> float:
    """A European option with one barrier that is watched continuously.

    barrier_kind: "down-out" and "up-out" end worthless when the price reaches the level, "down-in" and "up-in" begin
      only then. rebate: paid at the touch of an out option, at expiry for an in option that never began.
    A spot that has reached the level already: the rebate of an out option, the plain option of an in option.
    """
    sign, eta = _checked(barrier_kind, kind, spot, strike, level)
    if not (volatility > 0 and years > 0):
        raise ValueError("a barrier option needs a volatility and a time to expiry above 0")
    ends = barrier_kind.endswith("out")
    if eta * (spot - level) <= 0:
        return rebate if ends else float(price(kind, spot, strike, rate, volatility, years, dividend=dividend))
    deviation = volatility * math.sqrt(years)
    mu = (rate - dividend - volatility**2 / 2) / volatility**2
    asset, cash = spot * math.exp(-dividend * years), strike * math.exp(-rate * years)
    ratio = level / spot
    drift = (1 + mu) * deviation

    def plain(x: float) -> float:
        return sign * float(asset * ndtr(sign * x) - cash * ndtr(sign * (x - deviation)))

    def reflected(y: float) -> float:
        near = asset * ratio ** (2 * (mu + 1)) * ndtr(eta * y)
        return sign * float(near - cash * ratio ** (2 * mu) * ndtr(eta * (y - deviation)))

    a = plain(math.log(spot / strike) / deviation + drift)
    b = plain(math.log(spot / level) / deviation + drift)
    c = reflected(math.log(level**2 / (spot * strike)) / deviation + drift)
    d = reflected(math.log(level / spot) / deviation + drift)
    # Which parts make the option that begins at the barrier depends on the side of the strike.
    parts = {
        ("down", "call"): (c, a - b + d),
        ("up", "call"): (a, b - c + d),
        ("down", "put"): (b - c + d, a),
        ("up", "put"): (a - b + d, c),
    }
    above, below = parts[barrier_kind.split("-")[0], kind]
    begun = above if strike > level else below
    pays = "hit" if ends else "none"
    consolation = (
        one_touch(spot, level, rate, volatility, years, dividend=dividend, cash=rebate, pays=pays) if rebate else 0.0
    )
    return (a - begun if ends else begun) + consolation


def shifted_barrier(spot: float, level: float, volatility: float, years: float, observations: int) -> float:
    """The level at which a barrier that is always watched is worth about as much as this one watched on
    `observations` equally spaced days: further out by `exp(0.5826 v sqrt(T/m))` (Broadie, Glasserman and Kou 1997).
    Quick, and good to about 0.1 % unless the spot is within one day's move of the barrier.
    """
    outward = -1 if level < spot else 1
    return level * math.exp(outward * _SHIFT * volatility * math.sqrt(years / observations))


def barrier_discrete(
    barrier_kind: str,
    kind: str,
    spot: float,
    strike: float,
    level: float,
    rate: float,
    volatility: float,
    years: float,
    *,
    observations: int,
    dividend: float = 0.0,
) -> float:
    """A European option whose barrier is looked at only at i T/m, i = 1 ... m, the last time at expiry; no rebate.

    observations: m, up to 2,520. The value is exact to about 1e-9 of the spot: from one look to the next the log
    price moves by a normal step, integrated by the Gauss-Legendre rule over the side of the barrier that survives.
    """
    sign, eta = _checked(barrier_kind, kind, spot, strike, level)
    if not (volatility > 0 and years > 0):
        raise ValueError("a barrier option needs a volatility and a time to expiry above 0")
    if not 1 <= observations <= 2520:
        raise ValueError("observations must be a whole number from 1 to 2,520; for more, use shifted_barrier")
    step = years / observations
    width = volatility * math.sqrt(step)
    drift = (rate - dividend - volatility**2 / 2) * step
    value = _survivor(sign, eta, spot, strike, level, rate, dividend, step, width, drift, observations)
    if barrier_kind.endswith("out"):
        return value
    return float(price(kind, spot, strike, rate, volatility, years, dividend=dividend)) - value


def _survivor(
    sign: int,
    eta: int,
    spot: float,
    strike: float,
    level: float,
    rate: float,
    dividend: float,
    step: float,
    width: float,
    drift: float,
    observations: int,
) -> float:
    """The value of the option that ends at the barrier, backwards from the last look."""
    start, edge = math.log(spot), math.log(level)
    reach = 9 * width * math.sqrt(observations) + abs(drift) * observations
    far = start + eta * reach
    if eta * (far - edge) <= 0:
        return 0.0
    low, high = min(edge, far), max(edge, far)
    panels = max(4, math.ceil((high - low) / width * _NODES_PER_DEVIATION / 16))
    nodes, weights = np.polynomial.legendre.leggauss(16)
    bounds = np.linspace(low, high, panels + 1)
    half = (bounds[1] - bounds[0]) / 2
    x = (bounds[:-1, None] + half * (nodes + 1)).ravel()
    weight = np.tile(weights * half, panels)

    def last(log_spot: np.ndarray) -> np.ndarray:
        """One step before expiry: the payoff beyond both barrier and strike has a closed form."""
        payoff_edge = max(math.log(strike), edge) if sign > 0 else min(math.log(strike), edge)
        asset, cash = np.exp(log_spot - dividend * step), strike * math.exp(-rate * step)

        def above(bound: float) -> np.ndarray:
            d2 = (log_spot - bound + drift) / width
            return sign * (asset * ndtr(sign * (d2 + width)) - cash * ndtr(sign * d2))

        if sign == eta:
            return above(payoff_edge)
        if eta * (math.log(strike) - edge) <= 0:
            return np.zeros_like(log_spot)
        return above(math.log(strike)) - above(edge)

    def weights_from(log_spot: np.ndarray) -> np.ndarray:
        z = (x[None, :] - log_spot[:, None] - drift) / width
        return weight * np.exp(-(z**2) / 2 - rate * step) / (width * math.sqrt(2 * math.pi))

    if observations == 1:
        return float(last(np.array([start]))[0])
    value = last(x)
    if observations > 2:
        moves = weights_from(x)
        moves[moves < 1e-18] = 0.0
        sparse = csr_array(moves)
        for _ in range(observations - 2):
            value = sparse @ value
    return float(weights_from(np.array([start]))[0] @ value)


def _checked(barrier_kind: str, kind: str, spot: float, strike: float, level: float) -> tuple[int, int]:
    """The sign of the option and of the side that survives: 1 where the barrier lies below."""
    if barrier_kind not in KINDS:
        raise ValueError(f"barrier_kind must be one of {', '.join(KINDS)}, not {barrier_kind!r}")
    if not (spot > 0 and strike > 0 and level > 0):
        raise ValueError("spot, strike and level must be above 0")
    return sign_of(kind), 1 if barrier_kind.startswith("down") else -1
