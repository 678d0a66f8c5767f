"""What does a claim say? Every field of it is read here, before any of it is believed. Start at read_claim()."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from qfp.conventions import BacktestingPy
from qfp.packing import EQUITY

from runner.claims import fields
from runner.claims.fields import ClaimRefused

__all__ = ["EQUITY", "Claimed", "attempts_of", "aware", "read_attempt", "read_claim"]

MOST_WINDOWS = 100  # of a walk-forward


@dataclass(frozen=True)
class Claimed:
    """A claim whose every field has been read."""

    dates: list[str]
    stamps: np.ndarray
    cash: float
    equity: np.ndarray
    instruments: list[dict[str, Any]]
    rules: fields.Rules
    fills: list[dict[str, float]]
    fill_count: int
    flows: list[dict[str, Any]]
    orders: list[dict[str, Any]]
    order_count: int
    log: fields.Log | None
    snapshot: str | None
    window_bars: int | None  # of a walk-forward
    unit: float  # of which sizes and prices are told, where parts of one are traded

    @property
    def names(self) -> list[str]:
        return [instrument["symbol"] for instrument in self.instruments]


def read_claim(claim: dict[str, Any]) -> Claimed:
    """Every number of a claim. Raises ClaimRefused for one that is malformed, too large, or impossible."""
    if claim.get("version") != 2:
        raise ClaimRefused("The claim's version is not known here; update qfp.")
    dates, stamps = fields.moments(claim.get("dates"))
    cash = fields.number(claim.get("cash"), "cash", 1e-9, 1e15)
    values = fields.items(claim.get("equity"), "equity", fields.MAX_BARS, 2)
    equity = np.array([fields.number(value, "An equity value") for value in values])
    if len(equity) != len(dates):
        raise ClaimRefused("equity and dates must have the same length.")
    instruments = fields.instruments(claim.get("instruments"), len(dates))
    size = len(dates), len(instruments)
    rules = fields.rules(claim.get("conventions"))
    unit = fields.number(claim.get("unit", 1), "unit", 1e-12, 1) if isinstance(rules, BacktestingPy) else 1.0
    fills = fields.fills(claim.get("fills"), *size, unit)
    orders = fields.orders(claim.get("orders"), *size, unit)
    return Claimed(
        dates=dates,
        stamps=stamps,
        cash=cash,
        equity=equity,
        instruments=instruments,
        rules=rules,
        fills=fills,
        fill_count=fields.whole(claim.get("fill_count", len(fills)), "fill_count", len(fills), 10**9),
        flows=fields.flows(claim.get("flows"), *size),
        orders=orders,
        order_count=fields.whole(claim.get("order_count", len(orders)), "order_count", len(orders), 10**9),
        log=fields.log(claim.get("orders"), claim.get("taken_away"), len(dates)) if len(instruments) == 1 else None,
        snapshot=fields.hash_or_none(claim.get("snapshot"), "snapshot"),
        window_bars=_window_bars(fields.mapping(claim.get("params", {}), "params"), len(dates)),
        unit=unit,
    )


def attempts_of(claim: Any, most: int) -> list[Any]:
    """A claim that tells of several combinations as a claim for each of the first; any other as it is. Raises
    ClaimRefused for several of many instruments, each of which would be read and hashed with all of them.
    """
    if not isinstance(claim, dict) or not isinstance(tried := claim.get("tried"), list):
        return [claim]
    if len(fields.items(claim.get("instruments"), "instruments", fields.MAX_INSTRUMENTS)) > 1:
        raise ClaimRefused("Several combinations are told of together for one instrument only.")
    each = [one if isinstance(one, dict) else {} for one in tried[:most]]
    common = {name: value for name, value in claim.items() if name != "tried"}
    return [common | {name: one.get(name) for name in ("params", "ended")} for one in each]


def read_attempt(claim: Any) -> dict[str, Any]:
    """What a claim says was tried, under the names of a Backtest's fields, and `ended`, name and value of a
    figure that it tells, or None. Raises ClaimRefused.
    """
    claim = fields.mapping(claim, "The claim")
    period = fields.mapping(claim.get("period"), "period")
    _, stamps = fields.moments([period.get("start"), period.get("end")])
    return {
        "strategy": fields.name(claim.get("strategy"), "strategy", 120),
        "params": fields.small_json(fields.mapping(claim.get("params", {}), "params"), "params"),
        "instruments": fields.instruments(claim.get("instruments"), fields.MAX_BARS),
        "start": aware(stamps[0]),
        "end": aware(stamps[-1]),
        "cash": fields.number(claim.get("cash"), "cash", 1e-9, 1e15),
        "conventions": fields.rules(claim.get("conventions")).as_dict(),
        "ended": _ended(claim.get("ended"), claim.get("equity")),
    }


def _ended(told: Any, equity: Any) -> tuple[str, float] | None:
    if isinstance(equity, list) and equity:  # a claim in full
        told = [EQUITY, equity[-1]]
    if told is None:
        return None
    if not isinstance(told, list) or len(told) != 2:
        raise ClaimRefused("ended must be the name of a figure and its value.")
    return fields.name(told[0], "ended", 60), fields.number(told[1], "ended")


def _window_bars(params: dict[str, Any], count: int) -> int | None:
    """How long the windows of a walk-forward are: few enough that closing at their ends is no way to trade."""
    windows, each = params.get("windows"), params.get("window_bars")
    if type(windows) is not int or type(each) is not int or not 1 <= windows <= MOST_WINDOWS or each < 1:
        return None
    return each if -(-count // each) == windows else None


def aware(stamp: np.datetime64) -> datetime:
    return stamp.astype("datetime64[us]").item().replace(tzinfo=UTC)
