"""What does a backtest tell that trades parts of a unit, as a FractionalBacktest does? Its orders and fills are of
parts, at prices of a part; so they are followed, to the last digit, and kept in units.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from runner.claims.bars import OurBars

__all__ = ["bars_of_parts", "in_units"]

PRICES = ("price", "limit", "stop", "sl", "tp", "entry_price", "exit_price")


def bars_of_parts(bars: OurBars, unit: float) -> OurBars:
    """Those that the program has seen, to the last digit."""
    return OurBars(bars.open * unit, bars.high * unit, bars.low * unit, bars.close * unit, bars.split)


def in_units(rows: Iterable[dict[str, Any]], unit: float) -> list[dict[str, Any]]:
    """Fills, orders or trades. An order for a fraction of the account stays what it is."""
    found = []
    for row in rows:
        prices = {name: row[name] / unit for name in PRICES if row.get(name) is not None}
        fraction = "outcome" in row and abs(row["size"]) < 1
        found.append({**row, **prices, "size": row["size"] if fraction else row["size"] * unit})
    return found
