"""What does a program do with zipline? Every run_algorithm() is listened to: its result has the orders and the fills.

Its bars come from the site (zipline_bundle), unless the program has ingested a bundle of its own.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd

from qfp import checking, data
from qfp.conventions import CopiedRules
from qfp.copied.recognising import Feed
from qfp.copied.recording import CopiedResult, Fill, Observed, Order

__all__ = ["listen"]

PRICES = ("open", "high", "low", "close")
# zipline's states of an order.
OUTCOMES = {0: "waiting", 1: "filled", 2: "cancelled", 3: "refused", 4: "waiting"}
MINUTES = (
    'zipline has daily bars here, and no bars of minutes: write data_frequency="daily". For bars within a day use '
    "qfp.backtest or backtrader."
)


class _Going:
    """What is known of a run while it goes on."""

    def __init__(self) -> None:
        self.bundle: Any = None
        self.algorithm: Any = None


_going: list[_Going] = []
_told: set[str] = set()
_traded: set[str] = set()  # symbols, by runs so far


def listen(module: Any) -> None:
    """module: zipline.utils.run_algo, just imported, before anything of it was named elsewhere."""
    algorithms = importlib.import_module("zipline.algorithm")
    run, load, go, extend = module._run, module.bundles.load, algorithms.TradingAlgorithm.run, module.load_extensions

    def run_watched(**named: Any) -> Any:
        if named.get("data_frequency") == "minute":
            raise ValueError(MINUTES)
        for end in ("start", "end"):
            named[end] = _plain_day(named[end])
        if not checking.active:
            named["end"] = min(named["end"], _last_day(named["end"]))
        watch = _Going()
        _going.append(watch)
        try:
            perf = run(**named)
        finally:
            _going.remove(watch)
        _ended(watch, perf, named)
        return perf

    def load_ours(name: str, environ: Any = None, timestamp: Any = None) -> Any:
        found = _own(load, name, environ, timestamp)
        if found is None:
            from qfp.copied.zipline_bundle import bundle

            found = bundle(module.get_calendar("XNYS"))
            if name not in _told:
                _told.add(name)
                print(f"zipline reads the daily series of this site in the place of the bundle {name!r}.")
        if _going:
            _going[-1].bundle = found
        return found

    def watched_go(self: Any, *args: Any, **named: Any) -> Any:
        if _going:
            _going[-1].algorithm = self
        return go(self, *args, **named)

    def extend_with_given(default: Any, *args: Any, **named: Any) -> Any:
        return extend(False, *args, **named)  # there is no user's folder with extensions, nor should one be made

    # The figures of zipline come from empyrical, whose last release asks for a name that NumPy 2 does not have.
    vars(np).setdefault("NINF", -np.inf)
    module._run, module.bundles.load, module.load_extensions = run_watched, load_ours, extend_with_given
    algorithms.TradingAlgorithm.run = watched_go


def _own(load: Callable[..., Any], name: str, environ: Any, timestamp: Any) -> Any:
    """A bundle that the program itself has ingested, if it has."""
    try:
        return load(name, timestamp=timestamp) if environ is None else load(name, environ, timestamp)
    except (ValueError, KeyError, OSError, LookupError):  # nothing of that name was ingested, or the name is unknown
        return None
    except Exception as error:
        if type(error).__name__ == "UnknownBundle":
            return None
        raise


def _plain_day(moment: Any) -> Any:
    """A day without a zone, as this version of zipline wants it; older programs give one in UTC."""
    day = pd.Timestamp(moment)
    return day.tz_localize(None) if day.tzinfo is not None else day


def _last_day(end: Any) -> Any:
    """In a test of the program on data that end earlier: the last day of what it trades. Day by day zipline would look
    in vain for prices behind it, which takes minutes and decides nothing.
    """
    last = []
    for symbol in _traded:
        with suppress(data.DataError):  # of a bundle that the program has made
            last.append(data.prices(symbol).index[-1])
    return max((day for day in last if day.tzinfo is None), default=end)


def _ended(watch: _Going, perf: Any, named: dict[str, Any]) -> None:
    observed = _observed(watch, perf, named)
    if observed is None:
        print("Nothing was ordered, so there is no backtest to show.")
        return
    CopiedResult(observed).hand_over()


def _observed(watch: _Going, perf: Any, named: dict[str, Any]) -> Observed | None:
    days = [_session(moment) for moment in perf.index]
    written: dict[str, dict[str, Any]] = {}
    charged: dict[str, float] = {}
    assets: dict[int, Any] = {}
    fills: list[tuple[Any, int, float, float, float]] = []
    for day, orders, transactions in zip(days, perf["orders"], perf["transactions"], strict=True):
        fees = {}
        for order in orders:
            number, asset = order["id"], order["sid"]
            assets.setdefault(int(asset), asset)
            fees[number] = float(order.get("commission") or 0.0) - charged.get(number, 0.0)
            charged[number] = float(order.get("commission") or 0.0)
            written[number] = order
        for trade in transactions:
            asset = trade["sid"]
            assets.setdefault(int(asset), asset)
            fee = fees.pop(trade["order_id"], 0.0)  # of all fills of the day, and charged with the first
            fills.append((day, int(asset), float(trade["amount"]), float(trade["price"]), fee))
    if not assets or watch.bundle is None:
        return None
    number = {sid: at for at, sid in enumerate(assets)}
    _traded.update(str(asset.symbol) for asset in assets.values())
    feeds = [_feed(watch.bundle.equity_daily_bar_reader, asset, days) for asset in assets.values()]
    return Observed(
        strategy=_name(named),
        params={},
        cash=float(named["capital_base"]),
        rules=_rules(watch.algorithm),
        feeds=feeds,
        equity=list(zip(days, perf["portfolio_value"].astype(float).tolist(), strict=True)),
        fills=[_fill(fill, number, feeds) for fill in fills],
        orders=[_order(order, number[int(order["sid"])], days) for order in written.values()],
    )


def _session(moment: Any) -> Any:
    return np.datetime64(pd.Timestamp(moment).tz_localize(None).normalize().to_datetime64(), "us")


def _feed(reader: Any, asset: Any, days: list[Any]) -> Feed:
    tables = reader.load_raw_arrays(list(PRICES), pd.Timestamp(days[0]), pd.Timestamp(days[-1]), [asset])
    prices = {name: table[:, 0].astype(float) for name, table in zip(PRICES, tables, strict=True)}
    there = ~np.isnan(prices["close"])
    stamps = np.array(days, dtype="datetime64[us]")[there]
    return Feed(str(asset.symbol), stamps, {name: values[there] for name, values in prices.items()})


def _fill(fill: tuple[Any, int, float, float, float], number: dict[int, int], feeds: list[Feed]) -> Fill:
    """What zipline pays out after an asset's last bar, at the price of it, is dated to that bar."""
    day, sid, size, price, fee = fill
    feed = feeds[number[sid]]
    before = int(np.searchsorted(feed.stamps, day, side="right")) - 1
    return Fill(feed.stamps[before] if before >= 0 else day, number[sid], size, price, fee)


