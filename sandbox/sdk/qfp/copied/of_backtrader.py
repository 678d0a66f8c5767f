"""What does a program do with backtrader? Every Cerebro.run() is listened to: orders, fills, and the broker's value.

The broker's own methods are called as they are; what they did is read off afterwards, so no number changes.
"""

from __future__ import annotations

import importlib
import sys
import weakref
from typing import Any

import numpy as np

from qfp.conventions import UNBOUNDED_LEVERAGE, CopiedRules
from qfp.copied.recognising import Feed
from qfp.copied.recording import CopiedResult, Fill, Observed, Order
from qfp.copied.trials import record_trials, tried

__all__ = ["Watch", "listen"]

KINDS = {
    "Limit": "limit",
    "Stop": "stop",
    "StopTrail": "stop",
    "StopLimit": "stop-limit",
    "StopTrailLimit": "stop-limit",
}
OUTCOMES = {
    "Partial": "filled",
    "Completed": "filled",
    "Canceled": "cancelled",
    "Expired": "cancelled",
    "Margin": "refused",
    "Rejected": "refused",
}
NO_MONEY = "insufficient margin"
TRIAL = "_qfp_trial"  # on what an optimisation returns, which may come from another process

_watches: list[Watch] = []
_results: weakref.WeakKeyDictionary[Any, list[tuple[CopiedResult, list[Any]]]] = weakref.WeakKeyDictionary()


