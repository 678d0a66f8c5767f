"""What is an option on the highest or lowest price of its life worth?

Floating strike: Goldman, Sosin and Gatto, "Path dependent options: buy at the low, sell at the high", Journal of
Finance 34 (1979). Fixed strike: Conze and Viswanathan, Journal of Finance 46 (1991). The extreme is watched
continuously. Units as in `qfp.models`.
"""

from __future__ import annotations

import math

from scipy.special import ndtr

from qfp.models.options import sign_of

__all__ = ["floating", "fixed"]

_NEAR_ZERO = 1e-3  # of the carry in units of v^2/2: below, the formula loses digits to a division by it


def floating(
    kind: str, spot: float, extreme: float, rate: float, volatility: float, years: float, *, dividend: float = 0.0
) -> float:
    """A call pays the last price less the lowest, a put the highest less the last.

    extreme: the lowest (call) or highest (put) price so far; the spot for a new option.
    """
    sign = sign_of(kind)
    _check(spot, extreme, volatility, years, highest=sign < 0)
    other = "put" if sign > 0 else "call"
    asset, level = spot * math.exp(-dividend * years), extreme * math.exp(-rate * years)
    return _on_extreme(other, spot, extreme, rate, volatility, years, dividend) + sign * (asset - level)


def fixed(
    kind: str,
    spot: float,
    strike: float,
    extreme: float,
    rate: float,
    volatility: float,
    years: float,
    *,
    dividend: float = 0.0,
) -> float:
    """A call pays the highest price less the strike, a put the strike less the lowest, if above 0.

    extreme: the highest (call) or lowest (put) price so far; the spot for a new option.
    """
    sign = sign_of(kind)
    _check(spot, extreme, volatility, years, highest=sign > 0)
    if not strike > 0:
        raise ValueError("strike must be above 0")
    level = max(strike, extreme) if sign > 0 else min(strike, extreme)
    certain = math.exp(-rate * years) * sign * (level - strike)
    return certain + _on_extreme(kind, spot, level, rate, volatility, years, dividend)


def _on_extreme(
    kind: str, spot: float, level: float, rate: float, volatility: float, years: float, dividend: float
) -> float:
    """How far the maximum rises above a level (call), the minimum falls below it (put), discounted expectation."""
    sign = sign_of(kind)
    if volatility * years == 0:
        end = spot * math.exp((rate - dividend) * years)
        return math.exp(-rate * years) * max(0.0, sign * (end - level), sign * (spot - level))
    deviation = volatility * math.sqrt(years)
    discount = math.exp(-rate * years)
    carry = rate - dividend
    d1 = (math.log(spot / level) + (carry + volatility**2 / 2) * years) / deviation
    asset = spot * math.exp(-dividend * years)
    vanilla = sign * (asset * float(ndtr(sign * d1)) - level * discount * float(ndtr(sign * (d1 - deviation))))
    return vanilla + spot * discount * _reflection(sign, math.log(spot / level), carry, volatility, years)


def _reflection(sign: int, log_ratio: float, carry: float, volatility: float, years: float) -> float:
    """`v^2/(2b) sign (exp(bT) N(sign d1) - (S/L)^(-2b/v^2) N(sign (d1 - 2b sqrt(T)/v)))`, which is 0/0 at b = 0:
    near it, the parabola through the limit and the values on either side.
    """
    edge = _NEAR_ZERO * volatility**2 / 2
    deviation = volatility * math.sqrt(years)
    if abs(carry) < edge:
        d1 = log_ratio / deviation + deviation / 2
        density = math.exp(-(d1**2) / 2) / math.sqrt(2 * math.pi)
        limit = deviation * (density + sign * d1 * float(ndtr(sign * d1)))
        below = _reflection(sign, log_ratio, -edge, volatility, years)
        above = _reflection(sign, log_ratio, edge, volatility, years)
        u = carry / edge
        return limit + u * (above - below) / 2 + u**2 * ((above + below) / 2 - limit)
    d1 = (log_ratio + (carry + volatility**2 / 2) * years) / deviation
    grown = math.exp(carry * years) * float(ndtr(sign * d1))
    mirrored = math.exp(-2 * carry / volatility**2 * log_ratio) * float(
        ndtr(sign * (d1 - 2 * carry * math.sqrt(years) / volatility))
    )
    return sign * volatility**2 / (2 * carry) * (grown - mirrored)


def _check(spot: float, extreme: float, volatility: float, years: float, highest: bool) -> None:
    if not (spot > 0 and extreme > 0):
        raise ValueError("spot and extreme must be above 0")
    if volatility < 0 or years < 0:
        raise ValueError("volatility and years must not be below 0")
    if highest and extreme < spot:
        raise ValueError("the highest price so far cannot be below the spot")
    if not highest and extreme > spot:
        raise ValueError("the lowest price so far cannot be above the spot")
