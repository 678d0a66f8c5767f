"""What is a bond worth, what does it yield and how does its price move with the yield?

Yields are nominal, compounded freq times a year: `P = sum c_k (1 + y/f)^(-f t_k)`. `continuous` takes a continuous
yield instead. Payments lie at T, T - 1/f, T - 2/f ... after today; prices are dirty (with accrued interest). Source:
Fabozzi, Bond Markets, Analysis and Strategies, chapter 4; Hull, Options, Futures, and Other Derivatives, chapter 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date

import numpy as np
from scipy.optimize import brentq

__all__ = ["Bond", "bond", "continuous", "bond_yield", "year_fraction", "CONVENTIONS"]

CONVENTIONS = ("ACT/ACT ISDA", "ACT/365F", "ACT/360", "30/360 US", "30E/360")


@dataclass(frozen=True)
class Bond:
    """price: per face, dirty. macaulay: the mean time of the payments, years. modified: `-1/P dP/dy`, years.
    convexity: `1/P d2P/dy2`, years squared. dv01: what the price loses when the yield rises by 0.01 %.
    With a continuous yield macaulay and modified are the same.
    """

    price: float
    macaulay: float
    modified: float
    convexity: float
    dv01: float


def bond(face: float, coupon: float, years: float, yield_rate: float, *, freq: int = 2) -> Bond:
    """A bond at a yield. coupon: a year, as a fraction of face, paid freq times a year. years: to the last payment."""
    times, cash = _payments(face, coupon, years, freq)
    growth = 1 + yield_rate / freq
    if growth <= 0:
        raise ValueError(f"a yield of {yield_rate:g} loses more than everything in one period")
    present = cash * growth ** (-freq * times)
    price = float(present.sum())
    macaulay = float(present @ times) / price
    convexity = float(present @ (times * (times + 1 / freq))) / (price * growth**2)
    modified = macaulay / growth
    return Bond(price, macaulay, modified, convexity, modified * price * 1e-4)


def continuous(face: float, coupon: float, years: float, yield_rate: float, *, freq: int = 2) -> Bond:
    """The same with a continuously compounded yield."""
    times, cash = _payments(face, coupon, years, freq)
    present = cash * np.exp(-yield_rate * times)
    price = float(present.sum())
    duration = float(present @ times) / price
    return Bond(price, duration, duration, float(present @ times**2) / price, duration * price * 1e-4)


def bond_yield(face: float, coupon: float, years: float, price: float, *, freq: int = 2) -> float:
    """The yield at which the bond has this dirty price; below 0 where it costs more than it pays."""
    if not (math.isfinite(price) and price > 0):
        raise ValueError("a price must be above 0 for a yield to exist")
    times, cash = _payments(face, coupon, years, freq)
    logs = np.log(np.where(cash > 0, cash, 1.0))

    def too_dear(log_growth: float) -> float:
        """ln of the value at a growth per period, less ln price: falls in log_growth, and nearly on a line."""
        exponents = np.where(cash > 0, logs - freq * times * log_growth, -np.inf)
        top = exponents.max()
        return float(top + math.log(np.exp(exponents - top).sum()) - math.log(price))

    reach = 1.0
    while too_dear(-reach) < 0 or too_dear(reach) > 0:
        reach *= 2
        if reach > 700:
            raise ValueError("no yield gives this price")
    return freq * math.expm1(brentq(too_dear, -reach, reach, xtol=1e-15, rtol=1e-14))


def _payments(face: float, coupon: float, years: float, freq: int) -> tuple[np.ndarray, np.ndarray]:
    if freq < 1 or not (face > 0 and years > 0) or coupon < 0:
        raise ValueError("a bond needs a face and a time above 0, a coupon of 0 or more and payments each year")
    count = math.ceil(years * freq - 1e-9)
    times = years - np.arange(count - 1, -1, -1) / freq
    cash = np.full(count, face * coupon / freq)
    cash[-1] += face
    return times, cash


def year_fraction(start: date, end: date, convention: str) -> float:
    """The part of a year from start to end under a day count convention (ISDA 2006 definitions, section 4.16).

    "30/360 US" moves the last day of February to 30 when the period starts there.
    """
    if end < start:
        return -year_fraction(end, start, convention)
    days = (end - start).days
    if convention == "ACT/365F":
        return days / 365
    if convention == "ACT/360":
        return days / 360
    if convention == "ACT/ACT ISDA":
        if start.year == end.year:
            return days / _days_in(start.year)
        first = (date(start.year + 1, 1, 1) - start).days / _days_in(start.year)
        last = (end - date(end.year, 1, 1)).days / _days_in(end.year)
        return first + (end.year - start.year - 1) + last
    first_day, last_day = start.day, end.day
    if convention == "30E/360":
        first_day, last_day = min(first_day, 30), min(last_day, 30)
    elif convention == "30/360 US":
        if _ends_february(start):
            if _ends_february(end):
                last_day = 30
            first_day = 30
        if last_day == 31 and first_day >= 30:
            last_day = 30
        first_day = min(first_day, 30)
    else:
        raise ValueError(f"convention must be one of {', '.join(CONVENTIONS)}, not {convention!r}")
    return (360 * (end.year - start.year) + 30 * (end.month - start.month) + last_day - first_day) / 360


def _days_in(year: int) -> int:
    return (date(year + 1, 1, 1) - date(year, 1, 1)).days


def _ends_february(day: date) -> bool:
    return day.month == 2 and (day.day == 29 or (day.day == 28 and _days_in(day.year) == 365))
