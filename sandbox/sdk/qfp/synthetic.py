"""Where does made-up market data come from? Seeded generators with stated moments, the same numbers every time.

Nothing here happened. It is for learning, for contests and for trying code out where no real data may be given away:
exchange rates by the hour, a cryptocurrency, minute bars, a market of 500 shares whose members come and go, and a
chain of options. Prices move by normal log returns, so their mean and deviation are those stated in the constants
below (tests hold the series to them), without jumps, fat tails or clusters of volatility: real markets are wilder.

Numbers come from numpy's RandomState, whose stream is frozen for good, and prices are rounded to a tick, so that the
last bit of another machine's logarithm does not show.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

__all__ = ["Bars", "Market", "bitcoin", "euro_dollar", "option_chain", "shares"]

SEED = 20_240_601
DAY = np.timedelta64(1, "D")
MINUTE = np.timedelta64(1, "m")

# Deviations are those of log returns over a year; drifts are of the price itself, in the same time.
EURO = {"start": 1.12, "drift": 0.0, "deviation": 0.08, "hours_a_year": 6240}
BITCOIN = {"start": 315.0, "drift": 0.60, "deviation": 0.70, "days_a_year": 365}
MARKET = {"drift": 0.06, "deviation": 0.16, "sessions_a_year": 260}
BETAS = (0.6, 1.4)
OWN_DEVIATIONS = (0.20, 0.45)
# How much of a session's variance happens before it opens.
OVERNIGHT = 0.3
MEMBERS = 500
LEAVERS = 60
MINUTE_SHARES = 3
MINUTE_SESSIONS = 20
MINUTES_OF_A_SESSION = 390


@dataclass(frozen=True)
class Bars:
    """Bars by time, oldest first."""

    dates: np.ndarray
    columns: dict[str, np.ndarray]


def random(name: str) -> np.random.RandomState:
    """A stream of its own for everything that is made, so that one more series changes no other."""
    return np.random.RandomState([SEED, *name.encode()])


def bars_of(
    dates: np.ndarray,
    opens: np.ndarray,
    closes: np.ndarray,
    deviation: float | np.ndarray,
    tick: float,
    stream: np.random.RandomState,
    volume: float,
) -> Bars:
    """High and low between an open and a close: the extremes of a Brownian bridge, by their exact distribution.

    deviation: of the log price from open to close.
    """
    x, y = np.log(opens), np.log(closes)
    spread = (y - x) ** 2
    up, down = (np.sqrt(spread - 2 * np.square(deviation) * np.log(1 - stream.random_sample(len(x)))) for _ in range(2))
    high, low = np.exp((x + y + up) / 2), np.exp((x + y - down) / 2)
    traded = np.exp(stream.standard_normal(len(x)) * 0.4 + math.log(volume))
    prices = {name: _to_tick(values, tick) for name, values in (("open", opens), ("close", closes))}
    top, bottom = np.maximum(prices["open"], prices["close"]), np.minimum(prices["open"], prices["close"])
    return Bars(
        dates.astype("datetime64[us]"),
        {
            "open": prices["open"],
            "high": np.maximum(_to_tick(high, tick), top),
            "low": np.minimum(_to_tick(low, tick), bottom),
            "close": prices["close"],
            "volume": np.round(traded),
        },
    )


def _to_tick(prices: np.ndarray, tick: float) -> np.ndarray:
    places = round(-math.log10(tick))
    return np.maximum(np.round(prices, places), tick)


def _path(start: float, drift: float, deviation: float, count: int, stream: np.random.RandomState) -> np.ndarray:
    """Closes of so many bars; drift and deviation are those of one bar."""
    steps = drift - deviation**2 / 2 + deviation * stream.standard_normal(count)
    return start * np.exp(np.cumsum(steps))


def _follow(start: float, closes: np.ndarray) -> np.ndarray:
    """Opens of a market that never closes: each is the close before."""
    return np.concatenate([[start], closes[:-1]])


# Exchange rates and cryptocurrency --------------------------------------------------------------------------


def euro_dollar() -> Bars:
    """Dollars for a euro by the hour, 2018 and 2019: Sunday 22:00 to Friday 21:00 UTC, the hours in which it trades."""
    hours = np.arange(np.datetime64("2018-01-01T00", "h"), np.datetime64("2020-01-01T00", "h"))
    weekday = (hours.astype("datetime64[D]").astype(int) + 3) % 7  # Monday is 0
    hour = hours.astype(int) % 24
    open_hours = hours[(weekday < 4) | ((weekday == 4) & (hour < 22)) | ((weekday == 6) & (hour >= 22))]
    stream, bars = random("EURUSD"), len(open_hours)
    deviation = EURO["deviation"] / math.sqrt(EURO["hours_a_year"])
    closes = _path(EURO["start"], EURO["drift"] / EURO["hours_a_year"], deviation, bars, stream)
    return bars_of(open_hours, _follow(EURO["start"], closes), closes, deviation, 0.00001, stream, 4000)


def bitcoin() -> tuple[Bars, Bars]:
    """Dollars for a bitcoin: by the day from 2015 to 2020, and by the minute in the last 30 days, which add up."""
    days = np.arange(np.datetime64("2015-01-01"), np.datetime64("2021-01-01"))
    stream, last = random("BTCUSD"), 30
    drift = BITCOIN["drift"] / BITCOIN["days_a_year"]
    deviation = BITCOIN["deviation"] / math.sqrt(BITCOIN["days_a_year"])
    closes = _path(BITCOIN["start"], drift, deviation, len(days) - last, stream)
    early = bars_of(days[:-last], _follow(BITCOIN["start"], closes), closes, deviation, 0.01, stream, 60_000)
    minutes = np.arange(days[-last].astype("datetime64[m]"), np.datetime64("2021-01-01T00:00", "m"))
    per_minute = deviation / math.sqrt(1440)
    path = _path(closes[-1], drift / 1440, per_minute, len(minutes), stream)
    fine = bars_of(minutes, _follow(closes[-1], path), path, per_minute, 0.01, stream, 40)
    late = _summed(days[-last:], fine, 1440)
    return Bars(
        np.concatenate([early.dates, late.dates]),
        {name: np.concatenate([values, late.columns[name]]) for name, values in early.columns.items()},
    ), fine


def _summed(days: np.ndarray, fine: Bars, bars_a_day: int) -> Bars:
    by_day = {name: values.reshape(len(days), bars_a_day) for name, values in fine.columns.items()}
    return Bars(
        days.astype("datetime64[us]"),
        {
            "open": by_day["open"][:, 0],
            "high": by_day["high"].max(axis=1),
            "low": by_day["low"].min(axis=1),
            "close": by_day["close"][:, -1],
            "volume": by_day["volume"].sum(axis=1),
        },
    )


# A market of shares -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Share:
    """entered and left: the first and the last day as a member; left is None for one that still is."""

    symbol: str
    bars: Bars
    beta: float
    fate: str
    entered: np.datetime64
    left: np.datetime64 | None
    minutes: Bars | None


@dataclass(frozen=True)
class Market:
    """Weekdays of four years, without holidays."""

    sessions: np.ndarray
    returns: np.ndarray
    """Of the market itself: log returns, one a session."""


def market() -> Market:
    days = np.arange(np.datetime64("2016-01-04"), np.datetime64("2020-01-01"))
    sessions = days[(days.astype(int) + 3) % 7 < 5]
    deviation = MARKET["deviation"] / math.sqrt(MARKET["sessions_a_year"])
    drift = MARKET["drift"] / MARKET["sessions_a_year"] - deviation**2 / 2
    return Market(sessions, drift + deviation * random("market").standard_normal(len(sessions)))


def shares(over: Market) -> Iterator[Share]:
    """500 members at any time: 60 of the first ones leave, half of them failing and half bought at a premium, and the
    next session a newcomer that has been listed for a while takes the place.

    A share's log return is its beta times the market's and a part of its own.
    """
    sessions = over.sessions
    stream = random("membership")
    leavers = np.sort(stream.permutation(MEMBERS)[:LEAVERS])
    leaving = np.sort(60 + stream.permutation(len(sessions) - 120)[:LEAVERS])
    ends = dict(zip(stream.permutation(leavers).tolist(), leaving.tolist(), strict=True))
    for number in range(MEMBERS):
        end = ends.get(number)
        fate = "listed" if end is None else "failed" if end % 2 else "bought"
        yield _share(number, over, 0, len(sessions) if end is None else end + 1, 0, fate)
    for number, end in enumerate(leaving.tolist(), start=MEMBERS):
        yield _share(number, over, max(0, end - 59), len(sessions), end + 1, "listed")


def _share(number: int, over: Market, begin: int, end: int, member: int, fate: str) -> Share:
    symbol = f"SYN{number + 1:03}"
    stream = random(symbol)
    low, high = BETAS
    beta = low + (high - low) * stream.random_sample()
    low, high = OWN_DEVIATIONS
    own = low + (high - low) * stream.random_sample()
    start = math.exp(3 + 1.5 * stream.random_sample())
    volume = math.exp(11 + 3 * stream.random_sample())
    year = MARKET["sessions_a_year"]
    steps = beta * over.returns[begin:end] + own / math.sqrt(year) * stream.standard_normal(end - begin)
    if fate == "failed":
        steps[-40:] -= 0.06
    elif fate == "bought":
        steps[-20] += 0.25
        steps[-19:] *= 0.05
    closes = start * np.exp(np.cumsum(steps))
    spread = math.sqrt(beta**2 * MARKET["deviation"] ** 2 + own**2) / math.sqrt(year)
    night = OVERNIGHT * steps + math.sqrt(OVERNIGHT * (1 - OVERNIGHT)) * spread * stream.standard_normal(len(steps))
    opens = _follow(start, closes) * np.exp(night)
    bars = bars_of(over.sessions[begin:end], opens, closes, spread * math.sqrt(1 - OVERNIGHT), 0.01, stream, volume)
    minutes = None
    if number < MINUTE_SHARES and fate == "listed":
        minutes = _minutes(bars, spread * math.sqrt(1 - OVERNIGHT), volume, stream)
        late = _summed(bars.dates[-MINUTE_SESSIONS:], minutes, MINUTES_OF_A_SESSION)
        for name, values in bars.columns.items():
            values[-MINUTE_SESSIONS:] = late.columns[name]
    left = None if fate == "listed" else over.sessions[end - 1]
    return Share(symbol, bars, beta, fate, over.sessions[member], left, minutes)


def _minutes(bars: Bars, deviation: float, volume: float, stream: np.random.RandomState) -> Bars:
    """From each open to each close in 390 steps: 14:30 to 21:00 UTC, which is New York's session in winter."""
    days, count = bars.dates[-MINUTE_SESSIONS:].astype("datetime64[D]"), MINUTES_OF_A_SESSION
    opens, closes = (bars.columns[name][-MINUTE_SESSIONS:, None] for name in ("open", "close"))
    step = deviation / math.sqrt(count)
    walk = np.cumsum(step * stream.standard_normal((len(days), count)), axis=1)
    along = np.arange(1, count + 1) / count
    bridge = walk - along * walk[:, -1:] + along * np.log(closes / opens)
    ends = opens * np.exp(bridge)
    begins = np.concatenate([opens, ends[:, :-1]], axis=1)
    times = (days.astype("datetime64[m]") + 870 * MINUTE)[:, None] + np.arange(count) * MINUTE
    return bars_of(times.ravel(), begins.ravel(), ends.ravel(), step, 0.01, stream, volume / count)


