"""Check a backtest a run claims and recompute it over our own bars. Start at check_claim().

The claim comes out of a box and is hostile: every field is checked for type, range and size before it is
used. Replay over our bars proves the arithmetic. A claim that cannot be proven is shown as not verified, with
the reason; a claim that makes no sense at all is refused.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from qfp import adjustment, metrics
from qfp.conventions import BacktestingPy, Usual
from qfp.replay import Replay, replay

from marketdata.store import SnapshotMissing, read_manifest
from runner.figures import chart, describe, figures

MAX_BARS = 200_000
MAX_FILLS = 100_000
MAX_ORDERS = 100_000
MAX_TRADES_STORED = 5_000
TRADES_SHOWN = 200
# Box and host add the same numbers in another order.
EQUITY_TOLERANCE = 1e-6
PRICE_TOLERANCE = 1e-6
# Commission leaves cash with the fill, and other fills of the bar may come first.
LEVERAGE_TOLERANCE = 0.01
_HASH = re.compile(r"[0-9a-f]{64}")


class ClaimRefused(Exception):
    """The claim is not a backtest; `reason` is a sentence for the user."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotVerified(Exception):
    """The claim is well-formed but our bars do not confirm it; the text says why."""


@dataclass(frozen=True)
class CheckedBacktest:
    strategy: str
    params: dict[str, Any]
    instruments: list[dict[str, Any]]
    start: datetime
    end: datetime
    cash: float
    conventions: dict[str, Any]
    engine_name: str
    engine_version: str
    snapshot: str | None
    fills: list[dict[str, float]]
    flows: list[dict[str, Any]]
    orders: list[dict[str, Any]]
    order_count: int
    trades: list[dict[str, Any]]
    trade_count: int
    dates: list[str]
    equity: list[float]
    metrics: dict[str, float | None]
    figures: list[dict[str, Any]]
    chart: dict[str, Any]
    description: str
    verified: bool
    verified_text: str


# Reading hostile JSON ---------------------------------------------------------------------------------------


def _number(value: Any, name: str, least: float = -1e15, most: float = 1e15) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ClaimRefused(f"{name} must be a number.")
    try:
        number = float(value)
    except OverflowError:
        raise ClaimRefused(f"{name} is out of range.") from None
    if not math.isfinite(number) or not least <= number <= most:
        raise ClaimRefused(f"{name} is out of range.")
    return number


