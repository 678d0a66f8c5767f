"""What is a backtest's result worth? Look-ahead and amnesia tests that run by themselves after every backtest.

Start reading at look(). docs/honesty.md says what the answers mean.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from qfp import channel

if TYPE_CHECKING:
    import pandas as pd

    from qfp.checking.strategies import Before

__all__ = ["begin", "look"]

MOST_BACKTESTS = 20  # of a program; the site keeps no more

active = True  # False in a copy of the program that is itself a test
backtests = 0  # that this program has handed over
seconds = 0.0  # that tests have taken so far


def begin(strategy: type) -> Before | None:
    """To be called before a strategy runs; None where it will not be looked at."""
    global backtests
    from qfp import forking

    backtests += 1
    if not active or forking.in_worker or backtests > MOST_BACKTESTS:
        return None
    from qfp.checking.strategies import Before

    return Before.of(strategy)


def look(
    strategy: type, frame: pd.DataFrame, options: dict[str, Any], params: dict[str, Any], before: Before
) -> dict[str, Any]:
    """Test the backtest that has just been made; tell the site, or print a line where there is none."""
    global seconds
    from qfp.checking.strategies import look_at
    from qfp.checking.words import sentence

    began = time.monotonic()
    found = look_at(strategy, frame, options, params, before)
    seconds += time.monotonic() - began
    if not channel.emit({"type": "checks", "backtest": backtests - 1, **found}):
        print(sentence(found["lookahead"]))
    return found