class Watch:
    """One run of a Cerebro, from before its first bar to after its last."""

    def __init__(self, cerebro: Any, chosen: Any) -> None:
        self.cerebro, self.broker = cerebro, cerebro.broker
        self.chosen = chosen
        self.cash: float | None = None
        self.equity: list[tuple[Any, float]] = []
        self.orders: list[tuple[Any, Any]] = []
        self.fills: list[tuple[Any, Any, float, float, float]] = []
        self.bars: dict[int, list[tuple[float, ...]]] = {}
        self.closing = False

    def now(self) -> Any:
        """The moment of the bar that the strategies see."""
        return max((data.datetime[0] for data in self.cerebro.datas if len(data)), default=0.0)

    def ordered(self, order: Any) -> None:
        self.orders.append((self.now(), order))
        self.closing = self.closing or order.getordername() == "Close"

    def filled(self, order: Any, moment: float, size: float, price: float, commission: float) -> None:
        self.fills.append((moment, order.data, size, price, commission))

    def counted(self) -> None:
        """After the broker's work for a bar."""
        self.equity.append((self.now(), float(self.broker.getvalue())))
        for data in self.cerebro.datas:
            if len(data):
                rows = self.bars.setdefault(id(data), [])
                bar = (data.datetime[0], data.open[0], data.high[0], data.low[0], data.close[0])
                if rows and rows[-1][0] == bar[0]:
                    rows[-1] = bar  # the same, or a bar that is still growing
                else:
                    rows.append(bar)

    # Afterwards

    def observed(self, strategies: list[Any]) -> Observed | None:
        """The run in words of this site; None where there was no bar."""
        if not self.equity or self.cash is None:
            return None
        traded = [data for data in self.cerebro.datas if id(data) in self.bars]
        used = {id(data) for _, data, *_ in self.fills} | {id(order.data) for _, order in self.orders}
        # A feed of which nothing was ever ordered is a look at something, such as an index or longer bars; where
        # nothing was ordered at all, the first one is what the account stood beside.
        feeds = [data for data in traded if id(data) in used] or traded[:1]
        number = {id(data): at for at, data in enumerate(feeds)}
        rules = self.rules(feeds)
        scale = {id(data): self._scheme(data)["mult"] for data in feeds}
        first = strategies[0] if strategies else None
        return Observed(
            strategy=" + ".join(map(_called, strategies)) or "Strategy",
            params=_params(first),
            cash=self.cash,
            rules=rules,
            feeds=[self._feed(data, at) for at, data in enumerate(feeds)],
            equity=[(_moment(moment), value) for moment, value in self.equity],
            fills=[
                Fill(_moment(moment), number[id(data)], size * scale[id(data)], price, commission)
                for moment, data, size, price, commission in self.fills
            ],
            orders=[self._order(moment, order, number[id(order.data)]) for moment, order in self.orders],
            notes=self._notes(),
        )

    def rules(self, feeds: list[Any]) -> CopiedRules:
        params = self.broker.p
        schemes = [self._scheme(data) for data in feeds]
        alike = all(scheme == schemes[0] for scheme in schemes)
        fill = "next-open"
        if getattr(params, "coo", False):
            fill = "same-open"
        elif getattr(params, "coc", False):
            fill = "same-close"
        module: Any = sys.modules.get("backtrader")
        return CopiedRules(
            library="backtrader",
            library_version=str(getattr(module, "__version__", "")),
            fill=fill,
            commission=schemes[0]["commission"] if alike else None,
            per_unit=schemes[0]["per_unit"] if alike else None,
            slippage=float(getattr(params, "slip_perc", 0.0) or 0.0),
            slippage_fixed=0.0 if getattr(params, "slip_perc", 0.0) else float(getattr(params, "slip_fixed", 0.0)),
            at_close=self.closing,
            leverage=max(scheme["leverage"] for scheme in schemes),
        )

    def _scheme(self, data: Any) -> dict[str, Any]:
        """commission and per_unit as in CopiedRules, mult, leverage."""
        scheme = self.broker.getcommissioninfo(data)
        base: Any = sys.modules["backtrader.comminfo"]
        leverage = float(scheme.p.leverage) if scheme._stocklike else UNBOUNDED_LEVERAGE  # a margin buys a contract
        named: dict[str, Any] = {"mult": float(scheme.p.mult), "leverage": leverage}
        kind = type(scheme)
        own = any(
            getattr(kind, name) is not getattr(base.CommInfoBase, name) for name in ("_getcommission", "getcommission")
        )
        if own or named["mult"] != 1:
            return {**named, "commission": None, "per_unit": None}
        rate = float(scheme.p.commission)
        share = scheme._commtype == base.CommInfoBase.COMM_PERC
        return {**named, "commission": rate if share else 0.0, "per_unit": 0.0 if share else rate}

    def _feed(self, data: Any, at: int) -> Feed:
        rows = np.array(self.bars[id(data)], dtype=float)
        stamps = np.array([_moment(moment) for moment in rows[:, 0].tolist()], dtype="datetime64[us]")
        prices = dict(zip(("open", "high", "low", "close"), rows[:, 1:].T, strict=True))
        return Feed(_name(data) or f"data{at}", stamps, prices)

    def _order(self, moment: float, order: Any, number: int) -> Order:
        kind = KINDS.get(order.getordername(), "market")
        outcome = OUTCOMES.get(order.getstatusname(), "waiting")
        if outcome in ("cancelled", "refused") and order.executed.size:
            outcome = "filled"  # in part: one that cannot pay for what it opens has closed what it closes
        price, limit = order.created.price, order.created.pricelimit
        return Order(
            _moment(moment),
            number,
            float(order.created.size) * self._scheme(order.data)["mult"],
            kind,
            limit=_price(price if kind == "limit" else limit if kind == "stop-limit" else None),
            stop=_price(price if kind in ("stop", "stop-limit") else None),
            outcome=outcome,
            reason=(NO_MONEY if order.getstatusname() == "Margin" else "rejected") if outcome == "refused" else "",
        )

    def _notes(self) -> list[str]:
        scaled = any(self._scheme(data)["mult"] != 1 for data in self.cerebro.datas)
        return ["Sizes are in units: contracts times their multiplier."] if scaled else []


def _called(strategy: Any) -> str:
    """The class, or those of the signals that a strategy of backtrader's own acts on."""
    signals = [getattr(signal, "__name__", "") for _, signal, *_ in getattr(strategy.p, "signals", None) or ()]
    return " + ".join(filter(None, signals)) or type(strategy).__name__


def _params(strategy: Any) -> dict[str, Any]:
    kept = dict(strategy.p._getkwargs()) if strategy is not None else {}
    return {
        str(key): value
        for key, value in list(kept.items())[:50]
        if not str(key).startswith("_") and not isinstance(value, (list, tuple, dict, type))
    }


