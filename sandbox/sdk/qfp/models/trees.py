"""What is an option worth if the price moves in steps, up or down, and it may be exercised early?

Cox, Ross and Rubinstein, "Option pricing: a simplified approach", Journal of Financial Economics 7 (1979):
`u = exp(v sqrt(dt))`, `d = 1/u`, `p = (exp((r - q) dt) - d) / (u - d)`, not rounded. Units as in `qfp.models`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from qfp.models.options import sign_of

__all__ = ["crr", "binomial", "STYLES"]

STYLES = ("european", "american")
MOST_STEPS = 20_000


def crr(
    kind: str,
    spot: float,
    strike: float,
    rate: float,
    volatility: float,
    years: float,
    *,
    dividend: float = 0.0,
    style: str = "american",
    steps: int = 500,
    exercise_every: int = 1,
    cash_dividends: Sequence[tuple[float, float]] = (),
) -> float:
    """The price of a European or American option on the tree of Cox, Ross and Rubinstein.

    style: "european" or "american". exercise_every: an American option may be exercised at every k-th step only
      (and at expiry), which is a Bermudan option. steps: up to 20,000; the error falls as 1 / steps, alternating.
    cash_dividends: (time in years, amount) pairs. They are escrowed: the tree is that of the price less the present
      value of the dividends still to come, `dividend` stays a yield beside them.

    Raises ValueError when p falls outside 0 to 1 (then the tree would offer a free profit): more steps help.
    """
    sign_of(kind)
    _check_style(style, steps, exercise_every)
    if not (spot > 0 and strike > 0) or volatility < 0 or years < 0:
        raise ValueError("spot and strike must be above 0, volatility and years not below 0")
    paid = [(time, amount) for time, amount in cash_dividends if 0 < time <= years]
    escrow = sum(amount * math.exp(-rate * time) for time, amount in paid)
    if escrow >= spot:
        raise ValueError("the dividends to come are worth more than the share")
    if years == 0 or volatility == 0:
        return _without_chance(kind, spot - escrow, strike, rate, years, dividend, style, paid, steps, exercise_every)
    step = years / steps
    up = math.exp(volatility * math.sqrt(step))
    return _roll_back(kind, spot - escrow, strike, rate, step, dividend, up, 1 / up, style, steps, exercise_every, paid)


def binomial(
    kind: str,
    spot: float,
    strike: float,
    rate: float,
    step: float,
    *,
    up: float,
    down: float,
    dividend: float = 0.0,
    style: str = "european",
    steps: int = 1,
) -> float:
    """The price on a tree with factors of your own: each step of `step` years multiplies the price by up or down."""
    sign_of(kind)
    _check_style(style, steps, 1)
    if not up > down > 0:
        raise ValueError("up must be above down and both above 0")
    return _roll_back(kind, spot, strike, rate, step, dividend, up, down, style, steps, 1, [])


def _roll_back(
    kind: str,
    spot: float,
    strike: float,
    rate: float,
    step: float,
    dividend: float,
    up: float,
    down: float,
    style: str,
    steps: int,
    exercise_every: int,
    paid: list[tuple[float, float]],
) -> float:
    sign = sign_of(kind)
    growth = math.exp((rate - dividend) * step)
    probability = (growth - down) / (up - down)
    if not 0 <= probability <= 1:
        raise ValueError(
            f"with {steps} steps the probability of a move up is {probability:.4g}, outside 0 to 1: use more steps"
        )
    discount = math.exp(-rate * step)
    ups, downs = discount * probability, discount * (1 - probability)
    # The prices of a level are the first of the last level, each taken back by the steps down that were not made.
    moves = np.arange(steps + 1)
    last = spot * np.exp(moves * math.log(up) + (steps - moves) * math.log(down))
    value = np.maximum(sign * (last - strike), 0.0)
    for level in range(steps - 1, -1, -1):
        value = ups * value[1:] + downs * value[:-1]
        if style == "american" and level % exercise_every == 0:
            prices = last[: level + 1] * down ** -(steps - level)
            time = level * step
            escrow = sum(amount * math.exp(-rate * (when - time)) for when, amount in paid if when > time)
            np.maximum(value, sign * (prices + escrow - strike), out=value)
    return float(value[0])


def _without_chance(
    kind: str,
    spot: float,
    strike: float,
    rate: float,
    years: float,
    dividend: float,
    style: str,
    paid: list[tuple[float, float]],
    steps: int,
    exercise_every: int,
) -> float:
    """No volatility or no time: the best of the payoffs at the moments of exercise."""
    sign = sign_of(kind)
    moments = [years]
    if style == "american":
        moments += [years * level / steps for level in range(0, steps, exercise_every)]
    worth = 0.0
    for time in moments:
        escrow = sum(amount * math.exp(-rate * (when - time)) for when, amount in paid if when > time)
        price = spot * math.exp((rate - dividend) * time) + escrow
        worth = max(worth, math.exp(-rate * time) * sign * (price - strike))
    return worth


def _check_style(style: str, steps: int, exercise_every: int) -> None:
    if style not in STYLES:
        raise ValueError(f'style must be "european" or "american", not {style!r}')
    if not 1 <= steps <= MOST_STEPS:
        raise ValueError(f"steps must be a whole number from 1 to {MOST_STEPS:,}")
    if exercise_every < 1:
        raise ValueError("exercise_every must be a whole number of 1 or more")
