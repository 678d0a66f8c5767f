"""What does a program do with backtesting.py itself? Every Backtest.run() is recorded, and what optimize() has chosen.

What the broker does is written down while it runs, by watching.py, because the library forgets most of it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any

from qfp import channel, checking, metrics, pointing, replay
from qfp.backtesting.lines import capitalised
from qfp.conventions import BacktestingPy, lines_of_parts
from qfp.copied import warned
from qfp.copied.recognising import Feed, about, days_of
from qfp.copied.recording import count, is_room
from qfp.copied.trials import record_scores
from qfp.copied.watching import Watched, watch, watched
from qfp.moments import dates_of, instants
from qfp.results import Result, digest, simple

__all__ = ["listen"]

PRICES = ("Open", "High", "Low", "Close")
MANY = 1_000  # combinations that take the library half a minute
BARS = "_qfp_bars"
MAX_ORDERS_LISTED = MAX_FILLS_LISTED = 100_000
NO_MONEY = "insufficient margin"

_quiet = 0


def _warm_up(strategy: Any, bars: int) -> int:
    """How many bars the library passes over before the first on which it fills and decides."""
    import backtesting.backtesting as library

    counted = getattr(library, "_indicator_warmup_nbars", None)
    return 0 if counted is None else min(int(counted(strategy)), bars - 1)


class _OriginalResult(Result):
    """A backtest of backtesting.py in the form of our own."""

    def __init__(self, test: Any, stats: Any) -> None:
        import backtesting
        import pandas as pd

        strategy = stats["_strategy"]
        broker, options = strategy._broker, _options(test)
        unit = _unit(test)
        frame = _traded(test)
        self.strategy = type(strategy).__name__
        self.params = dict(getattr(strategy, "_params", {}))
        self.conventions = _rules_of(options)
        cash = float(options["cash"])
        book, warm_up = watched(broker), _warm_up(strategy, len(frame))
        book.finish(broker.orders, warm_up)
        told = _fills(broker, book)
        self.fills = told if unit == 1 else [_in_whole_units(fill, unit) for fill in told]
        self.account = replay.replay(self.fills, frame["Close"].to_numpy(dtype=float), cash)
        # With fills at the deciding close, a fill counts in the equity one bar after the bar it is dated to.
        counted = stats["_equity_curve"]["Equity"].to_numpy(dtype=float, copy=True)
        counted[: warm_up + 1] = cash  # where the library repeats the first value after them
        equity = self.account.equity if options["trade_on_close"] else counted
        self.equity = pd.Series(equity, index=frame.index, name="equity")
        self.decided, taken_away = book.all_told()
        self.orders = self.decided if unit == 1 else [_in_whole_units(order, unit) for order in self.decided]
        prices = {name.lower(): frame[name].to_numpy(dtype=float) for name in PRICES}
        stamps = days_of(instants(frame.index).astype("datetime64[us]"))
        found = about(Feed(str((frame.attrs or {}).get("symbol") or "bars of the program"), stamps, prices))
        index = pd.DatetimeIndex(stamps) if found.get("series") and frame.index.tz is None else frame.index
        dates = dates_of(index)
        self.claim = {
            "version": 2,
            "engine": {"name": "backtesting.py", "version": str(backtesting.__version__)[:30]},
            "strategy": self.strategy[:120],
            "params": {str(key): simple(value) for key, value in self.params.items()},
            "instruments": [{key: found.get(key) for key in ("symbol", "series", "object", "adjust")}],
            "snapshot": found.get("snapshot"),
            "period": {"start": dates[0], "end": dates[-1]},
            "cash": cash,
            "conventions": self.conventions.as_dict(),
            "dates": dates,
            "digest": digest(prices["close"]),
            "equity": [float(value) for value in equity],
            "unit": unit,  # of which orders and fills are told, at prices of it
            "fills": told[:MAX_FILLS_LISTED],
            "fill_count": len(self.fills),
            "flows": [],
            "orders": self.decided[:MAX_ORDERS_LISTED],
            "order_count": len(self.orders),
            # The site asks to the last digit which levels were reached; bars that were rounded may say something else.
            "taken_away": _kept(taken_away) if found.get("exact", True) else None,
            "trades": [],
            "refused_orders": [],
        }
        self.metrics = metrics.summary(
            equity,
            self.account.positions,
            self.account.traded_value,
            self.account.commissions,
            self.account.trades,
            metrics.periods_per_year(frame.index),
        )

    def _rules_in_words(self) -> list[str]:
        lines, unit = super()._rules_in_words(), self.claim["unit"]
        return lines if unit == 1 else lines_of_parts(lines, unit)

    def notes(self) -> list[str]:
        refused = sum(order["outcome"] == "refused" for order in self.orders)
        if not refused:
            return []
        return [f"{'1 order was' if refused == 1 else f'{refused} orders were'} refused: {NO_MONEY}."]


def _unit(test: Any) -> float:
    """Of which sizes are: one but for a FractionalBacktest."""
    return float(getattr(test, "_fractional_unit", 1.0))


def _traded(test: Any) -> Any:
    """The bars at prices of whole units."""
    return test._data if _unit(test) == 1 else test.__dict__[BARS]


def _seen(test: Any) -> Any:
    """The bars at prices of what is traded."""
    if (unit := _unit(test)) == 1:
        return test._data
    bars = _traded(test)
    return bars.assign(Volume=bars["Volume"] / unit, **{name: bars[name] * unit for name in PRICES})


def _options(test: Any) -> dict[str, Any]:
    """What the Backtest was made with."""
    given = test._broker.keywords
    found = {name: given[name] for name in ("cash", "commission", "spread", "margin")}
    found |= {name: bool(given[name]) for name in ("trade_on_close", "hedging", "exclusive_orders")}
    return found | {"finalize_trades": bool(test._finalize_trades)}


def _in_whole_units(row: dict[str, Any], unit: float) -> dict[str, Any]:
    """An order or fill for parts of a unit, at prices of a part. Fractions of the account stay what they are."""
    names = ("price", "limit", "stop", "sl", "tp")
    prices: dict[str, Any] = {name: row[name] / unit for name in names if name in row}
    size = row["size"] * unit if abs(row["size"]) >= 1 else row["size"]
    return {**row, **prices, "size": size}


def _fills(broker: Any, book: Watched) -> list[dict[str, float]]:
    kept: list[dict[str, float]] = []
    for bar, size, price, entry in book.all_fills([*broker.closed_trades, *broker.trades]):
        charged = float(broker._commission(size if entry else -size, price))
        kept.append({"bar": bar, "size": size, "price": price, "commission": charged})
    return kept


def _kept(taken_away: list[list[Any]] | None) -> list[list[Any]] | None:
    """As many as a claim lists."""
    if taken_away is None:
        return None
    return [each for each in taken_away if each[1] <= MAX_ORDERS_LISTED][:MAX_ORDERS_LISTED]


# Listening


def faster_way(named: Mapping[str, Any]) -> str:
    """What to say before an optimize() with these arguments that takes minutes; empty where it does not."""
    values = [value for value in named.values() if hasattr(value, "__len__") and not isinstance(value, str)]
    count = math.prod(map(len, values))
    if count < MANY or named.get("max_tries") is not None:
        return ""
    return (
        f"{count:,} combinations, one run of backtesting.py for each. Where the program imports Backtest and Strategy "
        "from\nqfp.backtesting instead, the same strategy tries them in machine code, hundreds of times as fast."
    )


def listen(module: Any) -> None:
    """module: backtesting.backtesting, just imported."""
    test = module.Backtest
    run, optimize, make = test.run, test.optimize, test.__init__

    @wraps(make)
    def made(self: Any, data: Any, *rest: Any, **named: Any) -> None:
        with pointing.at_programs_line(module):
            make(self, capitalised(data), *rest, **named)  # those of qfp.data would be refused
        self.__dict__[BARS] = self._data  # a FractionalBacktest runs on others

    def run_here(self: Any, params: dict[str, Any]) -> Any:
        with pointing.at_programs_line(module), warned.folded():
            return run(self, **params)

    @wraps(run)
    def run_recorded(self: Any, **params: Any) -> Any:
        if _quiet or not _is_heard():
            return run_here(self, params)
        if not is_room():
            stats = run_here(self, params)
            _count(self, stats)
            return stats
        before = checking.begin(self._strategy)
        stats = run_here(self, params)
        _record(self, stats, before)
        return stats

    @wraps(optimize)
    def optimize_recorded(self: Any, *, return_heatmap: bool = False, **named: Any) -> Any:
        if not _is_heard():
            return optimize(self, return_heatmap=return_heatmap, **named)
        if said := faster_way(named):
            print(said, flush=True)
        with _quietly(), pointing.at_programs_line(module), warned.once():
            found = optimize(self, return_heatmap=True, **named)
        stats, heatmap, *rest = found
        objective = named.get("maximize", "SQN")
        # First, so that the backtest is known to have been chosen among them.
        record_scores(
            "backtesting.py",
            self._strategy.__name__,
            heatmap,
            objective if isinstance(objective, str) else getattr(objective, "__name__", "objective"),
            self._data,
        )
        if "_strategy" in stats and is_room():
            _record(self, stats, checking.begin(self._strategy))
        kept = [stats, *([heatmap] if return_heatmap else []), *rest]
        return kept[0] if len(kept) == 1 else tuple(kept)

    watch(module, run)
    test.__init__, test.run, test.optimize = made, run_recorded, optimize_recorded


def _is_heard() -> bool:
    """Whether somebody takes what this process has to say: not so in a laptop's, and in one of many workers."""
    return channel.connected and (os.getpid() == channel._owner or channel.relay is not None)


