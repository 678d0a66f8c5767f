"""How does a stored backtest become the record of a tear sheet? Its account, replayed once more over our bars."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from qfp import metrics, objects
from qfp.conventions import CopiedRules, PortfolioRules
from qfp.portfolio.market import Market
from qfp.replay import PortfolioReplay, replay, replay_portfolio
from qfp.tearsheet import FactorSet, Prices, Record, factor_sets

from marketdata.store import SnapshotMissing
from runner.claims import copied, fields
from runner.claims.bars import NotVerified, our_bars, our_market
from runner.claims.checks import columns_of
from runner.figures import moments
from runner.models import Backtest
from runner.private import STRATEGY
from runner.snapshot_series import entries

__all__ = ["record_of"]


def record_of(backtest: Backtest, prices: bool) -> Record:
    """prices: whether this reader may see bars, trades and what else holds prices; if not, they are not in it."""
    record = _record(backtest.pk, prices)
    # Its tests of honesty end after it is stored.
    cells = backtest.checks.get("band", {}).get("cells", ()) if prices else ()
    return replace(record, band=cells) if cells else record


# A page asks for each of its charts; what a backtest is made of never changes.
@lru_cache(maxsize=4)
def _record(pk: int, prices: bool) -> Record:
    backtest = Backtest.objects.get(pk=pk)
    record = Record(
        strategy=backtest.strategy if prices else STRATEGY,
        dates=moments(backtest.dates),
        equity=np.array(backtest.equity, dtype=float),
        symbols=tuple(instrument["symbol"] for instrument in backtest.instruments),
        figures=backtest.figures,
        factors=_factors(backtest.snapshot),
    )
    if len(backtest.instruments) > 1:
        record = replace(record, benchmark_name="Equal parts held")
    if not prices:
        return record
    record = replace(record, trades=backtest.trades, fills=backtest.fills)
    if not backtest.standing.verified:
        return record
    try:
        return replace(record, **_replayed(backtest, record.dates))
    except NotVerified:  # its snapshot has gone since: what is stored has to do
        return record


def _factors(snapshot: str) -> list[FactorSet]:
    """Those of the snapshot that everybody may see."""
    store = Path(settings.STORE_DIR)
    try:
        held = entries(store, snapshot, with_objects=True)
    except SnapshotMissing:
        return []
    return factor_sets(
        [
            (entry, objects.read(store, entry["object"]))
            for entry in held
            if entry["kind"] == "factors" and entry.get("rights") != "personal"
        ]
    )


def _replayed(backtest: Backtest, stamps: np.ndarray) -> dict[str, Any]:
    store, rules = Path(settings.STORE_DIR), fields.rules(backtest.conventions)
    if isinstance(rules, PortfolioRules):
        market = our_market(store, backtest.snapshot, backtest.instruments, stamps)
        held = market.replay(columns_of(backtest.fills), backtest.cash, rules)
        return _of_portfolio(held, market, backtest.cash)
    if isinstance(rules, CopiedRules):
        market = copied.market_of(store, backtest.snapshot, backtest.instruments, stamps)
        held = replay_portfolio(columns_of(backtest.fills), market.close, backtest.cash)
        found = _of_portfolio(held, market, backtest.cash)
        if len(market.symbols) > 1:
            return found
        high, low, close = (market.fields[name][:, 0] for name in ("high", "low", "close"))
        return found | {"prices": Prices(backtest.instruments[0]["symbol"], high, low, close)}
    bars = our_bars(store, backtest.snapshot, backtest.instruments[0], stamps)
    account = replay(backtest.fills, bars.close, backtest.cash)
    net, gross = metrics.exposure_series(account.positions * bars.close, account.equity)
    return {
        "trades": account.trades,
        "net": net,
        "gross": gross,
        "benchmark": backtest.cash * bars.close / bars.close[0],
        "prices": Prices(backtest.instruments[0]["symbol"], bars.high, bars.low, bars.close),
    }


def _of_portfolio(held: PortfolioReplay, market: Market, cash: float) -> dict[str, Any]:
    net, gross = metrics.exposure_series(held.units * market.marks, held.equity)
    several = {"benchmark": market.equal_money(cash), "benchmark_name": "Equal money, held"}
    return {"trades": held.trades, "net": net, "gross": gross, **several}
