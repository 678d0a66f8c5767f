"""What do strategies borrow? Crossings, resampling, ready-made bases to extend, and backtests over several data sets.

The names of backtesting.lib, with the same answers except where docs/fills.md says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from qfp.backtesting.lines import PRICES, Line, capitalised
from qfp.backtesting.running import Backtest, Stats
from qfp.backtesting.statistics import Figures, TradeColumns, equity_table
from qfp.backtesting.strategy import Strategy, _short, prepared

__all__ = [
    "OHLCV_AGG",
    "TRADES_AGG",
    "FractionalBacktest",
    "MultiBacktest",
    "SignalStrategy",
    "TrailingStrategy",
    "barssince",
    "compute_stats",
    "cross",
    "crossover",
    "plot_heatmaps",
    "quantile",
    "random_ohlc_data",
    "resample_apply",
]

# How columns are joined when bars, or trades, are resampled: df.resample("W").agg(OHLCV_AGG).
OHLCV_AGG = {"Open": "first", "High": "max", "Low": "min", "Close": "last", "Volume": "sum"}
TRADES_AGG = {
    "Size": "sum",
    "EntryBar": "first",
    "ExitBar": "last",
    "EntryPrice": "mean",
    "ExitPrice": "mean",
    "PnL": "sum",
    "ReturnPct": "mean",
    "EntryTime": "first",
    "ExitTime": "last",
    "Duration": "sum",
}


def crossover(series1: Any, series2: Any) -> bool:
    """Whether series1 was below series2 on the bar before and is above it now. Each may be a number."""
    if isinstance(series1, Line) and isinstance(series2, Line):
        try:
            return bool(series1[-2] < series2[-2] and series1[-1] > series2[-1])
        except IndexError:
            return False
    return _crossed_over(series1, series2)


def _crossed_over(series1: Any, series2: Any) -> bool:
    (before1, now1), (before2, now2) = _last_two(series1), _last_two(series2)
    return bool(before1 < before2 and now1 > now2)


def _last_two(series: Any) -> tuple[Any, Any]:
    if isinstance(series, pd.Series):
        series = series.to_numpy()
    if np.ndim(series) == 0:
        return series, series
    return (series[-2], series[-1]) if len(series) > 1 else (math.nan, math.nan)


def cross(series1: Any, series2: Any) -> bool:
    """Whether one crossed the other between the bar before and now, either way."""
    return crossover(series1, series2) or crossover(series2, series1)


def barssince(condition: Sequence[bool], default: float = math.inf) -> float:
    """How many bars ago the condition was last true: 0 for now; default if it never was."""
    true = np.flatnonzero(np.asarray(condition))
    return len(condition) - 1 - int(true[-1]) if len(true) else default


def quantile(series: Sequence[float], quantile: float | None = None) -> float:
    """The quantile of a series; without one, the share of earlier values that are below the last."""
    values = np.asarray(series, dtype=float)
    if quantile is None:
        return float(np.mean(values[:-1] < values[-1])) if len(values) > 1 else math.nan
    return float(np.nanpercentile(values, quantile * 100))


def resample_apply(
    rule: str, func: Callable[..., Any] | None, series: Any, *args: Any, agg: Any = None, **kwargs: Any
) -> Any:
    """An indicator on bars of a longer period, brought back to the bars of the strategy.

    rule: a period of pandas, such as "W-FRI". func: called with the resampled series and args; None takes it as it
      is. series: Line, Series or DataFrame. agg: how values are joined; the last one, or OHLCV_AGG by column.
    A period's value is seen from the bar that ends it: at its label, and never before the last bar in it. Within
    Strategy.init() the answer is an indicator (self.I), elsewhere a Series or DataFrame.
    """
    if isinstance(series, Line):
        series = series.df if series.ndim > 1 else series.s
    elif not isinstance(series, (pd.Series, pd.DataFrame)):
        raise TypeError("resample_apply() takes a column of self.data, a Series or a DataFrame")
    if agg is None:
        if isinstance(series, pd.DataFrame):
            agg = {column: OHLCV_AGG.get(column, "last") for column in series.columns}
        else:
            agg = OHLCV_AGG.get(str(series.name), "last")
    about = f"{_short(series)}[{rule}]"
    groups = series.resample(rule, label="right")
    resampled = groups.agg(agg).dropna()
    if isinstance(resampled, pd.Series):
        resampled.name = about
    ends = pd.Series(series.index, index=series.index).resample(rule, label="right").last().reindex(resampled.index)
    known_from = pd.DatetimeIndex(np.maximum(ends.array, resampled.index.array))

    def compute(*_: Any) -> Any:
        found = resampled if func is None else func(resampled, *args, **kwargs)
        if not isinstance(found, (pd.Series, pd.DataFrame)):
            values = np.asarray(found)
            found = (
                pd.Series(values, name=about)
                if values.ndim == 1
                else pd.DataFrame(values.T if values.shape[0] != len(resampled) else values)
            )
        if len(found) != len(resampled):
            raise ValueError(f"{func} returned {len(found)} values for {len(resampled)} periods of {rule}")
        found = found.set_axis(known_from)
        every = series.index.union(found.index)
        return found.reindex(every, method="ffill").reindex(series.index)

    strategy = prepared()
    if strategy is None:
        return compute()
    inputs = ",".join(filter(None, [about, *map(_short, [*args, *kwargs.values()])]))
    label = about if func is None else f"{_short(func)}({inputs})"
    values = compute()
    return strategy.I(lambda: values.to_numpy().T if values.ndim > 1 else values.to_numpy(), name=label)


def random_ohlc_data(
    example_data: pd.DataFrame, *, frac: float = 1.0, random_state: int | None = None
) -> Iterator[pd.DataFrame]:
    """Endless random bars: those of the example drawn in another order, and joined by its gaps in another order.

    frac: how many bars, as a fraction of the example's; above 1 some are drawn more than once.
    """
    missing = [name for name in PRICES if name not in example_data.columns]
    if missing:
        raise ValueError(f"example_data has no column {', '.join(missing)}")
    random = np.random.default_rng(random_state)
    count = int(len(example_data) * frac)
    again = frac > 1
    logs = np.log(example_data[list(PRICES)].to_numpy(dtype=float))
    within = logs - logs[:, :1]  # Open, High, Low and Close over the open
    gaps = np.append(logs[1:, 0] - logs[:-1, 3], 0.0)
    while True:
        bars = random.choice(len(logs), size=count, replace=again)
        jumps = gaps[random.choice(len(logs), size=count, replace=again)]
        closes = np.cumsum(within[bars, 3] + np.append(0.0, jumps[:-1]))
        opens = logs[0, 0] + closes - within[bars, 3]
        frame = pd.DataFrame(np.exp(opens[:, None] + within[bars]), columns=list(PRICES))
        for name in example_data.columns.difference(PRICES, sort=False):
            frame[name] = example_data[name].to_numpy()[bars]
        frame.index = example_data.index[:count] if count <= len(example_data) else pd.RangeIndex(count)
        yield frame[[name for name in example_data.columns if name in frame]]


def compute_stats(
    *, stats: pd.Series, data: pd.DataFrame, trades: pd.DataFrame | None = None, risk_free_rate: float = 0.0
) -> pd.Series:
    """The figures of a result anew, for some of its trades (long ones, say) or another risk-free rate a year.

    trades: rows of stats["_trades"]. Equity is then cash plus the profits of these, each from its exit on.
    """
    equity = stats["_equity_curve"]["Equity"].to_numpy(dtype=float, copy=True)
    if trades is None:
        trades = stats["_trades"]
    else:
        equity[:] = equity[0]
        gained = np.zeros(len(equity))
        np.add.at(gained, trades["ExitBar"].to_numpy(dtype=int), trades["PnL"].to_numpy(dtype=float))
        equity += np.cumsum(gained)
    columns = TradeColumns(*(trades[name] for name in ("EntryBar", "ExitBar", "Commission", "PnL", "ReturnPct")))
    warm_up = stats._run.warm_up if isinstance(stats, Stats) else 0
    figures = Figures(data.index, data["Close"].to_numpy(dtype=float), equity, columns, warm_up, risk_free_rate)
    found = figures.all()
    found["_strategy"], found["_equity_curve"] = stats["_strategy"], equity_table(data.index, equity)
    found["_trades"] = trades
    return pd.Series(found, dtype=object)


class SignalStrategy(Strategy):
    """A base for rules that are known as arrays: call set_signal() in init()."""

    _entries: Any = (0,)
    _exits: Any = (0,)

    def set_signal(
        self, entry_size: Sequence[float], exit_portion: Sequence[float] | None = None, *, plot: bool = True
    ) -> None:
        """entry_size: per bar, what to buy (negative: sell), a fraction or units; 0 for nothing.

        exit_portion: per bar, which share of long trades to close (negative: of short ones).
        """
        self._entries = self.I(
            lambda: pd.Series(entry_size, dtype=float).replace(0, np.nan).to_numpy(),
            name="entry size",
            plot=plot,
            overlay=False,
            scatter=True,
        )
        if exit_portion is not None:
            self._exits = self.I(
                lambda: pd.Series(exit_portion, dtype=float).replace(0, np.nan).to_numpy(),
                name="exit portion",
                plot=plot,
                overlay=False,
                scatter=True,
            )

    def next(self) -> None:
        super().next()  # type: ignore[safe-super]
        closing = self._exits[-1]
        if closing > 0:
            for trade in self.trades:
                if trade.is_long:
                    trade.close(closing)
        elif closing < 0:
            for trade in self.trades:
                if trade.is_short:
                    trade.close(-closing)
        size = self._entries[-1]
        if size > 0:
            self.buy(size=size)
        elif size < 0:
            self.sell(size=-size)


class TrailingStrategy(Strategy):
    """A base whose trades carry a stop-loss that follows the price and never moves back.

    Call super().init() and super().next(), and one of set_trailing_sl() and set_trailing_pct().
    """

    _distance: Any = None
    _atr_multiple = 6.0
    _fraction: float | None = None

    def init(self) -> None:
        super().init()  # type: ignore[safe-super]
        self.set_atr_periods()

    def set_atr_periods(self, periods: int = 100) -> None:
        """Over how many bars the average true range is taken; while there are fewer, over those there are."""
        high, low, close = (np.asarray(self.data[name], dtype=float) for name in ("High", "Low", "Close"))
        before = np.append(close[:1], close[:-1])
        true_range = np.maximum(high - low, np.maximum(np.abs(before - high), np.abs(before - low)))
        self._distance = self._clock.follow(
            pd.Series(true_range).rolling(periods, min_periods=1).mean().to_numpy(), "ATR"
        )

    def set_trailing_sl(self, n_atr: float = 6) -> None:
        """The stop stands n_atr average true ranges from the close."""
        self._atr_multiple, self._fraction = n_atr, None

    def set_trailing_pct(self, pct: float = 0.05) -> None:
        """The stop stands this fraction of the price from the close."""
        if not 0 < pct < 1:
            raise ValueError("pct is a fraction above 0 and below 1, such as 0.05")
        self._fraction = pct

    def next(self) -> None:
        super().next()  # type: ignore[safe-super]
        close = self.data.Close[-1]
        away = close * self._fraction if self._fraction else self._distance[-1] * self._atr_multiple
        for trade in self.trades:
            if trade.is_long:
                trade.sl = max(trade.sl or -math.inf, close - away) if close > away else trade.sl
            else:
                trade.sl = min(trade.sl or math.inf, close + away)


class FractionalBacktest(Backtest):
    """A Backtest that trades fractions of a unit, for prices above what the account could pay for one.

    fractional_unit: the smallest fraction that is traded; the default is a satoshi, 1e-8 of a bitcoin. The strategy
    sees prices of that fraction (the price times fractional_unit); the results are in whole units again.
    """

    def __init__(self, data: pd.DataFrame, *args: Any, fractional_unit: float = 1 / 100e6, **kwargs: Any) -> None:
        if not 0 < fractional_unit <= 1:
            raise ValueError("fractional_unit is a fraction above 0 and up to 1")
        self._unit = fractional_unit
        scaled = capitalised(data).copy(deep=False)
        for name in PRICES:
            if name in scaled.columns:
                scaled[name] = scaled[name] * fractional_unit
        if "Volume" in scaled.columns:
            scaled["Volume"] = scaled["Volume"] / fractional_unit
        super().__init__(scaled, *args, **kwargs)

    def run(self, **params: Any) -> Stats:
        """Run it; sizes and prices of the trades are those of whole units."""
        stats = super().run(**params)
        trades = stats["_trades"]
        trades["Size"] = trades["Size"] * self._unit
        for name in ("EntryPrice", "ExitPrice", "SL", "TP"):
            trades[name] = trades[name].astype(float) / self._unit
        closes = self._prices[3]
        for indicator in stats["_strategy"]._indicators:
            values = np.asarray(indicator)
            overlay = indicator.options.get("overlay")
            if overlay is None and values.dtype.kind == "f":  # of the size of the prices: drawn over them
                overlay = np.mean((values > 0.6 * closes) & (values < 1.4 * closes)) > 0.6
            if overlay:
                values /= self._unit
        return stats


class MultiBacktest:
    """One strategy over several data sets; kwargs are those of Backtest."""

    def __init__(self, df_list: Sequence[pd.DataFrame], strategy_cls: type, **kwargs: Any) -> None:
        self._backtests = [Backtest(data, strategy_cls, **kwargs) for data in df_list]

    def run(self, **kwargs: Any) -> pd.DataFrame:
        """The figures, one column per data set."""
        found = [backtest.run(**kwargs) for backtest in self._backtests]
        return pd.DataFrame(
            {
                number: {label: value for label, value in stats.items() if not str(label).startswith("_")}
                for number, stats in enumerate(found)
            }
        )

    def optimize(self, **kwargs: Any) -> pd.DataFrame:
        """The heat maps, one column per data set; kwargs are those of Backtest.optimize()."""
        kwargs["return_heatmap"] = True
        return pd.DataFrame({number: one.optimize(**kwargs)[1] for number, one in enumerate(self._backtests)})


def plot_heatmaps(heatmap: pd.Series, agg: str | Callable[[Any], Any] = "max", **_: Any) -> list[Any]:
    """Show what optimize(return_heatmap=True) found as charts, one per pair of parameters, and return them.

    agg: how the values over the remaining parameters are joined.
    """
    from qfp import output

    if not isinstance(heatmap, pd.Series) or heatmap.index.nlevels < 2:
        raise ValueError(
            "plot_heatmaps() takes the heat map of optimize(return_heatmap=True) over two parameters or more"
        )
    charts = []
    for across, up in combinations(heatmap.index.names, 2):
        grid = heatmap.groupby([up, across]).agg(agg).unstack()
        chart = output.Chart(
            [
                {
                    "type": "heatmap",
                    "x": [str(value) for value in grid.columns],
                    "y": [str(value) for value in grid.index],
                    "z": [[None if math.isnan(value) else value for value in row] for row in grid.to_numpy()],
                }
            ],
            {
                "title": {"text": f"{heatmap.name} ({agg if isinstance(agg, str) else 'joined'})"},
                "xaxis": {"title": {"text": str(across)}},
                "yaxis": {"title": {"text": str(up)}},
            },
        )
        chart.show()
        charts.append(chart)
    return charts
