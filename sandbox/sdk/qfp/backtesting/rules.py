"""By which rules does the engine fill orders? The usual ones, and those of backtesting.py for comparison.

Where prices inside a bar leave open what came first, the usual rules take what is worse for the trader, and nothing
is decided with a price that was not known yet.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["COMPATIBLE", "USUAL", "FillRules"]


@dataclass(frozen=True)
class FillRules:
    """What happens where engines differ.

    size_at_close: orders given as a fraction, and the check whether the account can pay, value what is open at the
      close of the bar of the fill (not known yet) instead of its open.
    entry_bar_stops: a stop-loss also acts in the bar in which a limit or stop order opened its trade.
    last_orders_fill: with finalize_trades, orders of the last bar fill at that bar's own open, a price already past;
      otherwise open trades are closed at the last close and such orders stay unfilled.
    stops_at_open: a touched stop order fills at the stop or a worse open of its bar, also with a limit and with
      trade_on_close; otherwise one with a limit fills at the stop, and with trade_on_close one fills at the previous
      close where that is worse, even outside the bar.
    all_trades_at_ruin: an account worth nothing closes every open trade; otherwise every second one goes missing.
    order_sign: a commission function is given the size of the order that fills; otherwise, at exit, that of the trade.
    shared_entry_fee: parts of a trade share the commission paid at entry; otherwise each part states it anew.
    all_cancelled: with exclusive_orders, a new order cancels all that wait; otherwise it passes over every second one.
    """

    id: str
    size_at_close: bool
    entry_bar_stops: bool
    last_orders_fill: bool
    stops_at_open: bool
    all_trades_at_ruin: bool
    order_sign: bool
    shared_entry_fee: bool
    all_cancelled: bool
    version: int = 1

    def as_dict(self) -> dict[str, Any]:
        """Every field by name, ready for JSON."""
        return asdict(self)


USUAL = FillRules("qfp", False, True, False, True, True, True, True, True)
COMPATIBLE = FillRules("backtesting.py-0.6", True, False, True, False, False, False, False, False)
