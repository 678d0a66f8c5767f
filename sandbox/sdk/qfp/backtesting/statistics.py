"""Which figures does a finished run have? The table backtesting.py prints, with its labels and definitions.

Computed over whole arrays, group by group, so that a search for the best parameters pays for the one figure it needs.
The site's own figures, with other definitions in places (an arithmetic Sharpe ratio, for one), are in qfp.metrics.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from qfp.backtesting.core import Account
from qfp.backtesting.curves import Curve
from qfp.backtesting.walkers import WALKERS

if TYPE_CHECKING:
    import pandas as pd

    from qfp.backtesting.lines import Line

__all__ = ["Calendar", "Figures", "TradeColumns", "equity_table", "trades_table"]

NAN, LARGEST = math.nan, sys.float_info.max


class TradeColumns:
    """Closed trades in columns: entry and exit bars, commissions and profits in currency, returns as fractions."""

    def __init__(self, entry_bars: Any, exit_bars: Any, commissions: Any, profits: Any, returns: Any) -> None:
        self.entry_bars, self.exit_bars = np.asarray(entry_bars, dtype=int), np.asarray(exit_bars, dtype=int)
        self.commissions, self.profits = np.asarray(commissions, dtype=float), np.asarray(profits, dtype=float)
        self.returns = np.asarray(returns, dtype=float)
        self.columns: Callable[[], dict[str, Any]] = dict  # what else an account knows of them
        self.extras: Callable[[], dict[str, Any]] = dict

    def __len__(self) -> int:
        return len(self.entry_bars)

    @classmethod
    def of(cls, account: Account) -> TradeColumns:
        """The columns of an account's closed trades."""
        found = cls(*account.closed_figures())
        found.columns, found.extras = account.closed_columns, account.closed_extras
        return found


def below_peak(equity: np.ndarray) -> np.ndarray:
    """How far each value is below the highest so far, as a fraction."""
    found = np.maximum.accumulate(equity)
    np.divide(equity, found, out=found)
    return np.subtract(1, found, out=found)