def _name(data: Any) -> str:
    name = data._name or getattr(data.p, "name", "") or getattr(data.p, "dataname", "")
    return name[:60] if isinstance(name, str) else ""


def _price(value: Any) -> float | None:
    return None if value is None or not np.isfinite(value) or value < 0 else float(value)


def _moment(number: float) -> Any:
    """A date of backtrader, to the second: as a fraction of days it misses it by microseconds. A day of its own ends
    just before midnight, and has to stay the same day.
    """
    numbers: Any = sys.modules["backtrader.utils.date"]
    exact = np.datetime64(numbers.num2date(number).replace(tzinfo=None), "us")
    return (exact + np.timedelta64(1_000, "us") * (not _is_evening(exact))).astype("datetime64[s]").astype(exact.dtype)


def _is_evening(moment: Any) -> bool:
    left = moment.astype("datetime64[D]") + np.timedelta64(1, "D") - moment
    return bool(np.timedelta64(5, "us") < left < np.timedelta64(1, "s"))


# Listening


def listen() -> None:
    """Called when `backtrader` has been imported: from now on its runs are watched."""
    cerebros = importlib.import_module("backtrader.cerebro")
    brokers = importlib.import_module("backtrader.brokers.bbroker")
    orders = importlib.import_module("backtrader.order")
    cerebro, broker, order = cerebros.Cerebro, brokers.BackBroker, orders.Order
    run, whole_run, notify = cerebro.runstrategies, cerebro.run, cerebro._brokernotify
    submit, execute, start = broker.submit, order.execute, broker.start

    def runstrategies(self: Any, iterstrat: Any, predata: bool = False) -> Any:
        watch = Watch(self, iterstrat)
        _watches.append(watch)
        try:
            results = run(self, iterstrat, predata=predata)
        finally:
            _watches.remove(watch)
        _ended(watch, self, results)
        return results

    def run_all(self: Any, **kwargs: Any) -> Any:
        results = whole_run(self, **kwargs)
        if getattr(self, "_dooptimize", False):
            record_trials([getattr(each[0], TRIAL, None) for each in self.runstrats if each])
        return results

    def started(self: Any) -> None:
        start(self)
        if (watch := _watch_of(self)) is not None:
            watch.cash = float(self.startingcash)

    def notified(self: Any) -> None:
        notify(self)
        if (watch := _watch_of(self._broker)) is not None:
            watch.counted()

    def submitted(self: Any, order: Any, check: bool = True) -> Any:
        if (watch := _watch_of(self)) is not None:
            watch.ordered(order)
        return submit(self, order, check=check)

    def executed(self: Any, dt: Any, size: Any, price: Any, *more: Any) -> None:
        execute(self, dt, size, price, *more)
        if size and _watches:  # closed, its value and commission, opened, its value and commission
            _watches[-1].filled(self, dt, float(size), float(price), float(more[2]) + float(more[5]))

    cerebro.runstrategies, cerebro.run, cerebro._brokernotify = runstrategies, run_all, notified
    broker.submit, broker.start, order.execute = submitted, started, executed
    from qfp.copied import backtrader_parts

    backtrader_parts.fit(cerebro, lambda one: _results.get(one, []))


def _watch_of(broker: Any) -> Watch | None:
    return _watches[-1] if _watches and _watches[-1].broker is broker else None


def _ended(watch: Watch, cerebro: Any, results: list[Any]) -> None:
    """Record a run; of an optimisation, only what a trial of a sweep is made of."""
    strategies = list(cerebro.runningstrats)
    observed = watch.observed(strategies)
    if observed is None:
        return
    result = CopiedResult(observed)
    if not getattr(cerebro, "_dooptimize", False):
        _results[cerebro] = [(result, strategies)]
        result.hand_over()
        return
    chosen = {key: value for _, _, named in watch.chosen for key, value in named.items()}
    for each in results[:1]:
        setattr(each, TRIAL, tried(result, chosen))
