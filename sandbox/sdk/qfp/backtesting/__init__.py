"""How is a trading rule tested on one series of bars? Backtest and Strategy, with the names of backtesting.py.

    from qfp.backtesting import Backtest, Strategy
    from qfp.backtesting.lib import crossover

Strategies written for backtesting.py run unchanged, several times as fast. docs/fills.md has the rules orders are
filled by and every difference. Nothing here draws: results go to qfp's charts.
"""

from __future__ import annotations

from qfp.backtesting.rules import COMPATIBLE, USUAL, FillRules
from qfp.backtesting.running import Backtest, Stats, is_strategy
from qfp.backtesting.strategy import Position, Strategy

__all__ = ["COMPATIBLE", "USUAL", "Backtest", "FillRules", "Position", "Stats", "Strategy", "is_strategy"]
