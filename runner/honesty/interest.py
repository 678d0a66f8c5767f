"""Does cash earn what somebody would have paid? A result whose cash earns more than bills did needs no strategy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from django.conf import settings
from qfp import objects
from qfp.figures import count, percent

from marketdata.store import SnapshotMissing, snapshot_folder
from runner.models import Backtest
from runner.snapshot_series import entries

__all__ = ["bills_paid", "finding"]

BILLS, TENOR = "starter/rates/ust_curve", "3m"
COVERED = 0.9  # of the time of a backtest, at least
ABOVE_BILLS = 0.01  # a year
WITHOUT_BILLS = 0.06  # a year


def finding(backtest: Backtest) -> dict[str, str] | None:
    """State and a sentence; None where there is nothing to say."""
    rules = backtest.conventions
    rate = rules.get("interest") or 0.0
    if rate <= 0:
        return None
    paid, said, state = bills_paid(backtest), [], "grey"
    if rate > (WITHOUT_BILLS if paid is None else paid + ABOVE_BILLS):
        if paid is None:
            known = f"more than {percent(WITHOUT_BILLS)}, and the yields of bills over these dates are not at hand"
        else:
            known = f"US Treasury bills paid {percent(paid)} on average over these dates"
        state, said = "amber", [f"Cash earns {percent(rate)} a year{_earned(backtest)}: {known}."]
    if not rules.get("borrow") and _was_short(backtest):
        said.append("Its short positions pay no borrowing fee, and the cash from them earns interest.")
    return {"state": state, "sentence": " ".join(said)} if said else None


def bills_paid(backtest: Backtest) -> float | None:
    """The yield of three-month bills a year, on average over the dates of a backtest, as a fraction; None where its
    snapshot does not know it.
    """
    store = Path(settings.STORE_DIR)
    try:
        held = entries(store, backtest.snapshot, with_objects=True)
    except SnapshotMissing:
        return None
    curve = next((entry for entry in held if entry["id"] == BILLS), None)
    if curve is None:
        return None
    columns = objects.read(snapshot_folder(store, backtest.snapshot), curve["object"], [TENOR])
    days = columns["date"]
    first, last = (np.datetime64(backtest.dates[at].replace("Z", ""), "us") for at in (0, -1))
    yields = columns[TENOR][(days >= first) & (days <= last)]
    covered = (min(last, days[-1]) - max(first, days[0])) / max(last - first, np.timedelta64(1, "us"))
    return float(np.nanmean(yields)) if covered >= COVERED and np.isfinite(yields).any() else None


def _earned(backtest: Backtest) -> str:
    """How much that was, and of the gain."""
    earned = sum(flow["amount"] for flow in backtest.flows if flow["kind"] == "interest")
    gain = backtest.equity[-1] - backtest.cash
    if earned <= 0:
        return ""
    of_it = f", {percent(min(earned / gain, 1.0))} of the gain" if gain > 0 else ""
    return f", {count(earned)} in all{of_it}"


def _was_short(backtest: Backtest) -> bool:
    sizes = [trade["size"] for trade in backtest.trades] + [held["units"] for held in backtest.holdings]
    return any(size < 0 for size in sizes)
