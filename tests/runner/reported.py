"""Backtests of the starter data as rows, for tests of pages and reports: no box is needed, every number is checked."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from qfp import starter
from qfp.conventions import BacktestingPy

from marketdata.bars import read_bars
from runner.backtests import CheckedBacktest, check_claim
from runner.models import Backtest, Run
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
