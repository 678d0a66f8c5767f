"""Where should a market maker quote, and what does holding inventory cost?

Avellaneda and Stoikov, "High-frequency trading in a limit order book", Quantitative Finance 8 (2008): the mid price
is a Brownian motion with volatility sigma (in currency per square root of the session), orders of size 1 arrive at a
quote at distance d with intensity `A exp(-k d)`, the session lasts T = `session`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["Session", "reservation_price", "optimal_spread", "simulate"]


def reservation_price(mid: float, inventory: float, risk_aversion: float, volatility: float, left: float) -> float:
    """The price at which a share more or less is worth nothing: `s - q gamma sigma^2 (T - t)`; below the mid price
    when long. left: the time to the end, T - t.
    """
    return mid - inventory * risk_aversion * volatility**2 * left


def optimal_spread(risk_aversion: float, volatility: float, decay: float, left: float) -> float:
    """Ask less bid about the reservation price: `gamma sigma^2 (T - t) + 2/gamma ln(1 + gamma/k)`; decay is k. As
    gamma goes to 0: `2/k`.
    """
    if decay <= 0 or risk_aversion < 0:
        raise ValueError("decay must be above 0 and risk_aversion not below 0")
    arrival = 2 / decay if risk_aversion == 0 else 2 / risk_aversion * math.log1p(risk_aversion / decay)
    return risk_aversion * volatility**2 * left + arrival


@dataclass(frozen=True)
class Session:
    """Simulated sessions, one row each. profits and inventories at the end. mid, inventory, cash: of the first
    session, step by step, with times, bids and asks.
    """

    profits: np.ndarray
    inventories: np.ndarray
    times: np.ndarray
    mid: np.ndarray
    bids: np.ndarray
    asks: np.ndarray
    inventory: np.ndarray
    wealth: np.ndarray


def simulate(
    *,
    sessions: int = 1000,
    risk_aversion: float = 0.1,
    mid: float = 100.0,
    volatility: float = 2.0,
    decay: float = 1.5,
    intensity: float = 140.0,
    session: float = 1.0,
    step: float = 0.005,
    about: str = "reservation",
    seed: int = 0,
) -> Session:
    """Sessions of a market maker who quotes the optimal spread; the defaults are those of the paper's section 3.3.

    about: "reservation", quotes lie about the reservation price; "mid", the same spread about the mid price whatever
    the inventory. The market of a seed is the same for both. Profit is cash plus inventory at the last mid price.
    """
    if about not in ("reservation", "mid"):
        raise ValueError(f'about must be "reservation" or "mid", not {about!r}')
    steps = round(session / step)
    if intensity * step > 1:
        raise ValueError("the step is too long: more than one order would arrive in it")
    generator = np.random.default_rng(seed)
    price, cash, held = np.full(sessions, mid), np.zeros(sessions), np.zeros(sessions)
    path = np.empty((5, steps + 1))
    for index in range(steps):
        left = session - index * step
        spread = optimal_spread(risk_aversion, volatility, decay, left)
        shift = held * risk_aversion * volatility**2 * left if about == "reservation" else 0.0
        ask, bid = price - shift + spread / 2, price - shift - spread / 2
        path[:, index] = price[0], bid[0], ask[0], held[0], cash[0] + held[0] * price[0]
        arrivals = generator.random((2, sessions))
        sold = arrivals[0] < intensity * step * np.exp(-decay * (ask - price))
        bought = arrivals[1] < intensity * step * np.exp(-decay * (price - bid))
        cash += sold * ask - bought * bid
        held += bought.astype(float) - sold
        price = price + volatility * math.sqrt(step) * generator.choice([-1.0, 1.0], sessions)
    path[:, steps] = price[0], bid[0], ask[0], held[0], cash[0] + held[0] * price[0]
    return Session(cash + held * price, held, np.arange(steps + 1) * step, *path)
