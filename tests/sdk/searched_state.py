"""Does a search with state beside the strategy give what its single runs give? Prints the names of those that do not.

Runs in the boxes' environment.
"""

from __future__ import annotations

import json
import math
import os
import sys
import warnings
from pathlib import Path

import numpy as np
from qfp.backtesting import Backtest, Strategy, many
from qfp.backtesting.compiled import program_of
from qfp.backtesting.lib import crossover
from qfp.backtesting.many import Shared
from qfp.backtesting.sharing import dependencies
from qfp.backtesting.test import SMA

sys.path.insert(0, str(Path(__file__).parent))
from both_engines import market
from engines_strategies import mean

STATE = {}
LENGTH = 5


def put(number):
    STATE["n"] = number
    return number


def get():
    return STATE["n"]


def kept(values):
    return SMA(values, STATE["n"])


def named(values, number):
    os.environ["QN"] = str(number)
    return SMA(values, number)


def by_name(values, number):
    return SMA(values, number + int(os.environ.get("QN", "0")))


def of_attribute(values):
    return SMA(values, of_attribute.number)


NAMELESS = {"mean": mean}
exec("def without_module(values):\n    return mean(values, number)", NAMELESS)


def deeper(values, number):
    sys.setrecursionlimit(1000 + number)
    return SMA(values, number)


def by_depth(values, number):
    return SMA(values, number + sys.getrecursionlimit() - 1000)


def fixed(values, number):
    return mean(values, number + LENGTH) + np.linalg.norm(np.r_[0.0, 0.0])


class Base(Strategy):
    fast, slow = 10, 30

    def next(self):
        if crossover(self.a, self.b):
            self.buy()
        elif crossover(self.b, self.a):
            self.position.close()


class Update(Base):
    settings = {}

    def init(self):
        self.done = self.settings.update(n=self.fast)
        self.a = self.I(SMA, self.data.Close, self.settings["n"])
        self.b = self.I(SMA, self.data.Close, self.slow)


class Helper(Base):
    def init(self):
        self.x = put(self.fast)
        self.a = self.I(SMA, self.data.Close, get())
        self.b = self.I(SMA, self.data.Close, self.slow)


class Append(Base):
    box = [3]

    def init(self):
        self.q = self.box.append(self.fast)
        self.a = self.I(SMA, self.data.Close, self.box[-1])
        self.b = self.I(SMA, self.data.Close, self.slow)


class Kept(Base):
    def init(self):
        self.n = put(self.fast)
        self.a = self.I(kept, self.data.Close)
        self.b = self.I(SMA, self.data.Close, self.slow)


class Written(Base):
    box = np.zeros(1)

    def init(self):
        self.n = np.add(self.fast, 0.0, self.box)
        self.a = self.I(SMA, self.data.Close, int(self.box[0]))
        self.b = self.I(SMA, self.data.Close, self.slow)


class Summed(Written):
    def init(self):
        self.n = np.array([[self.fast * 1.0]]).sum(0, None, self.box)
        self.a = self.I(SMA, self.data.Close, int(self.box[0]))
        self.b = self.I(SMA, self.data.Close, self.slow)


class Environment(Base):
    def init(self):
        self.a = self.I(named, self.data.Close, self.fast)
        self.b = self.I(by_name, self.data.Close, self.slow)


class Attribute(Base):
    def init(self):
        of_attribute.number = self.fast
        self.a = self.I(of_attribute, self.data.Close)
        self.b = self.I(SMA, self.data.Close, self.slow)


class Nameless(Base):
    def init(self):
        NAMELESS["number"] = self.fast
        self.a = self.I(NAMELESS["without_module"], self.data.Close)
        self.b = self.I(SMA, self.data.Close, self.slow)


class Depth(Base):
    def init(self):
        self.a = self.I(deeper, self.data.Close, self.fast)
        self.b = self.I(by_depth, self.data.Close, self.slow)


