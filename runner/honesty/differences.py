"""Where do the claims of two courses of prices part, in what was decided, filled or refused before they did?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from qfp.checking.decisions import (
    Decision,
    first_difference,
    first_other_fate,
    first_other_fill,
    of_claim,
    of_fills,
    otherwise_at_open,
)

from runner.honesty import cuts
from runner.honesty.examinable import NotComparable
from runner.models import Backtest

__all__ = ["OF_ONE", "differences", "last_decided", "made", "numbered", "told_in_full"]

OF_ONE = 100_000  # instruments of one backtest, where those of several are compared together


def made(backtest: Backtest, claim: Any, moment: np.datetime64, known: Mapping[int, np.ndarray]) -> list[Decision]:
    """Its orders and fills until then, or those of a claim of the same; instruments are numbered beside others'."""
    orders, fills = backtest.orders, backtest.fills
    if claim is not None:
        orders, fills = (numbered(claim, backtest, rows) for rows in (claim.get("orders") or [], claim["fills"]))
    until = last_decided(backtest, moment, known)
    decided = [each for each in of_claim({"orders": orders}) if each.bar <= until]
    decided += of_fills(fills, until - _is_dated_back(backtest.conventions))
    return [each._replace(instrument=OF_ONE * backtest.position + each.instrument) for each in decided]


def last_decided(backtest: Backtest, moment: np.datetime64, known: Mapping[int, np.ndarray] | None) -> int:
    """Its last bar that was decided by then."""
    if known is None:
        decided = np.array([date.replace("Z", "") for date in backtest.dates], dtype="datetime64[us]")
    else:
        decided = known[backtest.position]
    return int(np.searchsorted(decided, moment, side="right")) - 1


def differences(
    backtests: list[Backtest],
    claims: list[Any],
    moment: np.datetime64,
    inside: bool = False,
    known: Mapping[int, np.ndarray] | None = None,
) -> dict[int, int]:
    """The first bar that was decided otherwise of those decided by a moment, by position of the backtest, where one
    was. known: as of last_known(); the dates themselves unless given.
    """
    if len(claims) != len(backtests):
        raise NotComparable("on other data it makes other backtests")
    found = {}
    for backtest, claim in zip(backtests, claims, strict=True):
        try:
            same = claim["strategy"] == backtest.strategy and claim["dates"][0][:10] == backtest.dates[0][:10]
            if not same or claim["params"] != backtest.params:
                raise NotComparable("on other data it chooses other parameters")
            orders, filled = (numbered(claim, backtest, rows) for rows in (claim.get("orders") or [], claim["fills"]))
            theirs = of_claim({"orders": orders})
            until = last_decided(backtest, moment, known)
            found_at = (
                first_difference(of_claim({"orders": backtest.orders}), theirs, until),
                first_other_fill(backtest.fills, filled, until - _is_dated_back(backtest.conventions)),
                first_other_fate(backtest.orders, orders, until - _is_dated_back(backtest.conventions)),
                _at_open(backtest, claim, orders, filled, until + 1) if inside else None,
            )
        except (TypeError, ValueError, KeyError, IndexError, AttributeError):
            raise NotComparable("on other data it hands out something else") from None
        if bars := [bar for bar in found_at if bar is not None]:
            found[backtest.position] = min(bars)
    return found


def told_in_full(backtests: Sequence[Backtest], claims: Sequence[Any], fewer: int = 0) -> list[Any]:
    """The claims of a program that ended with an error, up to the first that does not reach as far as the backtest of
    its number, or that may be another's where some are missing. fewer: bars than there were on data that are shorter.
    """
    told: list[Any] = []
    if len(claims) > len(backtests):
        return told
    for backtest, claim in zip(backtests, claims, strict=False):
        try:
            whole = len(claim["dates"]) >= len(backtest.dates) - fewer
            if not whole or (len(claims) < len(backtests) and not _is_like(claim, backtest)):
                break
        except (TypeError, KeyError, AttributeError):
            break
        told.append(claim)
    return told


def _is_like(claim: dict[str, Any], backtest: Backtest) -> bool:
    """Whether it says that it is the same strategy, with the same values, on the same instruments."""
    theirs, ours = (
        [each.get("series") or each["symbol"] for each in of] for of in (claim["instruments"], backtest.instruments)
    )
    return claim["strategy"] == backtest.strategy and claim["params"] == backtest.params and theirs == ours


def _at_open(
    backtest: Backtest, claim: Any, orders: list[dict[str, Any]], fills: list[dict[str, Any]], bar: int
) -> int | None:
    """The bar that has the same open, and reaches the same prices for which orders wait, if that filled others. One
    that ends the account, or the backtest, fills at its close, too.
    """
    if not 0 < bar < len(backtest.dates) - 1 or not cuts.fills_at_open(backtest.conventions) or not backtest.verified:
        return None
    if not bar < len(claim["equity"]) - 1 or backtest.equity[bar] <= 0 or not claim["equity"][bar] > 0:
        return None
    return bar if otherwise_at_open(backtest.orders, orders, backtest.fills, fills, bar) else None


def numbered(claim: dict[str, Any], backtest: Backtest, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the claim with its instruments numbered as ours: a universe may have other members on other data."""
    ours = [each.get("series") for each in backtest.instruments]
    theirs = [each.get("series") for each in claim["instruments"]]
    if all(ours) and not all(theirs):  # another library has put the bars together, which are known by their name then
        by_name = {each["symbol"]: each["series"] for each in backtest.instruments}
        theirs = [each.get("series") or by_name.get(each["symbol"]) for each in claim["instruments"]]
        if not all(theirs):
            raise NotComparable("on other data it cannot be told whether it trades the same instruments")
    if ours == theirs or not all((*ours, *theirs)) or len(set(theirs)) < len(theirs):
        return rows
    places = {name: at for at, name in enumerate(ours)}
    among = [places.get(name, len(ours) + at) for at, name in enumerate(theirs)]
    return [{**row, "instrument": among[row.get("instrument") or 0]} for row in rows]


def _is_dated_back(conventions: dict[str, Any]) -> bool:
    """Whether a fill may be dated to the close that decided it, and was made with what the next bar showed."""
    return bool(conventions.get("trade_on_close")) or "library" in conventions
