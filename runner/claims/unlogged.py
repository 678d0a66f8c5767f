"""What can be said of fills by the rules of backtesting.py that come without a log, as of some releases of it?"""

from __future__ import annotations

from typing import Any

import numpy as np
from qfp.conventions import BacktestingPy
from qfp.replay import replay

from runner.claims.bars import OurBars
from runner.claims.checks import EQUITY_TOLERANCE
from runner.claims.leverage import check_leverage
from runner.claims.orders import check_orders
from runner.claims.outcomes import check_one
from runner.claims.sizes import check_sizes

__all__ = ["check_unlogged"]


def check_unlogged(
    fills: list[dict[str, float]], orders: list[dict[str, Any]], bars: OurBars, cash: float, rules: BacktestingPy
) -> None:
    """Raises NotVerified where they cannot follow from the orders, or the account could not pay for them."""
    account = replay(fills, bars.close, cash)
    ruined = np.flatnonzero(account.equity <= EQUITY_TOLERANCE * cash)
    first = int(ruined[0]) if len(ruined) else None
    check_leverage(fills, check_orders(fills, orders, bars, rules, first), bars, cash, rules)
    check_sizes(fills, orders, bars, cash, rules)
    check_one(fills, orders, bars, cash, rules, first)
