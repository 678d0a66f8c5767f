"""Programs that give a name another value between two runs, for both tiers: what the first run found does not hold."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace

import numpy as np
from both_engines import market
from qfp.backtesting import Backtest, Strategy

LEVEL, LEVELS, BY_NAME, FILTERS = 80.0, [80.0], {"up": 80.0}, []
SETTINGS = ModuleType("settings")
SETTINGS.level = 80.0


def below(price, level=80.0):
    return price < level


def rule(price):
    return below(price)


class Number(Strategy):
    def init(self):
        pass

    def next(self):
        if self.data.Close[-1] > LEVEL and not self.position:
            self.buy(size=1)
        elif self.data.Close[-1] < LEVEL - 1 and self.position:
            self.position.close()


class Element(Number):
    def next(self):
        if self.data.Close[-1] < LEVELS[0] and not self.position:
            self.buy(size=1)


class Named(Number):
    def next(self):
        if self.data.Close[-1] < BY_NAME["up"] and not self.position:
            self.buy(size=1)


class Called(Number):
    def next(self):
        if rule(self.data.Close[-1]) and not self.position:
            self.buy(size=1)


class Member(Number):
    def next(self):
        if self.data.Close[-1] < SETTINGS.level and not self.position:
            self.buy(size=1)


class Method(Number):
    def wanted(self):
        return self.data.Close[-1] < 80

    def next(self):
        if self.wanted() and not self.position:
            self.buy(size=1)


class Property(Number):
    @property
    def level(self):
        return 80.0

    def next(self):
        if self.data.Close[-1] < self.level and not self.position:
            self.buy(size=1)


class Empty(Number):
    def next(self):
        if not FILTERS and self.data.Close[-1] < 80 and not self.position:
            self.buy(size=1)


class OwnEmpty(Number):
    filters = []

    def next(self):
        if not self.filters and self.data.Close[-1] < 80 and not self.position:
            self.buy(size=1)


class Text(Number):
    mode = ""

    def next(self):
        if self.data.Close[-1] < 80 and not self.position:
            self.buy(size=1)
        elif self.mode and self.position:
            self.position.close()


class Missing(Number):
    target, after = None, None

    def next(self):
        if self.data.Close[-1] < 80 and not self.position and self.after is None:
            self.buy(size=1, tp=self.target)


class Plain(Number):
    level = 80.0

    def next(self):
        if self.data.Close[-1] < self.level and not self.position:
            self.buy(size=1)


class Own(Number):
    """A function that is kept on the strategy."""

    test = SimpleNamespace(rule=below)

    def init(self):
        self.rule = self.test.rule

    def next(self):
        if self.rule(self.data.Close[-1]) and not self.position:
            self.buy(size=1)


class Above(Method):
    def wanted(self):
        return super().wanted()


class Lower(Number):
    def next(self):
        if self.data.Close[-1] < 70 and not self.position:
            self.buy(size=1)


def cell():
    """(a strategy whose next() reads a name of the function around it, what changes that name)."""
    level = 80.0

    class Cell(Number):
        def next(self):
            if self.data.Close[-1] < level and not self.position:
                self.buy(size=1)

    def change():
        nonlocal level
        level = 70.0

    return Cell, change


def lower(price, level=70.0):
    return price < level


def wanted_lower(self):
    return self.data.Close[-1] < 70


def level_of(self):
    return self.data.Close[-2]


def level_lower(self):
    return 70.0


class Dumb(np.float64):
    """A number that does not say which it is."""

    def __repr__(self):
        return "80.0"


DUMB = Dumb(80.0)


class OfDumb(Number):
    def next(self):
        if self.data.Close[-1] < DUMB and not self.position:
            self.buy(size=1)


def set_global(name, value):
    return lambda: globals().__setitem__(name, value)


# By name: a strategy, what changes what its next() finds, what brings that back.
LOWER = Method.wanted
CHANGES = {
    "a number of the module": (Number, set_global("LEVEL", 70.0), set_global("LEVEL", 80.0)),
    "a number that hides what it is": (OfDumb, set_global("DUMB", Dumb(70.0)), lambda: None),
    "an element of a list": (Element, lambda: LEVELS.__setitem__(0, 70.0), lambda: LEVELS.__setitem__(0, 80.0)),
    "an element of a dict": (Named, lambda: BY_NAME.update(up=70.0), lambda: BY_NAME.update(up=80.0)),
    "a function that a function calls": (Called, set_global("below", lower), set_global("below", below)),
    "a default": (
        Called,
        lambda: setattr(below, "__defaults__", (70.0,)),
        lambda: setattr(below, "__defaults__", (80.0,)),
    ),
    "a member of a module": (Member, lambda: setattr(SETTINGS, "level", 70.0), lambda: None),
    "a method": (Method, lambda: setattr(Method, "wanted", wanted_lower), lambda: setattr(Method, "wanted", LOWER)),
    "a method above": (
        Above,
        lambda: setattr(Method, "wanted", wanted_lower),
        lambda: setattr(Method, "wanted", LOWER),
    ),
    "a property": (Property, lambda: setattr(Property, "level", property(level_lower)), lambda: None),
    "whether a list is empty": (Empty, lambda: FILTERS.append(1), FILTERS.clear),
    "whether a list of the class is empty": (OwnEmpty, lambda: OwnEmpty.filters.append(1), lambda: None),
    "whether a text is empty": (Text, lambda: setattr(Text, "mode", "out"), lambda: setattr(Text, "mode", "")),
    "a target that was none": (
        Missing,
        lambda: setattr(Missing, "target", 81.0),
        lambda: setattr(Missing, "target", None),
    ),
    "whether an attribute is none": (Missing, lambda: setattr(Missing, "after", 1), lambda: None),
    "a property instead of a number": (Plain, lambda: setattr(Plain, "level", property(level_of)), lambda: None),
    "a function kept on the strategy": (Own, lambda: setattr(Own.test, "rule", lower), lambda: None),
    "next() itself": (Number, lambda: setattr(Number, "next", Lower.next), lambda: None),
    "a name of the function around it": (*cell(), lambda: None),
}


def changed_names():
    """[what changed, tier before, tiers of both runs after it, whether their equity is that of an interpreted one,
    whether it is another than before], for each.
    """
    bars, found = market(2, count=400), []
    for what, (strategy, change, back) in CHANGES.items():
        test = Backtest(bars, strategy, cash=100_000)
        before = test.run_once({}, tier="compiled")
        change()
        alone = test.run_once({}, tier="interpreted").equity.tobytes()
        after = [test.run_once({}, tier="compiled") for _ in range(2)]
        back()
        same = [run.equity.tobytes() == alone for run in after]
        tiers = [run.tier for run in (before, *after)]
        found.append([what, tiers, same, before.equity.tobytes() != alone])
    return found
