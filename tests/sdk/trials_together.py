"""Are trials that are answered many at a time what they are when tried alone? Prints JSON, by strategy and objective.

Runs in the boxes' environment.
"""

from __future__ import annotations

import json
import os
import sys
import warnings

import numpy as np
from qfp.backtesting import Strategy, many
from qfp.sweeps.evaluation import of_strategy
from qfp.sweeps.space import Space

sys.path.insert(0, str(__import__("pathlib").Path(__file__).parent))
from both_engines import market
from engines_strategies import mean


class Dip(Strategy):
    days, hold = 5, 3

    def init(self):
        self.mean = self.I(mean, self.data.Close, self.days)

    def next(self):
        if not self.position and self.data.Close[-1] < self.mean[-1]:
            self.buy(size=0.9)
        elif self.position and len(self.data) % self.hold == 0:
            self.position.close()


class Reckless(Dip):
    """Loses all that it has, and divides by zero for one value."""

    def next(self):
        if self.data.Close[-1] < self.mean[-1] and not self.position and 1 / (self.hold - 4):
            self.buy(size=0.99)
        elif self.hold > 5 and self.position:
            self.position.close()


class Idle(Dip):
    def next(self):
        if self.hold > 5 and self.data.Close[-1] < self.mean[-1] * 0.5:
            self.buy()


class Drawn(Dip):
    """Every trial draws numbers of its own."""

    def init(self):
        self.mean = self.I(mean, self.data.Close, self.days)
        self.noise = self.I(lambda closes: np.random.random(len(closes)), self.data.Close)

    def next(self):
        if not self.position and self.noise[-1] > 0.6:
            self.buy(size=0.9)
        elif self.noise[-1] < 0.3:
            self.position.close()


def exposed(figures):
    return figures["sharpe"] * figures["exposure"]


CASES = [
    (Dip, "sharpe", {}),
    (Dip, "Return [%]", {"spread": 0.001}),
    (Dip, "sortino", {"margin": 0.5}),
    (Dip, exposed, {"trade_on_close": True}),
    (Reckless, "max_drawdown", {"margin": 0.02}),
    (Idle, "sharpe", {}),
    (Drawn, "sharpe", {}),
    (Dip, "sharpe", {"commission": lambda size, price: 1.0}),
]


def main() -> None:
    os.environ["QFP_CORES"], many.A_THREADS_BARS = "3", 800  # threads, for tables as small as these, too
    items = list(enumerate(Space({"days": range(3, 9), "hold": range(2, 9)}).grid()))
    found = {}
    for strategy, objective, options in CASES:
        together, alone = (of_strategy(strategy, market(1, count=400), objective, options) for _ in range(2))
        together.begin(20_000)
        alone.tier = "interpreted"
        trials = [trial for part in (items[:4], items[4:10], items[10:]) for trial in together.at_once(part, True)]
        found[f"{strategy.__name__} {objective if isinstance(objective, str) else 'exposed'} {sorted(options)}"] = {
            "told": len(trials),
            "apart": [one.number for one in trials if repr(one) != repr(alone(items[one.number]))],
            "distinct": len({repr(one.figures) for one in trials}),
        }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
