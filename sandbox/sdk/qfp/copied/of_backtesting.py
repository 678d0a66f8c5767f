"""What does a program do with backtesting.py itself? Every Backtest.run() is recorded, and what optimize() has chosen.

What the broker did is read off the strategy that has run. Only decisions are written down as they are made, because the
library forgets them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from qfp import channel, checking, metrics, pointing, replay
from qfp.backtesting.ledger import is_undone
from qfp.backtesting.lines import capitalised
from qfp.conventions import BacktestingPy
from qfp.copied import warned
from qfp.copied.recognising import Feed, about, days_of
from qfp.copied.recording import count, is_room
from qfp.copied.trials import record_scores
from qfp.moments import dates_of, instants
from qfp.results import Result, digest, simple

__all__ = ["listen"]

PRICES = ("Open", "High", "Low", "Close")
MAX_ORDERS_LISTED = MAX_FILLS_LISTED = 100_000
NO_MONEY = "insufficient margin"
BOOK = "_qfp_book"

_quiet = 0


class _Book:
    """What one broker was asked for: decisions with their order, and the orders that were filled or cancelled."""

    def __init__(self) -> None:
        self.decisions: list[tuple[dict[str, Any], Any]] = []
        self.filled: set[int] = set()
        self.cancelled: set[int] = set()

    def orders(self, waiting: list[Any], before: int) -> list[dict[str, Any]]:
        """before: the bar before the first that was traded on, on which what init() ordered counts as decided."""
        still = {id(order) for order in waiting}
        listed = []
        for decision, order in self.decisions:
            if order is None or id(order) in self.filled:
                outcome = {"outcome": "filled"}
            elif id(order) in still:
                outcome = {"outcome": "waiting"}
            elif id(order) in self.cancelled and decision["kind"] == "market" and not decision.get("closes"):
                continue  # it fills at once: it was withdrawn on the bar that gave it, and nothing was decided
            elif id(order) in self.cancelled or decision.get("closes"):  # its trade is gone
                outcome = {"outcome": "cancelled"}
            else:
                outcome = {"outcome": "refused", "reason": NO_MONEY}
            bar = before if decision["bar"] is None else decision["bar"]
            listed.append({**decision, "bar": bar, **outcome})
        return listed


def _book_of(broker: Any) -> _Book:
    return vars(broker).setdefault(BOOK, _Book())


def _bar_of(broker: Any) -> int | None:
    """The bar that decides; None in init(), where all bars are in sight and the broker has had none."""
    return len(broker._data) - 1 if hasattr(broker, "_i") else None


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
        unit = float(getattr(test, "_fractional_unit", 1.0))
        frame = test._data
        self.strategy = type(strategy).__name__
        self.params = dict(getattr(strategy, "_params", {}))
        self.conventions = _rules_of(options)
        cash = float(options["cash"])
        self.fills = _fills(broker, unit)
        self.account = replay.replay(self.fills, frame["Close"].to_numpy(dtype=float) / unit, cash)
        # With fills at the deciding close, a fill counts in the equity one bar after the bar it is dated to.
        warm_up = _warm_up(strategy, len(frame))
        counted = stats["_equity_curve"]["Equity"].to_numpy(dtype=float, copy=True)
        counted[: warm_up + 1] = cash  # where the library repeats the first value after them
        equity = self.account.equity if options["trade_on_close"] else counted
        self.equity = pd.Series(equity, index=frame.index, name="equity")
        high, low = (frame[name].to_numpy(dtype=float) for name in ("High", "Low"))
        decided = _book_of(broker).orders(broker.orders, warm_up)
        self.decided = [order for order in decided if not is_undone(order, high, low)]
        self.orders = self.decided if unit == 1 else [_in_whole_units(order, unit) for order in self.decided]
        prices = {name.lower(): frame[name].to_numpy(dtype=float) / unit for name in PRICES}
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
            "fills": self.fills[:MAX_FILLS_LISTED],
            "fill_count": len(self.fills),
            "flows": [],
            "orders": self.orders[:MAX_ORDERS_LISTED],
            "order_count": len(self.orders),
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

    def notes(self) -> list[str]:
        refused = sum(order["outcome"] == "refused" for order in self.orders)
        if not refused:
            return []
        return [f"{'1 order was' if refused == 1 else f'{refused} orders were'} refused: {NO_MONEY}."]


def _options(test: Any) -> dict[str, Any]:
    """What the Backtest was made with."""
    given = test._broker.keywords
    found = {name: given[name] for name in ("cash", "commission", "spread", "margin")}
    found |= {name: bool(given[name]) for name in ("trade_on_close", "hedging", "exclusive_orders")}
    return found | {"finalize_trades": bool(test._finalize_trades)}


def _in_whole_units(order: dict[str, Any], unit: float) -> dict[str, Any]:
    """An order for parts of a unit, at prices of a part. Fractions of the account stay what they are."""
    prices: dict[str, Any] = {name: order[name] / unit for name in ("limit", "stop", "sl", "tp") if name in order}
    size = order["size"] * unit if abs(order["size"]) >= 1 else order["size"]
    return {**order, **prices, "size": size}


def _fills(broker: Any, unit: float) -> list[dict[str, float]]:
    """Entries and exits of all trades, by bar. A trade that was closed in parts was opened by one fill."""
    entries: dict[tuple[int, float, bool], float] = {}
    exits: list[tuple[int, float, float]] = []
    for trade in [*broker.closed_trades, *broker.trades]:
        opened = (int(trade.entry_bar), float(trade.entry_price), trade.size > 0)
        entries[opened] = entries.get(opened, 0.0) + float(trade.size)
        if trade.exit_bar is not None:
            exits.append((int(trade.exit_bar), -float(trade.size), float(trade.exit_price)))
    booked = [(bar, size, price) for (bar, price, _), size in entries.items()]
    # An exit before an entry on the same bar: so a position that is turned stays as large as it was.
    ordered = sorted([(bar, 1, size, price) for bar, size, price in booked] + [(b, 0, s, p) for b, s, p in exits])
    kept: list[dict[str, float]] = []
    for bar, entry, size, price in ordered:
        charged = float(broker._commission(size if entry else -size, price))
        kept.append({"bar": bar, "size": size * unit, "price": price / unit, "commission": charged})
    return kept


# Listening


def listen(module: Any) -> None:
    """module: backtesting.backtesting, just imported."""
    test, broker, trade, order = module.Backtest, module._Broker, module.Trade, module.Order
    run, optimize, make = test.run, test.optimize, test.__init__
    opening = broker._open_trade
    new_order, close, cancel = broker.new_order, trade.close, order.cancel

    def ordered(
        self: Any,
        size: Any,
        limit: Any = None,
        stop: Any = None,
        sl: Any = None,
        tp: Any = None,
        *rest: Any,
        **named: Any,
    ) -> Any:
        made = new_order(self, size, limit, stop, sl, tp, *rest, **named)
        trade = named.get("trade")
        # A stop or target that comes with its order is in it; one that is moved later is a decision of its own.
        if trade is None or sys._getframe(3).f_code is not opening.__code__:
            kind = "-".join(word for word, price in (("stop", stop), ("limit", limit)) if price) or "market"
            prices = {"limit": limit, "stop": stop, "sl": sl, "tp": tp}
            decision = {"bar": _bar_of(self), "size": float(size), "kind": kind}
            decision |= {name: float(price) for name, price in prices.items() if price}
            decision |= {} if trade is None else {"closes": True}
            _book_of(self).decisions.append((decision, made))
        return made

    @wraps(close)
    def closed(self: Any, portion: float = 1.0) -> None:
        close(self, portion)
        if sys._getframe(1).f_code is not run.__code__:  # which closes what is open at the end, undecided
            owner = self._Trade__broker
            size = float(owner.orders[0].size)
            decision = {"bar": _bar_of(owner), "size": size, "kind": "market", "closes": True}
            _book_of(owner).decisions.append((decision, None))

    @wraps(cancel)
    def cancelled(self: Any) -> None:
        _book_of(self._Order__broker).cancelled.add(id(self))
        cancel(self)

    def filling(act: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(act)
        def done(self: Any, *args: Any, **named: Any) -> Any:
            filled = sys._getframe(1).f_locals.get("order")
            if isinstance(filled, order):
                _book_of(self).filled.add(id(filled))
            return act(self, *args, **named)

        return done

    @wraps(make)
    def made(self: Any, data: Any, *rest: Any, **named: Any) -> None:
        with pointing.at_programs_line(module):
            make(self, capitalised(data), *rest, **named)  # those of qfp.data would be refused

    def run_here(self: Any, params: dict[str, Any]) -> Any:
        with pointing.at_programs_line(module):
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

    for name in ("_open_trade", "_reduce_trade", "_close_trade"):
        setattr(broker, name, filling(getattr(broker, name)))
    broker.new_order, trade.close, order.cancel = ordered, closed, cancelled
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
            test._strategy, test._data, options, result.params, before, {**result.claim, "orders": result.decided}
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