def drawdown_spans(drawdown: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(begin, end, depth) of every drawdown: the bar of the peak, the bar of recovery or the last one, the deepest.

    drawdown: fractions >= 0 below the highest value so far, one per bar.
    """
    at_peak = (drawdown == 0).nonzero()[0]
    if not len(at_peak) or at_peak[-1] != len(drawdown) - 1:
        at_peak = np.concatenate((at_peak, [len(drawdown) - 1]))
    fell = (at_peak[1:] - at_peak[:-1] > 1).nonzero()[0]
    begins, ends = at_peak[fell], at_peak[fell + 1]
    if not len(begins):
        return begins, ends, np.empty(0)
    # Pieces from each begin to its end, and from there to the next begin; every second one is wanted.
    edges = np.empty(2 * len(begins), dtype=begins.dtype)
    edges[::2], edges[1::2] = begins, ends
    pieces = np.maximum.reduceat(drawdown, edges)[::2]
    depths = np.maximum(pieces, drawdown[ends])
    return begins, ends, depths


def growth_mean(returns: np.ndarray) -> float:
    """Geometric mean of returns as fractions, missing ones as 0; 0 when one of them loses everything."""
    growth = np.where(np.isnan(returns), 0.0, returns) + 1
    if (growth <= 0).any():
        return 0.0
    return float(np.exp(np.log(growth).sum() / (len(growth) or NAN)) - 1)


class Calendar:
    """What the times of the bars say, found once for all runs over them."""

    def __init__(self, index: pd.Index) -> None:
        self.index = index
        self.dated = type(index).__name__ == "DatetimeIndex"

    @cached_property
    def period(self) -> Any:
        """The usual distance of two bars: the median of the last hundred distances."""
        import pandas as pd

        index: Any = self.index
        stamps = index.asi8[-100:]
        distances = np.sort(stamps[1:] - stamps[:-1])
        count = len(distances)
        return pd.Timedelta(int(distances[(count - 1) // 2 : count // 2 + 1].mean()), unit=index.unit)

    @cached_property
    def years(self) -> float:
        """From the first bar to the last, of 365.25 days."""
        duration = self.index[-1] - self.index[0]
        return float((duration.days + duration.seconds / 86400) / 365.25)

    @cached_property
    def periods(self) -> tuple[float, np.ndarray]:
        """(periods in a year, the last bar of each): days, weeks, months or years, by the distance of the bars."""
        index: Any = self.index
        distance = self.period.days
        local = index if index.tz is None else index.tz_localize(None)
        if distance in (31, 365):
            unit = "datetime64[M]" if distance == 31 else "datetime64[Y]"
            a_year, period = (12 if distance == 31 else 1), local.to_numpy().astype(unit).astype(np.int64)
            return a_year, _ends(period)
        ends, days = _days(local.asi8, _A_DAY[local.unit])
        if distance == 7:
            return 52, ends[_ends((days + 3) // 7)]  # weeks end on Sundays
        weekend = (days + 3) % 7 >= 5
        bars = _steps(ends)  # in each day
        return 365 if bars[weekend].sum() / len(local) > 2 / 7 * 0.6 else 252, ends


class Figures:
    """The figures of one run.

    equity, closes: one per bar. warm_up: bars before the indicators had values. risk_free_rate: per year.
    """

    def __init__(
        self,
        index: pd.Index,
        closes: np.ndarray,
        equity: np.ndarray | Curve,
        trades: TradeColumns,
        warm_up: int,
        risk_free_rate: float = 0.0,
        calendar: Calendar | None = None,
    ) -> None:
        self.calendar = calendar or Calendar(index)
        self.index, self.closes, self.trades = index, closes, trades
        self.curve = equity if isinstance(equity, Curve) else Curve(equity)
        self.warm_up, self.risk_free_rate = warm_up, risk_free_rate
        self.dated = self.calendar.dated
        self._groups: dict[str, dict[str, Any]] = {}
        self._walkers: dict[str, Any] = {}

    def all(self) -> dict[str, Any]:
        """Every figure, by label, in the order they are printed."""
        found: dict[str, Any] = {}
        self._walked(*WALKERS)
        for group in ("head", "equity", "years", "market", "drawdowns", "recoveries", "trades", "holding"):
            found |= self._group(group)
        if not self.dated:
            del found["CAGR [%]"]
        return {label: found[label] for label in LABELS if label in found}

    def one(self, label: str) -> Any:
        """One figure, computing as little as it needs. Raises KeyError for a label there is not."""
        if label not in _GROUP_OF:
            raise KeyError(f"there is no figure {label!r}; there are {', '.join(LABELS)}")
        return self._group(_GROUP_OF[label])[label]

    def _group(self, name: str) -> dict[str, Any]:
        if name not in self._groups:
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                self._groups[name] = getattr(self, f"_{name}")()
        return self._groups[name]

    def _head(self) -> dict[str, Any]:
        begin, end = self.index[0], self.index[-1]
        return {
            "Start": begin,
            "End": end,
            "Duration": end - begin,
            "Exposure Time [%]": self._bars_held() / len(self.curve) * 100,
        }

    def _bars_held(self) -> int:
        """Bars on which a trade was open, its first and last included."""
        entries, exits = self.trades.entry_bars, self.trades.exit_bars
        if (entries[1:] < entries[:-1]).any():
            order = np.argsort(entries, kind="stable")
            entries, exits = entries[order], exits[order]
        exits, before = np.maximum.accumulate(exits), entries - 1
        np.maximum(before[1:], exits[:-1], out=before[1:])
        held = np.subtract(exits, before, out=before)
        return int(np.maximum(held, 0, out=held).sum())

    def _equity(self) -> dict[str, Any]:
        closes, (begun, ended) = self.closes, self.curve.ends
        paid = self.trades.commissions.sum()
        first = closes[min(self.warm_up, len(closes) - 1)]
        found = {
            "Equity Final [$]": ended,
            "Equity Peak [$]": self._walked("drawdowns").peak(),
            "Commissions [$]": float(paid),
            "Return [%]": float((np.float64(ended) - begun) / begun * 100),
            "Buy & Hold Return [%]": float((closes[-1] - first) / first * 100),
        }
        if not paid:
            del found["Commissions [$]"]
        return found

    def _years(self) -> dict[str, Any]:
        rate, (begun, ended) = self.risk_free_rate, self.curve.ends
        days_a_year, returns, mean = NAN, np.array([NAN]), 0.0
        cagr = NAN
        if self.dated and len(self.index) > 1:
            days_a_year, last_of_period = self.calendar.periods
            ends = self.curve.at(last_of_period)
            returns = ends[1:] / ends[:-1] - 1
            mean = growth_mean(returns)
            years = self.calendar.years
            cagr = float(((np.float64(ended) / begun) ** (1 / years) - 1) * 100) if years else NAN
        known = returns[~np.isnan(returns)]
        # NumPy's numbers: what is out of range becomes infinite instead of an error.
        growth, variance = np.float64(1 + mean), np.float64(known.var(ddof=1) if len(known) > 1 else NAN)
        yearly = float(growth**days_a_year - 1)
        volatility = float(np.sqrt((variance + growth**2) ** days_a_year - growth ** (2 * days_a_year)))
        downside = math.sqrt(float((np.minimum(known, 0) ** 2).mean())) if len(known) else NAN
        found: dict[str, Any] = {
            "Return (Ann.) [%]": yearly * 100,
            "Volatility (Ann.) [%]": volatility * 100,
            "CAGR [%]": cagr,
            "Sharpe Ratio": _ratio(yearly * 100 - rate * 100, volatility * 100),
            "Sortino Ratio": float(np.float64(yearly - rate) / (downside * math.sqrt(days_a_year))),
            "Calmar Ratio": _ratio(yearly, -self._group("drawdowns")["Max. Drawdown [%]"] / 100),
        }
        return found

    def _market(self) -> dict[str, Any]:
        beta, rate = self._walked("slope").found(), self.risk_free_rate * 100
        total = self._group("equity")
        alpha = total["Return [%]"] - rate - beta * (total["Buy & Hold Return [%]"] - rate)
        return {"Alpha [%]": alpha, "Beta": beta}

    @cached_property
    def drawdown(self) -> np.ndarray:
        """Fractions below the highest value so far, by bar."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return below_peak(self.curve.whole)

    def _walked(self, *names: str) -> Any:
        """What looks at every bar, after it has: one walk over the curve for as many as are asked for."""
        left = {name: WALKERS[name](self.curve, self.closes) for name in names if name not in self._walkers}
        if left:
            with np.errstate(divide="ignore", invalid="ignore"):
                for first, piece in self.curve.pieces(more=1):
                    for walker in left.values():
                        walker.see(first, piece)
        self._walkers |= left
        return self._walkers[names[0]]

    @cached_property
    def _underwater(self) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], float]:
        """(spans, the deepest of all bars); in one pass that writes nothing by bar, where machine code is there."""
        return self._walked("drawdowns").found() or (
            drawdown_spans(self.drawdown),
            _finite(float(self.drawdown.max())),
        )

    @property
    def spans(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See drawdown_spans()."""
        return self._underwater[0]

    def _drawdowns(self) -> dict[str, Any]:
        (_, _, depths), deepest = self._underwater
        return {
            "Max. Drawdown [%]": -deepest * 100,
            "Avg. Drawdown [%]": -float(depths.mean()) * 100 if len(depths) else NAN,
        }

    def _recoveries(self) -> dict[str, Any]:
        begins, ends, _ = self.spans
        longest, usual = self._lengths(begins, ends) if len(begins) else (NAN, NAN)
        return {"Max. Drawdown Duration": longest, "Avg. Drawdown Duration": usual}

    def _holding(self) -> dict[str, Any]:
        begins, ends = self.trades.entry_bars, self.trades.exit_bars
        longest, usual = self._lengths(begins, ends) if len(begins) else (NAN, NAN)
        return {"Max. Trade Duration": longest, "Avg. Trade Duration": usual}

    def _trades(self) -> dict[str, Any]:
        trades = self.trades
        profits, returns, count = trades.profits, trades.returns, len(trades)
        won, lost = profits[profits > 0], profits[profits < 0]
        share = float((profits > 0).mean()) if count else NAN
        deviation = float(profits.std(ddof=1)) if count > 1 else NAN
        found: dict[str, Any] = {
            "# Trades": count,
            "Win Rate [%]": share * 100,
            "Best Trade [%]": float(returns.max()) * 100 if count else NAN,
            "Worst Trade [%]": float(returns.min()) * 100 if count else NAN,
            "Avg. Trade [%]": growth_mean(returns) * 100 if count else NAN,
            "Profit Factor": _ratio(float(returns[returns > 0].sum()), abs(float(returns[returns < 0].sum()))),
            "Expectancy [%]": float(returns.mean()) * 100 if count else NAN,
            "SQN": math.sqrt(count) * _ratio(float(profits.mean()), deviation) if count else NAN,
            "Kelly Criterion": NAN,
        }
        if len(won) and len(lost):
            found["Kelly Criterion"] = share - (1 - share) / (float(won.mean()) / -float(lost.mean()))
        return found

    def _lengths(self, begins: np.ndarray, ends: np.ndarray) -> tuple[Any, Any]:
        """(longest, mean) distance of two bars: rounded up to the unit of the bars, days for daily ones; a number
        where bars have no dates.
        """
        if not self.dated:
            lengths = self.index.to_numpy()[ends] - self.index.to_numpy()[begins]
            return float(lengths.max()), float(lengths.mean())
        import pandas as pd

        index: Any = self.index
        stamps, unit = index.asi8, self.calendar.period.resolution_string
        lengths = stamps[ends] - stamps[begins]
        longest, usual = int(lengths.max()), int(lengths.mean())
        step = max(1, _A_DAY[index.unit] // _A_DAY[unit])  # as Timedelta.ceil(), which reads the unit as an offset
        return tuple(pd.Timedelta(-(-length // step) * step, unit=index.unit) for length in (longest, usual))


# How much of a unit makes a day.
_A_DAY = {"D": 1, "h": 24, "min": 1440, "s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


def _ends(periods: np.ndarray) -> np.ndarray:
    """The last place of every stretch of equal numbers."""
    return np.concatenate(((periods[1:] != periods[:-1]).nonzero()[0], [len(periods) - 1]))


def _steps(places: np.ndarray) -> np.ndarray:
    """How far each place is from the one before, the first from -1."""
    found = places.copy()
    found[1:] -= places[:-1]
    found[0] += 1
    return found


def _finite(value: float) -> float:
    """As np.nan_to_num(): 0 for what is missing, the largest number for what is infinite."""
    return 0.0 if math.isnan(value) else max(-LARGEST, min(value, LARGEST))


def _days(stamps: np.ndarray, a_day: int) -> tuple[np.ndarray, np.ndarray]:
    """(the last place of every day, its number since 1970) of times in order."""
    first, last = int(stamps[0]) // a_day, int(stamps[-1]) // a_day
    if last - first < len(stamps) // 8:  # looking up where days begin is less than dividing every time
        ends = np.searchsorted(stamps, np.arange(first + 1, last + 2) * a_day) - 1
        ends = ends[_steps(ends).nonzero()[0]]
    else:
        ends = _ends(stamps // a_day)
    return ends, stamps[ends] // a_day


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else NAN


LABELS = (
    "Start",
    "End",
    "Duration",
    "Exposure Time [%]",
    "Equity Final [$]",
    "Equity Peak [$]",
    "Commissions [$]",
    "Return [%]",
    "Buy & Hold Return [%]",
    "Return (Ann.) [%]",
    "Volatility (Ann.) [%]",
    "CAGR [%]",
    "Sharpe Ratio",
    "Sortino Ratio",
    "Calmar Ratio",
    "Alpha [%]",
    "Beta",
    "Max. Drawdown [%]",
    "Avg. Drawdown [%]",
    "Max. Drawdown Duration",
    "Avg. Drawdown Duration",
    "# Trades",
    "Win Rate [%]",
    "Best Trade [%]",
    "Worst Trade [%]",
    "Avg. Trade [%]",
    "Max. Trade Duration",
    "Avg. Trade Duration",
    "Profit Factor",
    "Expectancy [%]",
    "SQN",
    "Kelly Criterion",
)
_GROUP_OF = {
    label: group
    for group, first, last in (
        ("head", "Start", "Exposure Time [%]"),
        ("equity", "Equity Final [$]", "Buy & Hold Return [%]"),
        ("years", "Return (Ann.) [%]", "Calmar Ratio"),
        ("market", "Alpha [%]", "Beta"),
        ("drawdowns", "Max. Drawdown [%]", "Avg. Drawdown Duration"),
        ("trades", "# Trades", "Kelly Criterion"),
    )
    for label in LABELS[LABELS.index(first) : LABELS.index(last) + 1]
}
# Groups of their own: times are made of pandas objects, and few who ask for one figure ask for them.
_GROUP_OF |= {label: "recoveries" for label in LABELS if label.endswith("Drawdown Duration")}
_GROUP_OF |= {label: "holding" for label in LABELS if label.endswith("Trade Duration")}


def equity_table(index: pd.Index, equity: np.ndarray, figures: Figures | None = None) -> pd.DataFrame:
    """Equity, DrawdownPct and, where a drawdown ends, DrawdownDuration; by bar.

    figures: of this equity, where they are known.
    """
    import pandas as pd

    # Copies, where it is the run's own: who writes into the table changes no figure.
    drawdown = below_peak(equity) if figures is None else figures.drawdown.copy()
    begins, ends, _ = drawdown_spans(drawdown) if figures is None else figures.spans
    columns: dict[str, Any] = {"Equity": equity.copy(), "DrawdownPct": drawdown}
    if type(index).__name__ == "DatetimeIndex":
        stamps: Any = index
        lengths = np.full(len(index), np.iinfo(np.int64).min)  # how NumPy writes a missing duration
        lengths[ends] = stamps.asi8[ends] - stamps.asi8[begins]
        columns["DrawdownDuration"] = lengths.view(f"timedelta64[{stamps.unit}]")
    else:
        numbers = np.full(len(index), NAN)
        numbers[ends] = (index[ends] - index[begins]).to_numpy()
        columns["DrawdownDuration"] = numbers
    return pd.DataFrame(columns, index=index, copy=False)


def trades_table(index: pd.Index, known: TradeColumns, indicators: Sequence[Line]) -> pd.DataFrame:
    """One row per closed trade of an account, with every indicator's value at entry and exit."""
    import pandas as pd

    entries, exits, of_account = known.entry_bars, known.exit_bars, known.columns()
    sizes, extras = of_account["size"], known.extras()
    columns: dict[str, Any] = {
        "Size": sizes.astype(int),
        "EntryBar": entries.copy(),
        "ExitBar": exits.copy(),
        "EntryPrice": of_account["entry_price"],
        "ExitPrice": of_account["exit_price"],
        "SL": _prices(extras["sl"]),
        "TP": _prices(extras["tp"]),
        "PnL": known.profits.copy(),
        "Commission": known.commissions.copy(),
        "ReturnPct": known.returns.copy(),
        "EntryTime": index[entries],
        "ExitTime": index[exits],
    }
    columns["Duration"] = columns["ExitTime"] - columns["EntryTime"]
    columns["Tag"] = np.full(len(known), None) if extras["tags"] is None else extras["tags"]
    for indicator in indicators if len(known) else ():
        rows = np.atleast_2d(np.asarray(indicator))
        names = indicator.name if isinstance(indicator.name, list) else [indicator.name] * len(rows)
        for number, (name, values) in enumerate(zip(names, rows, strict=True)):
            suffix = f"_{number}" if len(rows) > 1 else ""
            columns[f"Entry_{name}{suffix}"] = values[entries]
            columns[f"Exit_{name}{suffix}"] = values[exits]
    return pd.DataFrame(columns, copy=False)


def _prices(values: np.ndarray) -> np.ndarray:
    """Prices of which some are missing; no numbers at all where all are."""
    return np.full(len(values), None) if np.isnan(values).all() else values
