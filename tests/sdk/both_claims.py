"""What do both engines claim of the same program? Runs strategies through backtesting.py, watched, and through ours.

Runs in the boxes' environment, where backtesting.py is installed, and prints JSON: pairs of claims, of the library and
of ours by its rules. Arguments: how many programs are drawn, from which number on, which release the library says it
is, and any of "rounded", where the programs round their bars, "outside", where as many more are drawn with orders that
the library fills at prices outside their bars, "parts", where as many more trade parts of a unit, which ours does not
record (beside them stand the rules that they print), and "samples", where the library's
first example trades each of the samples that come with it.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import warnings

import backtesting
import backtesting.backtesting
import backtesting.lib
import pandas as pd
from backtesting.test import BTCUSD, EURUSD, GOOG, SMA
from qfp.backtests import backtest
from qfp.copied import of_backtesting

from tests.runner.random_programs import drawn


def pair(seed: str, rounded: bool = False, **how: object) -> tuple[dict, dict]:
    program, bars, options, _ = drawn(seed, base=backtesting.Strategy, both=True, **how)
    titled = bars.rename(columns=str.title)
    titled = titled.astype("float32").astype(float) if rounded else titled
    test = backtesting.Backtest(titled, program, **options)
    theirs = of_backtesting._OriginalResult(test, test.run()).claim
    program, bars, options, _ = drawn(seed, both=True, **how)
    return theirs, backtest(program, bars, rules="backtesting.py", **options).claim


def of_parts(seed: str, unit: float) -> tuple[dict, dict]:
    program, bars, options, _ = drawn(seed, base=backtesting.Strategy, both=True, moving=True)
    test = backtesting.lib.FractionalBacktest(bars.rename(columns=str.title), program, fractional_unit=unit, **options)
    result = of_backtesting._OriginalResult(test, test.run())
    return result.claim, {"printed": result._rules_in_words()}


class SmaCross(backtesting.Strategy):
    """As the library's README has it."""

    def init(self) -> None:
        self.fast, self.slow = (self.I(SMA, self.data.Close, count) for count in (10, 20))

    def next(self) -> None:
        if backtesting.lib.crossover(self.fast, self.slow):
            self.buy()
        elif backtesting.lib.crossover(self.slow, self.fast):
            self.sell()


def of_sample(bars: pd.DataFrame) -> tuple[dict, dict]:
    options = {"cash": 10_000_000, "commission": 0.002, "exclusive_orders": True}
    test = backtesting.Backtest(bars, SmaCross, **options)
    theirs = of_backtesting._OriginalResult(test, test.run()).claim
    return theirs, backtest(SmaCross, bars, rules="backtesting.py", finalize_trades=False, **options).claim


def main(count: str, first: str = "0", release: str = backtesting.__version__, *how: str) -> None:
    backtesting.__version__ = release
    of_backtesting.listen(backtesting.backtesting)
    found = []
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for outside in (False, True) if "outside" in how else (False,):
            for number in range(int(first), int(first) + int(count)):
                drawn = {"moving": number % 2 == 0, "outside": outside}
                found.append(pair(f"both {number}", rounded="rounded" in how, **drawn))
        for number in range(int(count)) if "parts" in how else ():
            found.append(of_parts(f"parts {number}", 1 / 3_000))
        if "samples" in how:
            found += [of_sample(bars) for bars in (GOOG, EURUSD, BTCUSD)]
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    sys.modules["backtesting.backtesting"]._tqdm = lambda iterable, **_: iterable
    main(*sys.argv[1:])