class Plain(Base):
    def init(self):
        self.a = self.I(SMA, self.data.Close, int(max(2, round(self.fast * 1.0))))
        self.b = self.I(fixed, self.data.Close, self.slow)


class Lambda(Base):
    def init(self):
        self.a = self.I(lambda x: x.s.rolling(self.fast).mean(), self.data.Close)
        self.b = self.I(SMA, self.data.Close, self.slow)


def asked_too_soon():
    class Late(Base):
        def init(self):
            self.a = self.I(later, self.data.Close, self.fast)
            self.b = self.I(SMA, self.data.Close, self.slow)

    told = dependencies(Late)  # of a function that has no value yet
    later = SMA
    return told


warnings.simplefilter("ignore")
GRID = [{"fast": fast, "slow": slow} for fast in (3, 5, 8, 13) for slow in (20, 31, 45, 60)]
BARS = market(7, 800)
EVERY = (Update, Helper, Append, Kept, Written, Summed, Environment, Attribute, Nameless, Depth, Plain, Lambda)
differ = []
for cls in EVERY:
    single = np.array([Backtest(BARS, cls).run_once(dict(one)).equity[-1] for one in GRID])
    assert len(set(single.tolist())) > 4
    for tier in ("interpreted", "compiled"):
        found = Backtest(BARS, cls).run_many(GRID, ("final_equity",), tier=tier).columns["final_equity"]
        if not np.array_equal(found, single):
            differ.append(f"{cls.__name__} {tier}")
shared = [cls.__name__ for cls in EVERY if dependencies(cls) is not None]


def combinations_that_are_as_alone():
    """Of those of one value of fast before, after its average was changed at one bar, and after its warm-up was."""
    test = Backtest(BARS, Plain)
    program, _ = program_of(test.prepare(GRID[0]).strategy, len(GRID))
    found = Shared.of(test, GRID, program, {})
    answers = [[found.is_as_alone(number) for number in range(4)]]
    place = next(at for at, (_, codes) in enumerate(found.series) if len(set(codes[:4].tolist())) == 1)
    columns, codes = found.series[place]
    right = columns[codes[0]]
    columns[codes[0]] = right.copy()
    columns[codes[0]][400] = np.nextafter(right[400], 0)
    answers.append([found.is_as_alone(number) for number in range(4)])
    columns[codes[0]] = right
    found.warm_ups[1] += 1
    answers.append([found.is_as_alone(number) for number in range(4)])
    return answers


class Again(Base):
    """Searched, changed, and searched again by the same backtest."""

    level = 0.0

    def init(self):
        self.a = self.I(SMA, self.data.Close, self.fast)
        self.b = self.I(SMA, self.data.Close, self.slow)

    def next(self):
        if self.a[-1] > self.b[-1] + self.level and not self.position:
            self.buy()
        elif self.a[-1] < self.b[-1]:
            self.position.close()


def of_highs(self):
    self.a = self.I(SMA, self.data.High, self.fast)
    self.b = self.I(SMA, self.data.Close, self.slow)


def the_other_way(self):
    if self.a[-1] < self.b[-1] + self.level and not self.position:
        self.buy()
    elif self.a[-1] > self.b[-1]:
        self.position.close()


def shifted(values, number):
    return mean(values, number + LENGTH)


GRID_OF_ONE = [{"fast": fast} for fast in (3, 5, 8, 13, 20)]