@contextmanager
def _quietly() -> Iterator[None]:
    global _quiet
    _quiet += 1
    try:
        yield
    finally:
        _quiet -= 1


def _record(test: Any, stats: Any, before: Any) -> None:
    import pandas as pd

    from qfp import backtesting as ours

    if not isinstance(test._data.index, pd.DatetimeIndex) or len(test._data) < 2:
        print("This backtest has no page: its bars have no dates.")
        return
    result = _OriginalResult(test, stats)
    result._announce()
    if before is None:
        return
    options = {**_options(test), "rules": ours.COMPATIBLE}
    with _quietly():
        checking.look(
            test._strategy, _seen(test), options, result.params, before, {**result.claim, "orders": result.decided}
        )


def _count(test: Any, stats: Any) -> None:
    import pandas as pd

    if "_strategy" not in stats or not isinstance(test._data.index, pd.DatetimeIndex) or len(test._data) < 2:
        return
    given, options = stats["_strategy"], _options(test)
    params, cash = dict(getattr(given, "_params", {})), float(options["cash"])
    traded = [("", test._data["Close"])]
    count(type(given).__name__, params, traded, test._data.index, cash, _rules_of(options))


def _rules_of(options: dict[str, Any]) -> BacktestingPy:
    commission = options["commission"]
    names = ("spread", "margin", "trade_on_close", "hedging", "exclusive_orders", "finalize_trades")
    return BacktestingPy(
        commission=None if callable(commission) else commission, **{name: options[name] for name in names}
    )
