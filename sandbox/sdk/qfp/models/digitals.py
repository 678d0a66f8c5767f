"""What is a bet worth that pays a fixed amount? Digital options and touch options.

Cash-or-nothing and asset-or-nothing options: Cox and Rubinstein (1985). Touch options with a barrier watched all the
time: Reiner and Rubinstein, "Unscrambling the binary code", Risk 4 (1991). Units as in `qfp.models`.
"""

from __future__ import annotations

import math

from scipy.special import ndtr

from qfp.models.options import sign_of

__all__ = ["digital", "one_touch"]


def digital(
    kind: str,
    spot: float,
    strike: float,
    rate: float,
    volatility: float,
    years: float,
    *,
    dividend: float = 0.0,
    pays: str = "cash",
    cash: float = 1.0,
) -> float:
    """A European digital option: pays at expiry if it ends in the money, S(T) > K for a call.

    pays: "cash", the amount `cash`, `cash exp(-r T) N(d2)`; or "asset", one share, `S exp(-q T) N(d1)`.
    """
    sign = sign_of(kind)
    if pays not in ("cash", "asset"):
        raise ValueError(f'pays must be "cash" or "asset", not {pays!r}')
    _check(spot, strike, volatility, years)
    deviation = volatility * math.sqrt(years)
    distance = math.log(spot / strike) + (rate - dividend - volatility**2 / 2) * years
    if deviation == 0:
        inside = float(sign * distance > 0)
        share_inside = inside
    else:
        inside = float(ndtr(sign * distance / deviation))
        share_inside = float(ndtr(sign * (distance / deviation + deviation)))
    if pays == "cash":
        return cash * math.exp(-rate * years) * inside
    return spot * math.exp(-dividend * years) * share_inside


def one_touch(
    spot: float,
    barrier: float,
    rate: float,
    volatility: float,
    years: float,
    *,
    dividend: float = 0.0,
    cash: float = 1.0,
    pays: str = "hit",
) -> float:
    """A bet on whether the price touches the barrier before expiry; it lies below or above the spot.

    pays: "hit", cash at the moment it is touched; "expiry", cash at expiry if it was; "none", cash at expiry if it
      was not. Watched continuously. A spot at the barrier has touched it.
    """
    if pays not in ("hit", "expiry", "none"):
        raise ValueError(f'pays must be "hit", "expiry" or "none", not {pays!r}')
    _check(spot, barrier, volatility, years)
    discount = math.exp(-rate * years)
    if spot == barrier:
        return {"hit": cash, "expiry": cash * discount, "none": 0.0}[pays]
    if volatility * years == 0:
        raise ValueError("a touch option needs a volatility and a time to expiry above 0")
    eta = 1 if spot > barrier else -1
    deviation = volatility * math.sqrt(years)
    mu = (rate - dividend - volatility**2 / 2) / volatility**2
    ratio = math.log(barrier / spot)
    if pays == "hit":
        square = mu**2 + 2 * rate / volatility**2
        if square < 0:
            raise ValueError("the rate is too far below 0 for a payment at the touch to have a finite value")
        lam = math.sqrt(square)
        z = ratio / deviation + lam * deviation
        return cash * float(
            math.exp((mu + lam) * ratio) * ndtr(eta * z)
            + math.exp((mu - lam) * ratio) * ndtr(eta * (z - 2 * lam * deviation))
        )
    stays = ndtr(eta * (-ratio / deviation + mu * deviation))
    returns = math.exp(2 * mu * ratio) * ndtr(eta * (ratio / deviation + mu * deviation))
    untouched = float(stays - returns)
    return cash * discount * (untouched if pays == "none" else 1 - untouched)


def _check(spot: float, level: float, volatility: float, years: float) -> None:
    if not (spot > 0 and level > 0):
        raise ValueError("spot, strike and barrier must be above 0")
    if volatility < 0 or years < 0:
        raise ValueError("volatility and years must not be below 0")
