"""Check a backtest a run claims and recompute it over our own bars. Start at check_claim().

The claim comes out of a box and is hostile: `claims/reading.py` checks every field before it is used, `bars.py` finds
the bars of ours it speaks of, `checks.py` asks whether its fills could have been had. Replay over our bars proves
the arithmetic. A claim that cannot be proven is shown as not verified, with the reason; one that makes no sense at all
is refused.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from qfp import metrics, packing
from qfp.conventions import BacktestingPy, CopiedRules, PortfolioRules, Usual, lines_of_parts
from qfp.figures import GROUPS, signed
from qfp.portfolio.market import Market
from qfp.replay import PortfolioReplay, Replay, replay, replay_portfolio
from qfp.significance import bootstrap_interval

from marketdata.store import SnapshotMissing
from runner.claims import checks, copied, fields, follow_many, follow_one, outcomes, samples
from runner.claims import parts as claim_parts
from runner.claims import unlogged as claim_unlogged
from runner.claims.bars import MAX_CELLS, NotVerified, OurBars, our_bars, our_market
from runner.claims.fields import ClaimRefused
from runner.claims.reading import Claimed, aware, read_claim
from runner.figures import chart, describe, figures
from runner.remarks import remarks, why_no_trades
from runner.snapshot_series import entries
from runner.verdicts import NOT_VERIFIED, made_up

__all__ = ["CheckedBacktest", "ClaimRefused", "check_claim", "page_event", "survivorship_note"]

MAX_BACKTESTS = 20  # of one run
MAX_TRADES_STORED = 5_000
TRADES_SHOWN = 200
# Of the interval of the Sharpe ratio; docs/metrics.md says how many.
INTERVAL_DRAWS = 1_000
EQUAL_PARTS = "Equal parts held"
VERIFIED = "Verified: its fills, replayed over our own bars, give this equity curve."


@dataclass(frozen=True)
class CheckedBacktest:
    """holdings: what is held at the end: instrument, units, price, value, weight. no_trades: why there are none, where
    that is known.
    """

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
    holdings: list[dict[str, Any]]
    dates: list[str]
    equity: list[float]
    metrics: dict[str, float | None]
    figures: list[dict[str, Any]]
    chart: dict[str, Any]
    description: str
    verified: bool
    verified_text: str
    no_trades: str


def check_claim(
    claim: Any, store: Path, run_snapshot: str | None = None, packages: Collection[str] | None = None
) -> CheckedBacktest:
    """What the site stores and shows of a claimed backtest.

    claim: whatever the box sent. store: the folder with objects/ and snapshots/.
    run_snapshot: the snapshot the run was given; a claim over another one is not verified.
    packages: names of those that the run had beside every box's; without them, whatever a claim names counts as had.
    Raises ClaimRefused for a claim that is malformed, too large, or holds impossible values.
    """
    claim = fields.mapping(claim, "The claim")
    claimed = read_claim(claim)
    engine = fields.mapping(claim.get("engine"), "engine")
    benchmark: np.ndarray | None = None
    holdings: list[dict[str, Any]] = []
    account: Replay
    price: float | None = None
    flows, said, sample = claimed.flows, VERIFIED, ""
    try:
        # Without any, the bars are the program's own, which is the reason that our_bars() gives.
        if run_snapshot is not None and claimed.snapshot not in (None, run_snapshot):
            raise NotVerified("The claimed data snapshot is not the one this run was given.")
        if claimed.fill_count > len(claimed.fills):
            raise NotVerified(_why_fills_are_missing(claimed))
        if claimed.order_count > len(claimed.orders):
            raise NotVerified(
                f"It has {signed(claimed.order_count, 0)} orders and lists {signed(len(claimed.orders), 0)}; what was "
                "filled without one that is listed cannot be told."
            )
        if isinstance(claimed.rules, PortfolioRules):
            held, benchmark, holdings = _replayed_portfolio(claimed, claimed.rules, store)
            account, flows = held, held.flows
        elif isinstance(claimed.rules, CopiedRules):
            if packages is not None:
                copied.check_library(claimed.rules, packages)
            account, benchmark, holdings, ruin = _replayed_copied(claimed, claimed.rules, store)
            said = " ".join(filter(None, (VERIFIED, ruin, copied.limits(claimed.rules))))
        else:
            account, benchmark, price = _replayed(claimed, store)
        verified, verified_text = True, said
    except NotVerified as doubt:
        account, sample = _as_claimed(claimed), _sample_followed(claimed)
        verified, verified_text = False, f"{NOT_VERIFIED} {samples.said_of(sample) if sample else doubt}"

    trades = list(account.trades[:MAX_TRADES_STORED])
    told, orders = claimed.fills, claimed.orders
    if claimed.unit != 1:
        told, orders, trades = (claim_parts.in_units(rows, claimed.unit) for rows in (told, orders, trades))
    year = metrics.periods_per_year(claimed.stamps)
    found = metrics.summary(
        account.equity,
        account.positions,
        account.traded_value,
        account.commissions,
        account.trades,
        year,
        benchmark,
    )
    drawn = bootstrap_interval(metrics.returns_of(account.equity), paths=INTERVAL_DRAWS, periods_per_year=year)
    if claimed.fill_count > len(claimed.fills):  # what was traded is not known
        found |= {each.key: math.nan for each in GROUPS["Trading"] if each.key in found}
    found |= {"sharpe_low": drawn.low, "sharpe_high": drawn.high}
    return CheckedBacktest(
        strategy=fields.name(claim.get("strategy"), "strategy", 120),
        params=fields.small_json(fields.mapping(claim.get("params", {}), "params"), "params"),
        instruments=claimed.instruments,
        start=aware(claimed.stamps[0]),
        end=aware(claimed.stamps[-1]),
        cash=claimed.cash,
        conventions=_conventions(claimed, store) | ({"sample": sample} if sample else {}),
        engine_name=fields.name(engine.get("name"), "engine name", 60),
        engine_version=fields.name(engine.get("version"), "engine version", 30),
        snapshot=claimed.snapshot,
        fills=told,
        flows=flows,
        orders=orders,
        order_count=claimed.order_count,
        trades=trades,
        trade_count=len(account.trades),
        holdings=holdings,
        dates=claimed.dates,
        equity=[float(value) for value in account.equity],
        metrics={key: value if math.isfinite(value) else None for key, value in found.items()},
        figures=_named(figures(found), len(claimed.instruments)),
        chart=chart(claimed.dates, account.equity, benchmark),
        description=describe(claimed.dates, account.equity),
        verified=verified,
        verified_text=verified_text,
        no_trades="" if claimed.fill_count else _no_trades(claimed, claim, price),
    )


def _why_fills_are_missing(claimed: Claimed) -> str:
    """Which limit is it for which a claim has come without its fills? For one, all are left out, and all orders."""
    for held, what, most in (
        (claimed.fill_count, "fills", fields.MAX_FILLS),
        (claimed.order_count, "orders", fields.MAX_ORDERS),
    ):
        if held > most:
            return (
                f"It has {signed(held, 0)} {what}, more than are kept to be replayed ({signed(most, 0)} of a "
                "backtest). A shorter period, or longer bars, can be verified."
            )
    if claimed.fills or claimed.orders:
        return (
            f"It says that it has {signed(claimed.fill_count, 0)} fills and lists {signed(len(claimed.fills), 0)}, so "
            "that its equity cannot be followed."
        )
    return (
        f"It lists none of its {signed(claimed.fill_count, 0)} fills, so that its equity cannot be followed, as where "
        f"they are beyond what is kept to be replayed ({packing.MOST_OPENED // 10**6} MB of all backtests of a run, "
        f"{packing.MOST_SENT / 10**6:g} MB of one when packed). Then a shorter period, longer bars, or fewer backtests "
        "in one run can be verified."
    )


def _conventions(claimed: Claimed, store: Path) -> dict[str, Any]:
    """The rules, and what is to be said with them."""
    stated = claimed.rules.as_dict()
    if claimed.unit != 1:
        stated |= {"lines": lines_of_parts(stated["lines"], claimed.unit)}
    return {**stated, **survivorship_note(store, claimed.snapshot, claimed.instruments), **_unlogged(claimed)}


def _unlogged(claimed: Claimed) -> dict[str, Any]:
    """{"unlogged": a sentence} where backtesting.py itself has run and nothing is told of what was moved or dropped."""
    theirs = isinstance(claimed.rules, BacktestingPy) and not isinstance(claimed.rules, Usual)
    unlogged = theirs and claimed.log is None and bool(claimed.orders)
    return {"unlogged": follow_one.UNLOGGED} if unlogged else {}


def _no_trades(claimed: Claimed, claim: dict[str, Any], price: float | None) -> str:
    """As far as the orders tell, and where they do not, as the program has told it."""
    told = fields.name(claim.get("no_trades", ""), "no_trades", 300)
    return why_no_trades(claimed.orders, claimed.order_count, price) or told[:1].upper() + told[1:]


def _replayed(claimed: Claimed, store: Path) -> tuple[Replay, np.ndarray, float]:
    """The account over our bars, buy and hold, and the last price. Raises NotVerified."""
    if len(claimed.instruments) != 1:
        raise NotVerified("By the stated rules only one instrument can be traded.")
    bars = our_bars(store, claimed.snapshot, claimed.instruments[0], claimed.stamps)
    return _replayed_over(bars, claimed)


def _sample_followed(claimed: Claimed) -> str:
    """The sample of backtesting.py whose bars all of it follows from, as it would have to from ours; "" for none."""
    alone = len(claimed.instruments) == 1 and claimed.instruments[0]["object"] is None
    whole = (claimed.fill_count, claimed.order_count) == (len(claimed.fills), len(claimed.orders))
    if not alone or not whole or not isinstance(claimed.rules, BacktestingPy):
        return ""
    for name in samples.SAMPLES:
        try:
            _replayed_over(samples.sample_bars(Path(settings.SANDBOX_ENV), name, claimed.stamps), claimed)
        except NotVerified:
            continue
        return name
    return ""


def _replayed_over(bars: OurBars, claimed: Claimed) -> tuple[Replay, np.ndarray, float]:
    """The account over bars of its only instrument, buy and hold, and the last price. Raises NotVerified."""
    rules = claimed.rules
    assert not isinstance(rules, (PortfolioRules, CopiedRules))
    checks.compare_flows([], claimed.flows, claimed.cash, claimed.names)
    if any(np.isnan(column).any() for column in (bars.open, bars.high, bars.low, bars.close)):
        raise NotVerified("The series has missing prices in this period.")
    if claimed.unit != 1:
        bars = claim_parts.bars_of_parts(bars, claimed.unit)
    outside = _check_fills(claimed, rules, bars)
    account = replay(claimed.fills, bars.close, claimed.cash)
    _check_splits(claimed, bars, account)
    checks.compare_equity(account.equity, claimed.equity, claimed.cash, bool(claimed.fills))
    if outside:
        raise checks.filled_outside([claimed.dates[claimed.orders[row]["bar"]] for row in outside])
    return account, claimed.cash * bars.close / bars.close[0], float(bars.close[-1]) / claimed.unit


def _check_fills(claimed: Claimed, rules: BacktestingPy, bars: OurBars) -> list[int]:
    """Raises NotVerified where they do not follow from what was decided. Returns which orders the rules themselves
    fill at prices outside of their bars.
    """
    if claimed.log is None:
        checks.check_prices(claimed.fills, bars, rules)
        checks.check_charges(claimed.fills, rules)
        if isinstance(rules, Usual):
            raise NotVerified("By these rules a run tells what was moved and taken away, and it told nothing of it.")
        claim_unlogged.check_unlogged(claimed.fills, claimed.orders, bars, claimed.cash, rules)
        return []
    try:
        checks.check_charges(claimed.fills, rules)
        outside = follow_one.follow_one(
            claimed.fills, claimed.orders, claimed.log, bars, claimed.cash, rules, claimed.window_bars
        )
    except NotVerified:
        checks.check_prices(claimed.fills, bars, rules)
        raise
    if not outside:
        checks.check_prices(claimed.fills, bars, rules)
    outcomes.note_withdrawals(claimed.orders, claimed.log)
    return outside


def _check_splits(claimed: Claimed, bars: OurBars, account: Replay) -> None:
    """Raises NotVerified where something was held over a split that neither the prices nor the account know of."""
    if bars.split is None:
        return
    for bar in np.flatnonzero(bars.split[1:] != 1).tolist():
        if account.positions[bar]:
            raise NotVerified(
                f"{claimed.names[0]} was split on {claimed.dates[bar + 1]} while it was held, and its prices are not "
                'adjusted for that: read them with adjust="split" or adjust="all".'
            )


def _replayed_portfolio(
    claimed: Claimed, rules: PortfolioRules, store: Path
) -> tuple[PortfolioReplay, np.ndarray, list[dict[str, Any]]]:
    """The account over our bars with what they imply, equal money in each instrument, and what is held at the end."""
    market = our_market(store, claimed.snapshot, claimed.instruments, claimed.stamps)
    try:
        market.price(rules.fill)
    except ValueError:
        raise NotVerified("Not every series has the prices that the stated rules fill at.") from None
    told = checks.columns_of(claimed.fills)
    ours = follow_many.follow_many(told, claimed.orders, market, claimed.cash, rules, claimed.names)
    account = market.replay(ours, claimed.cash, rules)
    checks.compare_flows(account.flows, claimed.flows, claimed.cash, claimed.names)
    checks.compare_equity(account.equity, claimed.equity, claimed.cash, bool(claimed.fills))
    return account, market.equal_money(claimed.cash), _holdings(account, market)


def _replayed_copied(
    claimed: Claimed, rules: CopiedRules, store: Path
) -> tuple[PortfolioReplay, np.ndarray, list[dict[str, Any]], str]:
    """The same for the fills of another library, which pays no dividends and knows no splits; and what else is to be
    said. It may go on with less than nothing, where we do not.
    """
    market = copied.market_of(store, claimed.snapshot, claimed.instruments, claimed.stamps)
    columns = checks.columns_of(claimed.fills)
    copied.check_fills(columns, claimed.orders, market, rules, claimed.names)
    copied.check_cash(columns, claimed.cash, len(claimed.stamps), rules)
    account = replay_portfolio(columns, market.close, claimed.cash)
    theirs, said = claimed.equity, ""
    ruined = np.flatnonzero(account.equity <= 0)
    if len(ruined) and theirs[ruined[0]] <= checks.EQUITY_TOLERANCE * claimed.cash:
        at = int(ruined[0])
        theirs, said = np.where(np.arange(len(theirs)) < at, theirs, 0.0), copied.ruined_on(claimed.dates[at])
        columns = tuple(column[columns[0] <= at] for column in columns)
        account = replay_portfolio(columns, market.close, claimed.cash)
    checks.compare_flows(account.flows, claimed.flows, claimed.cash, claimed.names)
    checks.compare_equity(account.equity, theirs, claimed.cash, bool(claimed.fills))
    return account, market.equal_money(claimed.cash), _holdings(account, market), said


def _holdings(account: PortfolioReplay, market: Market) -> list[dict[str, Any]]:
    equity, units = float(account.equity[-1]), account.units[-1]
    return [
        {
            "instrument": at,
            "units": float(units[at]),
            "price": float(market.marks[-1, at]),
            "value": float(units[at] * market.marks[-1, at]),
            "weight": float(units[at] * market.marks[-1, at] / equity) if equity > 0 else 0.0,
        }
        for at in np.flatnonzero(units).tolist()
    ]


def _named(shown: list[dict[str, Any]], instruments: int) -> list[dict[str, Any]]:
    """Buying and holding several instruments is one of many ways to do it, so its name says which."""
    if instruments < 2:
        return shown
    told = {"label": EQUAL_PARTS, "help": "Total return of equal parts of all its instruments, held without costs."}
    return [figure | told if figure["key"] == "buy_and_hold" else figure for figure in shown]


def _as_claimed(claimed: Claimed) -> Replay:
    """The account as the run says it was; positions and trades follow from its fills, splits and payments alone."""
    count, width = len(claimed.dates), len(claimed.instruments)
    if not isinstance(claimed.rules, (PortfolioRules, CopiedRules)) or count * width > MAX_CELLS:
        moved = replay([] if width > 1 else claimed.fills, np.zeros(count), 0.0)
        return Replay(claimed.equity, moved.positions, moved.traded_value, moved.commissions, moved.trades)
    splits = np.ones((count, width))
    paid_out = []
    for flow in claimed.flows:
        if flow["kind"] == "split":
            splits[flow["bar"], flow["instrument"]] *= flow["ratio"]
        elif flow["kind"] == "delisting":
            exit_ = {"bar": flow["bar"], "instrument": flow["instrument"], "size": -flow["units"]}
            paid_out.append({**exit_, "price": flow["price"], "commission": 0.0})
    fills = sorted([*paid_out, *claimed.fills], key=lambda fill: fill["bar"])  # stable: payments come first
    columns = checks.columns_of(fills)
    with np.errstate(over="ignore", invalid="ignore"):
        moved = replay_portfolio(columns, np.ones((count, width)), 0.0, splits=splits)
    if not np.isfinite(moved.positions).all():
        raise ClaimRefused("Its splits and fills lead to numbers that are out of range.")
    return Replay(claimed.equity, moved.positions, moved.traded_value, moved.commissions, moved.trades)


def survivorship_note(store: Path, snapshot: str | None, instruments: list[dict[str, Any]]) -> dict[str, Any]:
    """{"survivorship": a sentence} where the instruments were chosen with hindsight, or nobody knows how."""
    try:
        held = entries(store, snapshot)
    except SnapshotMissing:
        held = []
    # A provider may give the very bytes that the catalogue has.
    known = {(entry["id"], entry["object"]): entry for entry in held}
    biased, unknown = [], []
    for instrument in instruments:
        entry = known.get((instrument["series"], instrument["object"]))
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


def page_event(checked: CheckedBacktest) -> dict[str, Any]:
    """The event the page draws the backtest from; the same figures as in the record."""
    several = isinstance(checked.conventions.get("fill"), str)
    columns = ["Entry", "Exit", "Size", "Entry price", "Exit price", "Profit", "Return"]
    names = [instrument["symbol"] for instrument in checked.instruments]
    rows = [
        [
            *([names[trade["instrument"]]] if several else []),
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
    event = {
        "type": "backtest",
        "strategy": checked.strategy,
        "library": checked.engine_name,
        "params": checked.params,
        "verified": checked.verified,
        "verified_text": checked.verified_text,
        "figures": checked.figures,
        "chart": checked.chart,
        "trades": {
            "columns": ["Instrument", *columns] if several else columns,
            "rows": rows,
            "total": checked.trade_count,
        },
        "conventions": checked.conventions["lines"],
        "survivorship": checked.conventions.get("survivorship", ""),
        "synthetic": made_up(checked.instruments),
        "description": checked.description,
        "no_trades": checked.no_trades,
        "remarks": remarks(checked.orders, checked.flows, checked.instruments, checked.dates),
    }
    if several:
        event["instruments"] = names
        event["holdings"] = {
            "columns": ["Instrument", "Units", "Price", "Value", "Weight"],
            "rows": [
                [
                    names[held["instrument"]],
                    round(held["units"], 6),
                    round(held["price"], 4),
                    round(held["value"], 2),
                    round(held["weight"], 6),
                ]
                for held in checked.holdings
            ],
            "total": len(checked.holdings),
        }
    return event
