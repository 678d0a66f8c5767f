"""What would this strategy have earned? backtest() runs a Strategy, ours or backtesting.py's, shows the result and
records it.

On the site the run's claim (fills, equity, rules) leaves the box, is replayed over the site's own bars, and
every figure on the page is computed from that replay. On a laptop the same figures are printed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from qfp import checking, metrics, replay, results
from qfp.conventions import BacktestingPy, Usual
from qfp.moments import dates_of
from qfp.results import Result, digest, simple

if TYPE_CHECKING:
    import pandas as pd

    from qfp.backtesting.running import Backtest, Run, Stats

__all__ = ["backtest", "BacktestResult", "as_ohlc", "conventions_of"]

Commission = float | tuple[float, float] | Callable[[float, float], float]

PRICES = ("Open", "High", "Low", "Close")
ORDER_COLUMNS = ["bar", "size", "kind", "limit", "stop", "sl", "tp", "closes", "outcome", "reason"]
MAX_REFUSED_LISTED = 200
MAX_FILLS_LISTED = MAX_ORDERS_LISTED = 100_000


def backtest(
    strategy: type,
    bars: pd.DataFrame,
    cash: float = 10_000,
    commission: Commission = 0.001,
    spread: float = 0.0,
    margin: float = 1.0,
    trade_on_close: bool = False,
    hedging: bool = False,
    exclusive_orders: bool = False,
    finalize_trades: bool = True,
    rules: str = "qfp",
    name: str = "",
    **params: Any,
) -> BacktestResult:
    """Run a strategy over bars, print the rules it was run by, and show equity, drawdown, trades and figures.

    strategy: a class that derives from qfp.backtesting.Strategy or backtesting.Strategy.
    bars: what data.prices() gives, or any DataFrame indexed by time with open, high, low, close and, if
      wanted, volume (upper or lower case). Only untouched bars of the site can be verified; others are
      run and marked as not verified.
    cash: what the account begins with.
    commission: fraction of the traded value per fill, (fixed amount, fraction), or a function of size and
      price.
    spread: fraction of the price, paid on entry. margin: required share of a position's value; 0.5 is
      leverage of 2.
    trade_on_close: fill market orders at the close that decides, instead of the next open.
    hedging, exclusive_orders: as in backtesting.py. finalize_trades: close what is open on the last bar.
    rules: "qfp", or "backtesting.py" for every habit of that library; docs/fills.md has the differences.
    name: what the result is called, unless the strategy has a parameter of that name.
    params: values for the strategy's class attributes, such as lookback=60.

    Returns a BacktestResult. Raises TypeError or ValueError, with what to change, for a class, bars or
    values that cannot be run. Refused orders and a run without trades are said in a sentence, never an error.
    """
    from qfp import backtesting

    if rules not in ("qfp", "backtesting.py"):
        raise ValueError(f'rules is "qfp" or "backtesting.py", not {rules!r}')
    if not backtesting.is_strategy(strategy):
        raise TypeError(
            "backtest() takes a class that derives from backtesting.Strategy or qfp.backtesting.Strategy, then the bars"
        )
    if name and hasattr(strategy, "name"):
        name, params = "", {**params, "name": name}
    frame = as_ohlc(bars)
    options: dict[str, Any] = {
        "cash": cash,
        "commission": commission,
        "spread": spread,
        "margin": margin,
        "trade_on_close": trade_on_close,
        "hedging": hedging,
        "exclusive_orders": exclusive_orders,
        "finalize_trades": finalize_trades,
        "rules": backtesting.USUAL if rules == "qfp" else backtesting.COMPATIBLE,
    }
    conventions = conventions_of({**options, "rules": rules})
    if results.instead is not None:
        results.instead(strategy, bars, {**options, "rules": rules}, params)
    before = checking.begin(strategy)
    test = backtesting.Backtest(frame, strategy, **options)
    run = test.run_once(params, whole=True)
    result = BacktestResult(name or strategy.__name__, bars, test, run, conventions, params)
    result._announce()
    if before is not None:
        result.checks = checking.look(strategy, frame, options, params, before, result.claim)
    return result


def conventions_of(options: Mapping[str, Any]) -> BacktestingPy:
    """The rules that these options of backtest() mean; what is left out is as usual there."""
    given = {"commission": 0.001, "spread": 0.0, "margin": 1.0, "finalize_trades": True, **options}
    commission = given["commission"]
    return (Usual if given.get("rules", "qfp") == "qfp" else BacktestingPy)(
        commission=None if callable(commission) else commission,
        spread=float(given["spread"]),
        margin=float(given["margin"]),
        trade_on_close=bool(given.get("trade_on_close")),
        hedging=bool(given.get("hedging")),
        exclusive_orders=bool(given.get("exclusive_orders")),
        finalize_trades=bool(given["finalize_trades"]),
    )


class BacktestResult(Result):
    """What came out of a backtest.

    metrics: figures by name, computed by qfp.metrics; NaN where a figure is not defined.
    equity: Series of the account's value at each bar's close. trades, fills, orders: DataFrames, oldest first; orders
      are what was decided, by the bar that decided, with what became of them.
    conventions: the rules it was run by. refused_orders: orders the account could not pay for, by bar.
    stats: the figures by backtesting.py's definitions (its Sharpe ratio is geometric and differs from ours).
    claim: what was handed to the site.
    checks: what the look-ahead and the amnesia test found; docs/honesty.md has the answers they give.
    """

    checks: dict[str, Any]

    def __init__(
        self,
        strategy: str,
        bars: pd.DataFrame,
        test: Backtest,
        run: Run,
        conventions: BacktestingPy,
        params: dict[str, Any],
    ) -> None:
        import pandas as pd

        import qfp

        self.strategy = strategy
        self.conventions, self.params = conventions, params
        self._test, self._run = test, run
        self.checks = {}
        frame, booked, cash = run.frame, run.account.fills, run.cash
        self.refused_orders = [{"bar": bar, "reason": reason} for bar, _, reason in run.account.refused]
        decisions, taken_away = run.told()
        index = frame.index
        # By bar: with fills at the deciding close, a stop of the next bar may be booked before them.
        columns = zip(booked.bars, booked.sizes, booked.prices, booked.commissions, strict=True)
        fills = [
            {"bar": bar, "size": size, "price": price, "commission": paid}
            for bar, size, price, paid in sorted(columns, key=lambda fill: fill[0])
        ]
        closes = frame["Close"].to_numpy(dtype=float)
        account = replay.replay(fills, closes, cash)
        # As the site has it, to the last digit: figures count what is above 0. With fills at the deciding close, a fill
        # counts in the run's equity one bar after the bar it is dated to; the replay books it where it is dated.
        equity = account.equity
        at = np.array([fill["bar"] for fill in fills], dtype=int)
        self.equity = pd.Series(equity, index=index, name="equity")
        self.fills = pd.DataFrame(fills, columns=["bar", "size", "price", "commission"])
        self.fills.insert(0, "date", index[at])
        names = [
            "entry_bar",
            "exit_bar",
            "size",
            "entry_price",
            "exit_price",
            "commission",
            "profit",
            "return_fraction",
        ]
        self.trades = pd.DataFrame(account.trades, columns=names)
        self.trades.insert(0, "entry_date", index[self.trades["entry_bar"].to_numpy(int)])
        self.orders = pd.DataFrame(decisions, columns=ORDER_COLUMNS)
        self.orders.insert(0, "date", index[self.orders["bar"].to_numpy(int)])
        self.trades.insert(1, "exit_date", index[self.trades["exit_bar"].to_numpy(int)])
        self.metrics = metrics.summary(
            equity,
            account.positions,
            account.traded_value,
            account.commissions,
            account.trades,
            metrics.periods_per_year(index),
            cash * closes / closes[0],
        )
        dates = dates_of(index)
        about = getattr(bars, "attrs", {}) or {}
        self.claim: dict[str, Any] = {
            "version": 2,
            "engine": {"name": "qfp", "version": qfp.__version__},
            "strategy": self.strategy,
            "params": {name: simple(value) for name, value in params.items()},
            "instruments": [
                {
                    "symbol": about.get("symbol") or "bars of the program",
                    "series": about.get("series"),
                    "object": about.get("object"),
                    "adjust": about.get("adjust"),
                }
            ],
            "snapshot": about.get("snapshot"),
            "period": {"start": dates[0], "end": dates[-1]},
            "cash": cash,
            "conventions": conventions.as_dict(),
            "dates": dates,
            "digest": digest(frame["Close"].to_numpy()),
            "equity": [float(value) for value in equity],
            "fills": fills[:MAX_FILLS_LISTED],
            "fill_count": len(fills),
            "flows": [],
            "orders": decisions[:MAX_ORDERS_LISTED],
            "order_count": len(decisions),
            "taken_away": [each for each in taken_away if each[1] <= MAX_ORDERS_LISTED][:MAX_ORDERS_LISTED],
            "trades": account.trades,
            "refused_orders": self.refused_orders[:MAX_REFUSED_LISTED],
            "no_trades": self._run.why_no_trades()[:300],
        }

    @cached_property
    def stats(self) -> Stats:
        return self._test.report(self._run)

    def notes(self) -> list[str]:
        """What should not be overlooked, a sentence each: refused orders, and why there were no trades."""
        return self._run.notes()


def as_ohlc(bars: pd.DataFrame) -> pd.DataFrame:
    """Bars with the column names that backtesting.py reads; a new frame, the caller's stays as it is."""
    import pandas as pd

    if not isinstance(bars, pd.DataFrame):
        raise TypeError('the bars are a DataFrame, such as data.prices("AAPL")')
    frame = bars.rename(columns={name: str(name).title() for name in bars.columns})
    missing = [name.lower() for name in PRICES if name not in frame.columns]
    if missing:
        raise ValueError(
            f"the bars have no column {' and no '.join(missing)}; backtest() needs open, high, low and close"
        )
    if frame.empty:
        raise ValueError("there are no bars: the frame is empty")
    if frame[list(PRICES)].isna().to_numpy().any():
        raise ValueError("some prices are missing (NaN); drop those bars first, for example with bars.dropna()")
    return frame
