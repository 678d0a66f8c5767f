"""What should nobody overlook about a backtest's orders? Those that were refused, and what ended, a sentence each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from qfp.figures import signed

__all__ = ["remarks", "why_no_trades"]

REASONS = 4


def remarks(
    orders: Sequence[dict[str, Any]],
    flows: Sequence[dict[str, Any]],
    instruments: Sequence[dict[str, Any]],
    dates: Sequence[str],
) -> list[str]:
    """Sentences for the head of a result; no prices are in them.

    orders, flows: as a checked backtest holds them.
    """
    found = []
    refused = [order for order in orders if order["outcome"] == "refused"]
    if refused:
        reasons = Counter(order.get("reason") or "no reason was given" for order in refused).most_common()
        told = "; ".join(f"{reason} ({signed(count, 0)})" for reason, count in reasons[:REASONS])
        rest = sum(count for _, count in reasons[REASONS:])
        were = "order was" if len(refused) == 1 else "orders were"
        first = f"the first decided on {dates[refused[0]['bar']][:10]}"
        others = f"; others ({signed(rest, 0)})" if rest else ""
        found.append(f"{signed(len(refused), 0)} {were} refused, {first}: {told}{others}.")
    waiting = sum(order["outcome"] == "waiting" for order in orders)
    if waiting:
        found.append(f"{signed(waiting, 0)} {'order' if waiting == 1 else 'orders'} never filled.")
    ended = [instruments[flow["instrument"]]["symbol"] for flow in flows if flow["kind"] == "delisting"]
    if ended:
        names = ", ".join(ended[:5]) + (f" and {len(ended) - 5} more" if len(ended) > 5 else "")
        found.append(f"Held until their last bar and paid out at its close: {names}.")
    return found


def why_no_trades(orders: Sequence[dict[str, Any]], order_count: int, price: float | None = None) -> str:
    """Why a backtest without fills has none, as far as its orders tell; empty text where they do not.

    order_count: how many there were in all. price: what a unit costs, where there is one instrument.
    """
    if not order_count:
        return ""
    if len(orders) < order_count or any(order["outcome"] != "refused" for order in orders):
        return ""
    reason = Counter(order.get("reason") or "" for order in orders).most_common(1)[0][0]
    unit = "" if price is None else signed(price, 2)
    costs = f" One unit costs about {unit}; raise the cash, or trade a part of one." if unit else ""
    return f"Every order was refused{f': {reason}' if reason else ''}.{costs}"
