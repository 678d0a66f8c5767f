"""next() as machine code in a real box: behind its filter of system calls, nothing writable may be executed."""

from __future__ import annotations

PROGRAM = """
import numpy as np, pandas as pd
from qfp.backtesting import Backtest, Strategy
from qfp.backtesting.lib import crossover

class Cross(Strategy):
    def init(self):
        self.fast = self.I(lambda: pd.Series(self.data.Close).rolling(10).mean(), name="fast")
        self.slow = self.I(lambda: pd.Series(self.data.Close).rolling(20).mean(), name="slow")

    def next(self):
        if crossover(self.fast, self.slow):
            self.buy(size=3, sl=self.data.Close[-1] * 0.99)
        elif crossover(self.slow, self.fast):
            self.position.close()

close = 100 * np.exp(np.cumsum(np.random.default_rng(1).standard_normal(60_000) * 0.0005))
index = pd.date_range("2010-01-01", periods=len(close), freq="min")
bars = pd.DataFrame({"Open": close, "High": close * 1.001, "Low": close * 0.999, "Close": close}, index=index)
test = Backtest(bars, Cross, cash=100_000, commission=0.0005)
first = test.run_once({})
whole = test.run_once({}, tier="compiled", whole=True)
print(first.tier, whole.tier, len(first.account.fills) > 1000, (first.equity == whole.equity).all(), first.tier_reason)
"""


def test_a_strategy_is_compiled_in_a_box(engine):
    result = engine.run(PROGRAM)
    assert result.outcome == "succeeded", result.stderr
    assert result.stdout == "compiled compiled True True None\n"
