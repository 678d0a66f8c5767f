"""What did a program try with Backtest or Portfolio itself? The site counts it as trials and shows nothing of it."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from qfp import channel, checking, results
from qfp.packing import EQUITY

if TYPE_CHECKING:
    from qfp.backtesting.running import Backtest, Run
    from qfp.portfolio.running import Portfolio

__all__ = ["MOST", "asked_by_program", "count", "count_portfolio", "count_run"]

MOST = 1_000  # of a program, or of a cell of a session; the site counts no more
TOGETHER = 100_000  # characters of JSON that are told in one message, and one combination beyond at most
LONG_PARAMS = 9_000  # characters of JSON from which on a combination is told by its hash
MOST_TOLD = 1e15  # a figure that the site takes; larger ones, and NaN, tell nothing
_known: dict[tuple[int, int], set[bytes]] = {}  # SHA-256 of what was told, by process and cell: of the present ones


def asked_by_program(depth: int = 2) -> bool:
    """Whether the caller of the function that asks is the program, and not this library: its tests are no trials."""
    return str(sys._getframe(depth).f_globals.get("__name__", "")).split(".")[0] != "qfp"


def count(
    test: Backtest, combinations: Iterable[Mapping[str, Any]], figures: Iterable[float], label: str = EQUITY
) -> None:
    """Tell the site of every combination that it has not heard of, as far as it counts them.

    figures: of each combination, named by label. Where the same has another one than before, something else has changed
    that the strategy reads, and it is another trial.
    """
    frame = test._data
    if not _is_heard() or len(frame) < 2:
        return
    if len(told := _told()) < MOST:
        _tell(told, _about(test), combinations, figures, label)


def count_run(test: Backtest, params: Mapping[str, Any], run: Run) -> None:
    count(test, [params], (run.figures.one(EQUITY) for _ in range(1)))  # found only where somebody listens


def count_portfolio(portfolio: Portfolio, strategy: Any, params: Mapping[str, Any], equity: np.ndarray) -> None:
    """The same for one run of a portfolio. What its function reads beside its parameters shows in its equity alone."""
    if _is_heard() and len(portfolio.market.index) >= 2 and len(told := _told()) < MOST:
        given = {**params, "equity": hashlib.sha256(np.ascontiguousarray(equity, dtype=float).tobytes()).hexdigest()}
        _tell(told, _about_portfolio(portfolio, strategy), [given], [float("nan")])


def _is_heard() -> bool:
    heard = channel.connected and (os.getpid() == channel._owner or channel.relay is not None)
    return heard and checking.active and results.taker is None and results.instead is None


def _told() -> set[bytes]:
    now = os.getpid(), checking.cell
    if now not in _known:
        _known.clear()  # of an earlier cell, or of the process that this one was forked from
    return _known.setdefault(now, set())


def _tell(
    told: set[bytes],
    about: dict[str, Any],
    combinations: Iterable[Mapping[str, Any]],
    figures: Iterable[float],
    label: str = EQUITY,
) -> None:
    begun = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode())
    fresh: list[dict[str, Any]] = []
    length = 0
    for one, figure in zip(combinations, figures, strict=True):
        params = {str(key): results.simple(value) for key, value in one.items()}
        ended = [label[:60], float(figure)] if abs(figure) <= MOST_TOLD else None
        text = json.dumps([params, ended], sort_keys=True, default=str).encode()
        if len(text) > LONG_PARAMS:  # or it would take others along that are told with it
            params = {"sha256": hashlib.sha256(text).hexdigest()}
        hashed = begun.copy()
        hashed.update(text)
        if (name := hashed.digest()) in told:
            continue
        told.add(name)
        fresh.append({"params": params, "ended": ended})
        length += min(len(text), LONG_PARAMS)
        if length >= TOGETHER:
            _emit(about, fresh)
            fresh, length = [], 0
        if len(told) >= MOST:
            break
    if fresh:
        _emit(about, fresh)


def _emit(about: dict[str, Any], tried: list[dict[str, Any]]) -> None:
    claim = {**about, "tried": tried}
    channel.emit({"type": "backtest", "claim": claim, "number": None, "attempt": True})


def _about_portfolio(portfolio: Portfolio, strategy: Any) -> dict[str, Any]:
    from qfp.moments import dates_of

    market = portfolio.market
    dates = dates_of(market.index[[0, -1]])
    return {
        "strategy": str(getattr(strategy, "__name__", "weights"))[:120],
        "instruments": [_of_bars(" ".join(market.symbols), market.close)],
        "period": {"start": dates[0], "end": dates[-1]},
        "cash": portfolio.cash,
        "conventions": portfolio.rules.as_dict(),
    }


def _of_bars(name: str, closes: Any) -> dict[str, Any]:
    """Other closes under the same name are another trial."""
    return {"symbol": f"{name[:40]} {results.digest(closes):08x}"}


def _about(test: Backtest) -> dict[str, Any]:
    """What all combinations have in common."""
    from qfp.backtesting.rules import COMPATIBLE
    from qfp.backtests import conventions_of
    from qfp.moments import dates_of

    frame = test._data
    dates = dates_of(frame.index[[0, -1]])
    charge: Any = test._commission
    conventions = conventions_of(
        {
            "commission": (charge.fixed, charge.share) if hasattr(charge, "share") else charge,
            "spread": test._spread,
            "margin": 1 / test._leverage,
            **dict(zip(("trade_on_close", "hedging", "exclusive_orders"), test._flags, strict=True)),
            "finalize_trades": test._finalize,
            "rules": "backtesting.py" if test.rules == COMPATIBLE else "qfp",
        }
    )
    return {
        "strategy": test._strategy.__name__[:120],
        "instruments": [_of_bars(str(frame.attrs.get("symbol") or ""), frame["Close"])],
        "period": {"start": dates[0], "end": dates[-1]},
        "cash": test._cash,
        "conventions": conventions.as_dict(),
    }