def _whole(value: Any, name: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ClaimRefused(f"{name} must be a whole number from {least} to {most}.")
    return value


def _text(value: Any, name: str, longest: int = 200) -> str:
    if not isinstance(value, str) or len(value) > longest:
        raise ClaimRefused(f"{name} must be text of at most {longest} characters.")
    return value


def _list(value: Any, name: str, longest: int, shortest: int = 0) -> list[Any]:
    if not isinstance(value, list) or not shortest <= len(value) <= longest:
        raise ClaimRefused(f"{name} must be a list of {shortest} to {longest:,} items.")
    return value


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ClaimRefused(f"{name} must be an object.")
    return value


def _small_json(value: Any, name: str, longest: int = 10_000) -> Any:
    """A value that is kept as it is, if it is small."""
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise ClaimRefused(f"{name} holds something that is not JSON.") from None
    if len(text) > longest:
        raise ClaimRefused(f"{name} is too long.")
    return value


def _hash_or_none(value: Any, name: str) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise ClaimRefused(f"{name} must be a SHA-256.")
    return value


def _moments(values: Any) -> tuple[list[str], np.ndarray]:
    """The dates as UTC instants, strictly increasing, and written our way: no text of the claim is kept."""
    texts = [_text(value, "A date", 40) for value in _list(values, "The dates", MAX_BARS, 2)]
    try:
        stamps = np.array([datetime.fromisoformat(text).replace(tzinfo=None) for text in texts], dtype="datetime64[us]")
    except (ValueError, OverflowError):
        raise ClaimRefused("A date is not an ISO date.") from None
    if np.any(stamps < np.datetime64("1700-01-01")) or np.any(stamps > np.datetime64("2200-01-01")):
        raise ClaimRefused("A date lies outside 1700 to 2200.")
    if not np.all(np.diff(stamps) > np.timedelta64(0)):
        raise ClaimRefused("The dates must increase from bar to bar.")
    days_only = np.array_equal(stamps, stamps.astype("datetime64[D]"))
    return np.datetime_as_string(stamps, unit="D" if days_only else "s").tolist(), stamps


def _fills(values: Any, bars: int) -> list[dict[str, float]]:
    fills = []
    for value in _list(values, "The fills", MAX_FILLS):
        value = _object(value, "A fill")
        fills.append(
            {
                "bar": _whole(value.get("bar"), "A fill's bar", 0, bars - 1),
                "size": _number(value.get("size"), "A fill's size", -1e12, 1e12),
                "price": _number(value.get("price"), "A fill's price", 0, 1e12),
                "commission": _number(value.get("commission", 0), "A fill's commission", -1e12, 1e12),
            }
        )
    if any(later["bar"] < earlier["bar"] for earlier, later in pairwise(fills)):
        raise ClaimRefused("The fills must be in the order of their bars.")
    return fills


ORDER_KINDS = ("market", "limit", "stop", "stop-limit", "target")
OUTCOMES = ("filled", "refused", "cancelled", "waiting")


def _orders(values: Any, bars: int, instruments: int) -> list[dict[str, Any]]:
    """What was decided, oldest first; only what is known here is kept of each."""
    orders: list[dict[str, Any]] = []
    for value in _list(values, "The orders", MAX_ORDERS):
        value = _object(value, "An order")
        order: dict[str, Any] = {
            "bar": _whole(value.get("bar"), "An order's bar", 0, bars - 1),
            "instrument": _whole(value.get("instrument", 0), "An order's instrument", 0, instruments - 1),
            "size": _number(value.get("size"), "An order's size", -1e12, 1e12),
        }
        for name, known in (("kind", ORDER_KINDS), ("outcome", OUTCOMES)):
            if value.get(name) not in known:
                raise ClaimRefused(f"An order's {name} is one of {', '.join(known)}.")
            order[name] = value[name]
        for name in ("limit", "stop", "sl", "tp"):
            if value.get(name) is not None:
                order[name] = _number(value[name], f"An order's {name}", 0, 1e12)
        if value.get("closes") is True:
            order["closes"] = True
        if value.get("reason") is not None:
            order["reason"] = _text(value["reason"], "An order's reason")
        orders.append(order)
    if any(later["bar"] < earlier["bar"] for earlier, later in pairwise(orders)):
        raise ClaimRefused("The orders must be in the order of the bars that decided.")
    return orders


# Our own bars -----------------------------------------------------------------------------------------------


def _table(store: Path, object_hash: str) -> dict[str, np.ndarray]:
    with pa.memory_map(str(store / "objects" / f"{object_hash}.arrow")) as source:
        table = pa.ipc.open_file(source).read_all()
        return {name: table.column(name).to_numpy() for name in table.column_names}


@dataclass(frozen=True)
class OurBars:
    """Bars of the claimed period from the snapshot, adjusted as claimed."""

    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray


def our_bars(store: Path, snapshot: str | None, instrument: dict[str, Any], stamps: np.ndarray) -> OurBars:
    """The bars at these dates. Raises NotVerified when they are not a stretch of a series of the snapshot."""
    if snapshot is None or instrument["object"] is None:
        raise NotVerified("The bars came from the code, not from the catalogue, so they could not be compared.")
    try:
        entries = read_manifest(store, snapshot)["series"]
    except SnapshotMissing:
        raise NotVerified("The data snapshot of this run is not in the store any more.") from None
    entry = next((e for e in entries if e["object"] == instrument["object"]), None)
    if entry is None:
        raise NotVerified("The claimed series is not part of this run's data snapshot.")
    if (entry["symbol"], entry["id"]) != (instrument["symbol"], instrument["series"]):
        raise NotVerified(f"The bars are those of {entry['symbol']}, not of the instrument that is named.")
    columns = _table(store, entry["object"])
    if not {"date", "open", "high", "low", "close"} <= set(columns):
        raise NotVerified("The claimed series has no open, high, low and close, so fills cannot be compared with it.")
    dates = columns["date"].astype("datetime64[us]")
    first = int(np.searchsorted(dates, stamps[0]))
    last = first + len(stamps)
    if last > len(dates) or not np.array_equal(dates[first:last], stamps):
        raise NotVerified("The dates are not an unbroken stretch of the series: bars were added, dropped or resampled.")
    columns["split"], columns["dividend"] = np.ones(len(dates)), np.zeros(len(dates))
    if entry.get("actions"):
        actions = _table(store, entry["actions"])
        where = np.searchsorted(dates, actions["date"].astype("datetime64[us]"))
        for name in ("split", "dividend"):
            values = actions[name].astype(float)
            known = ~np.isnan(values)
            columns[name][where[known]] = values[known]
    adjusted = adjustment.adjust(
        {name: columns[name] for name in ("open", "high", "low", "close", "split", "dividend")}, instrument["adjust"]
    )
    return OurBars(*(adjusted[name][first:last] for name in ("open", "high", "low", "close")))


def _check_fills(fills: list[dict[str, float]], bars: OurBars, rules: BacktestingPy) -> None:
    """Every fill within its bar, worse by the spread at most, and charged what the rules say."""
    for fill in fills:
        low, high = bars.low[int(fill["bar"])], bars.high[int(fill["bar"])]
        room = PRICE_TOLERANCE * high
        above, below = (rules.spread * high, 0.0) if fill["size"] > 0 else (0.0, rules.spread * low)
        if not low - below - room <= fill["price"] <= high + above + room:
            raise NotVerified(f"A fill at {fill['price']:g} lies outside that bar's range of {low:g} to {high:g}.")
        charged = rules.commission_for(fill["size"], fill["price"])
        if charged is not None and abs(charged - fill["commission"]) > EQUITY_TOLERANCE * max(1.0, abs(charged)):
            raise NotVerified(f"A fill was charged {fill['commission']:g}; by the stated rules it is {charged:g}.")


def _check_leverage(fills: list[dict[str, float]], bars: OurBars, cash: float, rules: BacktestingPy) -> None:
    """Nothing was opened that the account could not pay for. Values the account at the open of the bar of the fill,
    or at the close that decides; by backtesting.py's rules at the close of the bar of the fill, with fills at the
    deciding close of the next bar.
    """
    close = bars.close
    held = 0.0
    for fill in fills:
        size, price, bar = fill["size"], fill["price"], int(fill["bar"])
        closing = min(abs(size), abs(held)) if held * size < 0 else 0.0
        opening = abs(size) - closing
        left = held + (closing if size > 0 else -closing)
        at_close = cash - (closing if size > 0 else -closing) * price
        if opening > 0:
            if isinstance(rules, Usual):
                marks = {bars.open[bar], close[bar]} if rules.trade_on_close else {bars.open[bar]}
            else:
                marks = {close[bar], close[min(bar + 1, len(close) - 1)]} if rules.trade_on_close else {close[bar]}
            free = max(at_close + left * mark - abs(left) * mark * rules.margin for mark in marks)
            allowed = max(0.0, free) / rules.margin
            if opening * price > allowed * (1 + LEVERAGE_TOLERANCE) + 1e-9:
                raise NotVerified(
                    f"On bar {bar} it opened {opening * price:,.2f} with {allowed:,.2f} to pay for it by "
                    f"the stated rules."
                )
        cash -= size * price + fill["commission"]
        held += size


# The check --------------------------------------------------------------------------------------------------


def check_claim(claim: Any, store: Path, run_snapshot: str | None = None) -> CheckedBacktest:
    """What the site stores and shows of a claimed backtest.

    claim: whatever the box sent. store: the folder with objects/ and snapshots/.
    run_snapshot: the snapshot the run was given; a claim over another one is not verified.
    Raises ClaimRefused for a claim that is malformed, too large, or holds impossible values.
    """
    claim = _object(claim, "The claim")
    if claim.get("version") != 2:
        raise ClaimRefused("The claim's version is not known here; update qfp.")
    dates, stamps = _moments(claim.get("dates"))
    cash = _number(claim.get("cash"), "cash", 1e-9, 1e15)
    claimed = np.array([_number(v, "An equity value") for v in _list(claim.get("equity"), "equity", MAX_BARS, 2)])
    if len(claimed) != len(dates):
        raise ClaimRefused("equity and dates must have the same length.")
    fills = _fills(claim.get("fills"), len(dates))
    rules = rules_of(claim.get("conventions"))
    instruments = _instruments(claim.get("instruments"))
    orders = _orders(claim.get("orders"), len(dates), len(instruments))
    snapshot = _hash_or_none(claim.get("snapshot"), "snapshot")
    engine = _object(claim.get("engine"), "engine")

    benchmark = None
    try:
        if len(instruments) != 1:
            raise NotVerified("Only backtests of one instrument can be replayed.")
        if run_snapshot is not None and snapshot != run_snapshot:
            raise NotVerified("The claimed data snapshot is not the one this run was given.")
        bars = our_bars(store, snapshot, instruments[0], stamps)
        if np.isnan(bars.close).any():
            raise NotVerified("The series has missing prices in this period.")
        _check_fills(fills, bars, rules)
        account = replay(fills, bars.close, cash)
        _check_leverage(fills, bars, cash, rules)
        benchmark = cash * bars.close / bars.close[0]
        _compare(account.equity, claimed, cash)
        verified, verified_text = (
            True,
            "Verified: its fills, replayed over our own bars, give this equity curve.",
        )
    except NotVerified as doubt:
        account = _as_claimed(fills, claimed)
        verified, verified_text = False, f"Not verified. {doubt}"

    figures_by_key = metrics.summary(
        account.equity,
        account.positions,
        account.traded_value,
        account.commissions,
        account.trades,
        metrics.periods_per_year(stamps),
        benchmark,
    )
    return CheckedBacktest(
        strategy=_text(claim.get("strategy"), "strategy", 120),
        params=_small_json(_object(claim.get("params", {}), "params"), "params"),
        instruments=instruments,
        start=_aware(stamps[0]),
        end=_aware(stamps[-1]),
        cash=cash,
        conventions=rules.as_dict() | survivorship_note(store, snapshot, instruments),
        engine_name=_text(engine.get("name"), "engine name", 60),
        engine_version=_text(engine.get("version"), "engine version", 30),
        snapshot=snapshot,
        fills=fills,
        flows=[],
        orders=orders,
        order_count=_whole(claim.get("order_count", len(orders)), "order_count", len(orders), 10**9),
        trades=account.trades[:MAX_TRADES_STORED],
        trade_count=len(account.trades),
        dates=dates,
        equity=[float(value) for value in account.equity],
        metrics={key: value if math.isfinite(value) else None for key, value in figures_by_key.items()},
        figures=figures(figures_by_key),
        chart=chart(dates, account.equity, benchmark),
        description=describe(dates, account.equity),
        verified=verified,
        verified_text=verified_text,
    )


def survivorship_note(store: Path, snapshot: str | None, instruments: list[dict[str, Any]]) -> dict[str, Any]:
    """{"survivorship": a sentence} where the instruments were chosen with hindsight, or nobody knows how."""
    try:
        entries = read_manifest(store, snapshot)["series"] if snapshot else []
    except SnapshotMissing:
        entries = []
    by_object = {entry["object"]: entry for entry in entries}
    biased, unknown = [], []
    for instrument in instruments:
        entry = by_object.get(instrument["object"])
        word, _, why = (entry["survivorship"] if entry else "unknown").partition(":")
        name = f"{instrument['symbol']} ({why.strip()})" if why.strip() else instrument["symbol"]
        if word == "biased":
            biased.append(name)
        elif word not in ("free", "not applicable"):
            unknown.append(name)
    said = []
    if biased:
        said.append(f"chosen with hindsight: {_some(biased)}.")
    if unknown:
        said.append(f"unknown how it was chosen: {_some(unknown)}.")
    if not said:
        return {}
    sentence = f"Survivorship not controlled; {' '.join(said)} What failed may be missing from the choice."
    return {"survivorship": sentence}


def _some(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def rules_of(value: Any) -> BacktestingPy:
    """The rules in numbers. Their sentences are written again from these: a box could say one thing and
    do another.
    """
    stated = _object(value, "conventions")
    version = stated.get("version")
    known = {kind.version: kind for kind in (BacktestingPy, Usual)}
    if stated.get("id") not in ("next-open", "same-close") or type(version) is not int or version not in known:
        raise ClaimRefused("The claim's conventions are not known here; update qfp.")
    commission = stated.get("commission")
    if isinstance(commission, list):
        if len(commission) != 2:
            raise ClaimRefused("commission is a fraction, or a fixed amount and a fraction.")
        commission = (
            _number(commission[0], "commission", 0, 1e9),
            _number(commission[1], "commission", -0.1, 0.1),
        )
    elif commission is not None:
        commission = _number(commission, "commission", -0.1, 0.1)
    flags = ("trade_on_close", "hedging", "exclusive_orders", "finalize_trades")
    for flag in flags:
        if not isinstance(stated.get(flag), bool):
            raise ClaimRefused(f"{flag} must be true or false.")
    if stated["trade_on_close"] != (stated["id"] == "same-close"):
        raise ClaimRefused("The claim's conventions contradict each other.")
    return known[version](
        commission=commission,
        spread=_number(stated.get("spread"), "spread", 0, 0.5),
        margin=_number(stated.get("margin"), "margin", 1e-4, 1),
        **{flag: stated[flag] for flag in flags},
    )


def _instruments(value: Any) -> list[dict[str, Any]]:
    instruments = []
    for item in _list(value, "instruments", 100, 1):
        item = _object(item, "An instrument")
        adjust = item.get("adjust")
        if adjust not in ("all", "split", None):
            raise ClaimRefused('adjust must be "all", "split" or nothing.')
        series = item.get("series")
        instruments.append(
            {
                "symbol": _text(item.get("symbol"), "symbol", 60),
                "series": None if series is None else _text(series, "series", 120),
                "object": _hash_or_none(item.get("object"), "object"),
                "adjust": adjust,
            }
        )
    return instruments


def _compare(ours: np.ndarray, claimed: np.ndarray, cash: float) -> None:
    scale = max(cash, float(np.abs(ours).max()))
    worst = int(np.abs(ours - claimed).argmax())
    if abs(ours[worst] - claimed[worst]) > EQUITY_TOLERANCE * scale:
        raise NotVerified(
            f"Replaying the fills gives {ours[worst]:,.2f} on bar {worst}, the run said "
            f"{claimed[worst]:,.2f}: "
            "the bars were changed in the code, or the fills are not complete."
        )


def _as_claimed(fills: list[dict[str, float]], equity: np.ndarray) -> Replay:
    """The account as the run says it was; positions and trades follow from its fills alone."""
    moved = replay(fills, np.zeros(len(equity)), 0.0)
    return Replay(equity, moved.positions, moved.traded_value, moved.commissions, moved.trades)


def _aware(stamp: np.datetime64) -> datetime:
    return stamp.astype("datetime64[us]").item().replace(tzinfo=UTC)


def page_event(checked: CheckedBacktest) -> dict[str, Any]:
    """The event the page draws the backtest from; the same figures as in the record."""
    columns = ["Entry", "Exit", "Size", "Entry price", "Exit price", "Profit", "Return"]
    rows = [
        [
            checked.dates[trade["entry_bar"]][:10],
            checked.dates[trade["exit_bar"]][:10],
            round(trade["size"], 6),
            round(trade["entry_price"], 4),
            round(trade["exit_price"], 4),
            round(trade["profit"], 2),
            round(trade["return_fraction"], 6),
        ]
        for trade in checked.trades[:TRADES_SHOWN]
    ]
    return {
        "type": "backtest",
        "strategy": checked.strategy,
        "params": checked.params,
        "verified": checked.verified,
        "verified_text": checked.verified_text,
        "figures": checked.figures,
        "chart": checked.chart,
        "trades": {"columns": columns, "rows": rows, "total": checked.trade_count},
        "conventions": checked.conventions["lines"],
        "survivorship": checked.conventions.get("survivorship", ""),
        "description": checked.description,
    }