def searched_again():
    """[what changed, whether the second search found what single runs find, whether they find what they found before,
    by which tier the runs that were compared went], for each.
    """
    own, found = globals(), []
    for what, change in {
        "nothing": lambda: None,
        "an attribute that is not searched": lambda: setattr(Again, "level", 0.5),
        "the default of one that is": lambda: setattr(Again, "slow", 99),
        "init()": lambda: setattr(Again, "init", of_highs),
        "next()": lambda: setattr(Again, "next", the_other_way),
        "the function of an indicator": lambda: own.update(SMA=shifted),
        "a number that it reads": lambda: own.update(LENGTH=7),
    }.items():
        test = Backtest(BARS, Again)
        before = test.run_many(GRID_OF_ONE, ("final_equity",), tier="compiled").columns["final_equity"]
        change()
        again = test.run_many(GRID_OF_ONE, ("final_equity",), tier="compiled")
        single = [Backtest(BARS, Again).run_once(one, tier="interpreted").equity[-1] for one in GRID_OF_ONE]
        same = [bool(np.array_equal(other, single)) for other in (again.columns["final_equity"], before)]
        found.append([what, *same, sorted({run.tier for run in again.runs.values()})])
    return found


def by_sign(values, number, shift):
    longer = 3 * isinstance(number, float) + 9 * isinstance(number, bool)
    return SMA(values, int(number) + 4 + longer) * (1 + math.copysign(0.001, shift))


class Exact(Strategy):
    number, shift = 3, 0.0

    def init(self):
        self.a = self.I(by_sign, self.data.Close, self.number, self.shift)

    def next(self):
        if self.a[-1] < self.data.Close[-1] and not self.position:
            self.buy(size=5)
        elif self.a[-1] > self.data.Close[-1]:
            self.position.close()


def equal_values():
    """Whether a search of values that are equal but not the same gives each what its own run gives, by both tiers."""
    grid = [{"number": number, "shift": shift} for number in (1, True, 1.0) for shift in (0.0, -0.0)]
    single = [Backtest(BARS, Exact).run_once(dict(one)).equity[-1] for one in grid]
    assert len(set(single)) >= 4
    return [
        Backtest(BARS, Exact).run_many(grid, ("final_equity",), tier=tier).columns["final_equity"].tolist() == single
        for tier in ("interpreted", "compiled")
    ]


class Asked(Strategy):
    mode, days, target = "", (), None

    def init(self):
        pass

    def next(self):
        if self.data.Close[-1] < self.data.Close[-2] and not self.position:
            self.buy(size=5, tp=self.target)
        elif self.position and (self.mode or self.days):
            self.position.close()


def rows_kept():
    """How many averages a backtest keeps after searches of five, five others and the first again; of room for seven."""
    test, usual, many.KEPT_BYTES = Backtest(BARS, Again), many.KEPT_BYTES, 7 * 8 * len(BARS)
    kept = []
    for first in (3, 30, 3):
        test.run_many([{"fast": first + one} for one in range(5)], ("final_equity",), tier="compiled")
        kept.append(sum(map(len, test.indicators.values())))
    many.KEPT_BYTES = 4 * 8 * len(BARS)
    test.run_many([{"fast": one} for one in range(60, 65)], ("final_equity",), tier="compiled")
    many.KEPT_BYTES = usual
    return [*kept, sum(map(len, test.indicators.values()))]


def asked_values():
    """Whether a search of texts, tuples and prices, none among them, gives each what its own run gives."""
    high = float(BARS["High"].max())
    grids = {
        "mode": ["", "a", "b", "c", "d", "e", "f"],
        "days": [(), (1,), (2,), (3,), (4,), (5,)],
        "target": [None, *(high * share for share in (0.999, 0.9991, 0.9992, 0.9993, 0.9994, 0.9995))],
    }
    found = []
    for name, values in grids.items():
        single = [Backtest(BARS, Asked).run_once({name: one}, tier="interpreted").equity[-1] for one in values]
        assert len(set(single)) > 1
        told = Backtest(BARS, Asked).run_many([{name: one} for one in values], ("final_equity",), tier="compiled")
        found.append(told.tier == "compiled" and told.columns["final_equity"].tolist() == single)
    return found


print(
    json.dumps(
        {
            "differ": differ,
            "shared": shared,
            "too_soon": asked_too_soon(),
            "as_alone": combinations_that_are_as_alone(),
            "kept": rows_kept(),
            "again": searched_again(),
            "equal": equal_values(),
            "asked": asked_values(),
        }
    )
)
