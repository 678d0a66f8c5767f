"""Whose backtests are recorded though they were not run by qfp? Those of libraries that copied code uses.

A box calls observe() before the program starts. Nothing of a library is changed but that it is listened to: what it
decides, fills and counts stays its own, and what came of it is handed to the site as one more backtest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["observe"]


def observe(after_import: Callable[[str, Callable[[Any], None]], None]) -> None:
    """after_import: has a function called with a module as soon as the program has imported it."""
    after_import("backtrader.cerebro", _backtrader)
    after_import("zipline.utils.run_algo", _zipline)
    after_import("backtesting.backtesting", _backtesting)


def _backtrader(module: Any) -> None:
    from qfp.copied import of_backtrader

    of_backtrader.listen()


def _backtesting(module: Any) -> None:
    from qfp.copied import of_backtesting

    of_backtesting.listen(module)


def _zipline(module: Any) -> None:
    from qfp.copied import of_zipline

    of_zipline.listen(module)