# Options ----------------------------------------------------------------------------------------------------

DIVIDEND_YIELD = 0.02
SKEW = 0.5
MONTHS = (1, 2, 3, 6)
MONEYNESS = tuple(np.round(np.arange(0.80, 1.2001, 0.025), 3))


def option_chain(dates: np.ndarray, index: np.ndarray, volatility: np.ndarray, yields: dict[str, np.ndarray]) -> Bars:
    """European options on an index, priced by Black, Scholes and Merton; a row per option and day.

    dates, index, volatility: days, closes of the index, and its volatility as a fraction a year (VIX / 100).
    yields: by tenor of the same days ("1m", "3m", "6m"), fractions a year.

    Expiries are the third Fridays of the next months (MONTHS), strikes so many times the index (MONEYNESS), rounded to
    5 points. The volatility of a strike K is that of the day times 1 - SKEW * ln(K / index), at least 5 %, and the
    index pays DIVIDEND_YIELD. days counts calendar days, call is 1 for a call and 0 for a put.
    """
    third_fridays = _third_fridays(dates[0], dates[-1])
    parts: list[dict[str, np.ndarray]] = []
    for row, day in enumerate(dates):
        ahead = third_fridays[third_fridays > day + 7 * DAY]
        expiries = ahead[[months - 1 for months in MONTHS]]
        strikes = np.unique(np.round(index[row] * np.array(MONEYNESS) / 5) * 5)
        days, strike, call = (
            grid.ravel() for grid in np.meshgrid((expiries - day) / DAY, strikes, np.array([1.0, 0.0]), indexing="ij")
        )
        rate = np.interp(days, [30, 91, 182], [yields[tenor][row] for tenor in ("1m", "3m", "6m")])
        sigma = np.maximum(volatility[row] * (1 - SKEW * np.log(strike / index[row])), 0.05)
        price, delta = black_scholes(index[row], strike, days / 365, rate, DIVIDEND_YIELD, sigma, call)
        parts.append(
            {
                "date": np.full(len(days), day),
                "days": days,
                "strike": strike,
                "call": call,
                "price": np.round(price, 2),
                "implied_volatility": np.round(sigma, 6),
                "delta": np.round(delta, 4),
                "underlying": np.full(len(days), index[row]),
                "rate": np.round(rate, 6),
            }
        )
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Bars(whole.pop("date").astype("datetime64[us]"), whole)


def black_scholes(
    index: float,
    strike: np.ndarray,
    years: np.ndarray,
    rate: np.ndarray,
    dividend_yield: float,
    sigma: np.ndarray,
    call: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Price and delta. call: 1 for a call, 0 for a put. Source: Merton (1973), "Theory of Rational Option Pricing"."""
    root = sigma * np.sqrt(years)
    d1 = (np.log(index / strike) + (rate - dividend_yield + sigma**2 / 2) * years) / root
    sign = np.where(call == 1, 1.0, -1.0)
    near, far = _normal(sign * d1), _normal(sign * (d1 - root))
    carried, paid = index * np.exp(-dividend_yield * years), strike * np.exp(-rate * years)
    return sign * (carried * near - paid * far), sign * np.exp(-dividend_yield * years) * near


def _normal(values: np.ndarray) -> np.ndarray:
    """The cumulative normal distribution, by the C library's error function."""
    return np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in values])


def _third_fridays(first: np.datetime64, last: np.datetime64) -> np.ndarray:
    months = np.arange(first.astype("datetime64[M]"), last.astype("datetime64[M]") + 8)
    starts = months.astype("datetime64[D]")
    return starts + ((4 - (starts.astype(int) + 3)) % 7 + 14) * DAY
