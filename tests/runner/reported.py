"""Backtests of the starter data as rows, for tests of pages and reports: no box is needed, every number is checked."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from qfp import starter
from qfp.conventions import BacktestingPy

from runner.backtests import CheckedBacktest, check_claim
from runner.models import Backtest, Run
from tests.bars import read_bars
from tests.sdk.conftest import STORE


def claim_of(symbol: str, hold: int, rest: int, bars: int = 1500, cash: float = 100_000.0) -> dict[str, Any]:
    """Hold a tenth of the cash's worth for some bars, rest for others, and so on."""
    built = starter.build(STORE)
    entry = next(series for series in built.series if series["id"].endswith(("1d/" + symbol, "index/" + symbol)))
    columns = {name: column[-bars:] for name, column in read_bars(STORE, built.snapshot, entry["id"], "split").items()}
    opens, closes = columns["open"], columns["close"]
    fills, size = [], 0.0
    for bar in range(1, len(opens)):
        turn = bar % (hold + rest)
        if turn == 1 and not size:
            size = float(int(cash / 2 / opens[bar]))
            fills.append((bar, size))
        elif turn == hold and size:
            fills.append((bar, -size))
            size = 0.0
    booked = [
        {"bar": bar, "size": units, "price": float(opens[bar]), "commission": float(abs(units) * opens[bar] * 0.001)}
        for bar, units in fills
    ]
    money, units, equity, waiting = cash, 0.0, [], list(booked)
    for bar, close in enumerate(closes):
        while waiting and waiting[0]["bar"] == bar:
            fill = waiting.pop(0)
            money -= fill["size"] * fill["price"] + fill["commission"]
            units += fill["size"]
        equity.append(float(money + units * close))
    return {
        "version": 2,
        "engine": {"name": "qfp", "version": "0.1.0"},
        "strategy": f"Hold{hold}Rest{rest}",
        "params": {"hold": hold, "rest": rest},
        "instruments": [{"symbol": symbol, "series": entry["id"], "object": entry["object"], "adjust": "split"}],
        "snapshot": built.snapshot,
        "cash": cash,
        "conventions": BacktestingPy().as_dict(),
        "dates": [str(day)[:10] for day in columns["date"]],
        "equity": equity,
        "fills": booked,
        "flows": [],
        "orders": [{"bar": bar - 1, "size": units, "kind": "market", "outcome": "filled"} for bar, units in fills],
        "trades": [],
        "refused_orders": [],
    }


def stored(run: Run, claim: dict[str, Any]) -> Backtest:
    """The row that the site makes of a claim."""
    checked = check_claim(claim, STORE)
    known = {field.name for field in Backtest._meta.get_fields()}
    values = {each.name: getattr(checked, each.name) for each in fields(CheckedBacktest) if each.name in known}
    return Backtest.objects.create(
        run=run, position=run.backtests.count(), **values | {"snapshot": checked.snapshot or ""}
    )


def equity_of(backtest: Backtest) -> np.ndarray:
    return np.array(backtest.equity)


def claims_of_programs() -> list[dict[str, Any]]:
    """What three programs claim, made by the library itself: one share held, one long and short at once, several."""
    import json

    import pytest
    from qfp import backtests, data, starter
    from qfp.backtesting import Strategy
    from qfp.backtesting.lib import crossover
    from qfp.data import catalogue
    from qfp.portfolio import Portfolio, PortfolioResult

    class Crossing(Strategy):
        def init(self):
            self.fast, self.slow = (
                self.I(lambda close, n=n: np.convolve(close, np.ones(n) / n)[: len(close)], self.data.Close)
                for n in (10, 30)
            )

        def next(self):
            if crossover(self.fast, self.slow):
                self.buy(size=0.9)
            elif crossover(self.slow, self.fast):
                self.position.close()

    class Hedged(Strategy):
        def init(self):
            pass

        def next(self):
            if len(self.data) % 50 == 10:
                self.buy(size=300)
            if len(self.data) % 50 == 20:
                self.sell(size=200)
            if len(self.data) % 50 == 40:
                for trade in self.trades:
                    trade.close()

    def on_bar(ctx):
        if ctx.bar % 21 == 0:
            ctx.target("IBM", 0.5)
            ctx.target("AAPL", 0.3)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QFP_DATA", str(starter.build(STORE).folder))
        for cache in (catalogue.current, catalogue.folder):
            cache.cache_clear()
        made = [
            backtests.backtest(Crossing, data.prices("GOOG", "2009-01-02"), commission=0.002),
            backtests.backtest(Hedged, data.prices("IBM", "2008-01-02", "2010-06-30"), cash=100_000, hedging=True),
        ]
        frames = {symbol: data.prices(symbol, "2004-01-02", "2009-12-31", adjust=None) for symbol in ("IBM", "AAPL")}
        run = Portfolio(frames, cash=100_000, interest=0.01).run(on_bar)
    for cache in (catalogue.current, catalogue.folder):
        cache.cache_clear()
    made.append(PortfolioResult("Two shares", run, {}))
    return [json.loads(json.dumps(result.claim, allow_nan=False)) for result in made]