def _order(order: dict[str, Any], number: int, days: list[Any]) -> Order:
    created = pd.Timestamp(order["created"]).tz_localize(None)
    day = np.datetime64(created.normalize().to_datetime64(), "us")
    if created.hour < 17:  # in UTC, so before a session: decided with what was known the day before
        at = int(np.searchsorted(np.array(days), day)) - 1
        day = days[max(at, 0)]
    limit, stop = order.get("limit"), order.get("stop")
    kind = "stop-limit" if limit and stop else "limit" if limit else "stop" if stop else "market"
    outcome = "filled" if order.get("filled") else OUTCOMES.get(int(order.get("status") or 0), "waiting")
    reason = "rejected" if outcome == "refused" else ""
    return Order(day, number, float(order["amount"]), kind, limit or None, stop or None, outcome, reason)


def _name(named: dict[str, Any]) -> str:
    """There is no name of a strategy; its functions have some."""
    for key in ("handle_data", "initialize"):
        called = str(getattr(named.get(key), "__name__", ""))
        if called and called not in ("handle_data", "initialize", "<lambda>"):
            return called
    return "zipline algorithm"


def _rules(algorithm: Any) -> CopiedRules:
    import zipline
    from zipline.assets import Equity

    slippage = algorithm.blotter.slippage_models[Equity]
    commission = algorithm.blotter.commission_models[Equity]
    share, unit = _charges(commission)
    worse: dict[str, Any] = {"slippage": None}
    match type(slippage).__name__:
        case "NoSlippage":
            worse = {}
        case "FixedBasisPointsSlippage":
            worse = {"slippage": float(slippage.percentage)}
        case "FixedSlippage":
            worse = {"slippage_fixed": float(slippage.spread) / 2}
    return CopiedRules(
        library="zipline",
        library_version=str(zipline.__version__),
        fill="next-close",
        commission=share,
        per_unit=unit,
        **worse,
    )


def _charges(commission: Any) -> tuple[float | None, float | None]:
    """(fraction of the value, currency a unit); two times None for what is neither."""
    match type(commission).__name__:
        case "NoCommission":
            return 0.0, 0.0
        case "PerDollar":
            return float(commission.cost_per_dollar), 0.0
        case "PerShare" if not commission.min_trade_cost:
            return 0.0, float(commission.cost_per_share)
    return None, None
