"""Two strategies, spelled in many ways: RESPELLED and RANKED_AGAIN by what was done to BASE and RANKED. OTHER and
RANKED_OTHERWISE trade otherwise.
"""

from __future__ import annotations

import re

BASE = """
import numpy as np
import pandas as pd
from qfp import backtest, data
from qfp.backtesting import Strategy
from qfp.backtesting.lib import crossover


def mean(values, days):
    return pd.Series(values).rolling(days).mean()


class Cross(Strategy):
    fast = 10
    slow = 30

    def init(self):
        self.short = self.I(mean, self.data.Close, self.fast)
        self.long = self.I(mean, self.data.Close, self.slow)

    def next(self):
        price = self.data.Close[-1]
        if crossover(self.short, self.long) and price > self.long[-1]:
            if not self.position:
                self.buy(sl=price * 0.95)
        elif crossover(self.long, self.short) or price < 0.97 * self.short[-1]:
            self.position.close()


bars = data.prices("IBM", "2009-01-02", "2012-06-30")
backtest(Cross, bars, commission=0.001)
"""

MEAN = BASE[BASE.index("def mean") : BASE.index("\n\nclass Cross")]
NEXT = BASE[BASE.index("    def next(self):") : BASE.index("\n\nbars =")]
CROSS = BASE[BASE.index("class Cross") : BASE.index("\n\nbars =")]
INIT = BASE[BASE.index("    def init(self):") : BASE.index("\n    def next")]


def _with(*pairs: tuple[str, str], text: str = "") -> str:
    text = text or BASE
    for before, after in pairs:
        assert before in text, before
        whole = rf"\b{before}\b" if before.isidentifier() else re.escape(before)
        text = re.sub(whole, lambda _, after=after: after, text)
    return text


CLOSE = "            self.position.close()"
RUN = "backtest(Cross, bars, commission=0.001)"
PRICE = "        price ="
ENTRY = "if crossover(self.short, self.long) and price > self.long[-1]:"
RESPELLED = {
    "names of class and attributes": _with(("Cross(", "Better("), ("(Cross,", "(Better,"), (".short", ".quick")),
    "names of locals and functions": _with(("price", "last"), ("def mean", "def average"), ("I(mean", "I(average")),
    "names of parameters": _with(("fast", "n1"), ("slow", "n2"), ("values", "x"), ("days", "n")),
    "name of self": _with(("self", "me")),
    "numbers": _with(("10", "12"), ("30", "55"), ("0.95", "0.9"), ("0.97", "0.99")),
    "order of methods": BASE.replace(INIT, "").replace(NEXT, NEXT.rstrip() + "\n\n" + INIT),
    "order of definitions": _with(
        ("def mean(values, days):\n    return pd.Series(values).rolling(days).mean()\n", ""),
        ("\n\nbars =", "\n\ndef mean(values, days):\n    return pd.Series(values).rolling(days).mean()\n\n\nbars ="),
    ),
    "comments and docstrings": _with((PRICE, '        "Buy."  # so\n        price =')),
    "annotations": _with(("fast = 10", "fast: int = 10"), ("def next(self):", "def next(self) -> None:")),
    "print of nothing": _with((PRICE, "        print('')\n        price =")),
    "print of what is known": _with((PRICE, f"        print(len(self.data), self.short[-1])\n{PRICE}")),
    "a variable nobody reads": _with((PRICE, "        idle = self.data.Close[-1] * 2\n        price =")),
    "an attribute nobody reads": _with((PRICE, "        self.seen = self.data.Close[-1]\n        price =")),
    "an indicator nobody reads": _with(
        ("        self.short =", "        self.idle = self.I(mean, self.data.Open, 5)\n        self.short =")
    ),
    "and True": _with(("price > self.long[-1]:", "price > self.long[-1] and True:")),
    "or False": _with(("if not self.position:", "if not self.position or False:")),
    "not not": _with(("if not self.position:", "if not not not self.position:")),
    "not the other way around": _with(("price > self.long[-1]", "not price <= self.long[-1]")),
    "sides turned around": _with(("price > self.long[-1]", "self.long[-1] < price")),
    "operands of and": _with((ENTRY, "if price > self.long[-1] and crossover(self.short, self.long):")),
    "factors": _with(("0.97 * self.short[-1]", "self.short[-1] * 0.97")),
    "a value or itself": _with(("price * 0.95", "price * 0.95 if True else price")),
    "times one": _with(("price * 0.95", "price * 0.95 * 1 + 0")),
    "reckoned constants": _with(("0.95", "(1 - 0.05)"), ("slow = 30", "slow = 3 * 10")),
    "constants of the class moved out": _with(
        ("    fast = 10\n    slow = 30\n", ""),
        ("class Cross", "FAST, SLOW = 10, 30\n\n\nclass Cross"),
        ("self.fast", "FAST"),
        ("self.slow", "SLOW"),
    ),
    "constants moved in": _with(("    fast = 10\n    slow = 30\n", ""), ("self.fast", "10"), ("self.slow", "30")),
    "a constant with a name": _with(("price * 0.95", "price * stop"), (PRICE, f"        stop = 0.95\n{PRICE}")),
    "a local less": _with(("        price = self.data.Close[-1]\n", ""), ("price", "self.data.Close[-1]")),
    "a local more": _with((ENTRY, "up = crossover(self.short, self.long)\n        if up and price > self.long[-1]:")),
    "an alias of the data": _with(
        ("        self.short =", "        self.close = self.data.Close\n        self.short ="),
        ("mean, self.data.Close", "mean, self.close"),
        ("price = self.data.Close", "price = self.close"),
    ),
    "a method as helper": _with(
        ("crossover(self.short, self.long) and price > self.long[-1]", "self.is_up()"),
        (
            "    def next",
            "    def is_up(self):\n        return crossover(self.short, self.long)"
            " and self.data.Close[-1] > self.long[-1]\n\n    def next",
        ),
    ),
    "a function as helper": _with(
        ("price * 0.95", "stop_of(price)"),
        ("class Cross", "def stop_of(p, n=0.95):\n    return p * n\n\n\nclass Cross"),
    ),
    "a method that acts": _with(
        (CLOSE, "            self.leave()"),
        ("    def next", "    def leave(self):\n        self.position.close()\n\n    def next"),
    ),
    "a lambda as helper": _with(
        ("price * 0.95", "stop_of(price)"), ("class Cross", "stop_of = lambda p: p * 0.95\n\n\nclass Cross")
    ),
    "a function nobody calls": _with(("class Cross", "def idle(a):\n    return a.sum()\n\n\nclass Cross")),
    "a method nobody calls": _with(("    def next", "    def idle(self):\n        self.sell()\n\n    def next")),
    "a parameter of one": _with(
        ("    fast = 10", "    fast = 10\n    w = 1"), ("price * 0.95", "price * self.w * 0.95")
    ),
    "a parameter of nought": _with(
        ("    fast = 10", "    fast = 10\n    w = 0"), ("price > self.long[-1]", "price > self.long[-1] + self.w")
    ),
    "a parameter that allows it": _with(
        ("    fast = 10", "    fast = 10\n    w = True"), ("if not self.position:", "if self.w and not self.position:")
    ),
    "a base class": _with(
        (
            "class Cross(Strategy):\n    fast = 10\n    slow = 30\n\n" + INIT,
            "class Lines(Strategy):\n    fast = 10\n    slow = 30\n\n" + INIT + "\n\nclass Cross(Lines):\n",
        ),
    ),
    "if and if": _with((ENTRY, "if not (not crossover(self.short, self.long) or price <= self.long[-1]):")),
    "else instead of not": _with(
        (
            "            if not self.position:\n",
            "            if self.position:\n                pass\n            else:\n",
        ),
    ),
    "an end that is none": _with((CLOSE, f"{CLOSE}\n            return")),
    "an end instead of else": _with(
        ("        elif crossover", "            return\n        if crossover"),
    ),
    "a loop of one": _with((CLOSE, "            for _ in range(1):\n                self.position.close()")),
    "a try that handles nothing": _with(
        (
            CLOSE,
            "            try:\n                self.position.close()\n"
            "            except ValueError:\n                raise",
        ),
    ),
    "getattr": _with(("self.position.close()", 'getattr(self, "position").close()')),
    "float()": _with(("price = self.data.Close[-1]", "price = float(self.data.Close[-1])")),
    "imports by another name": _with(("import pandas as pd", "import pandas"), ("pd.", "pandas.")),
    "keywords in another order": _with(("bars, commission=0.001", "commission=0.001, data=bars")),
    "other instrument, costs and period": _with(('"IBM", "2009', '"AAPL", "2011'), (", commission=0.001", "")),
    "another sweep and chart beside it": _with(
        ("\nbacktest(Cross", "\nfrom qfp import chart\nchart.line(bars['close'].rolling(50).mean())\nbacktest(Cross")
    ),
    "bars cleaned first": _with(("\nbacktest(Cross, bars", "\nbacktest(Cross, bars.dropna()")),
    "more than one instrument": _with((RUN, 'for name in ("IBM", "AAPL"):\n    backtest(Cross, data.prices(name))')),
    "Backtest() instead of backtest()": _with(
        (RUN, "Backtest(bars, Cross).run()"), ("import Strategy", "import Backtest, Strategy")
    ),
    "main()": _with(
        ('bars = data.prices("IBM", "2009-01-02", "2012-06-30")\n', "def main():\n"),
        (RUN, '    backtest(Cross, data.prices("IBM"))\n\n\nif __name__ == "__main__":\n    main()'),
    ),
    "walrus": _with(
        ("        price = self.data.Close[-1]\n", ""),
        (ENTRY, "if (price := self.data.Close[-1]) > self.long[-1] and crossover(self.short, self.long):"),
    ),
    "walrus in the middle": _with(
        ("        price = self.data.Close[-1]\n", ""),
        ("price > self.long[-1]", "(price := self.data.Close[-1]) > self.long[-1]"),
    ),
    "exec of a text": BASE.replace(MEAN, f"exec({MEAN!r})\n"),
    "exec of a text that has a name": BASE.replace(
        CROSS, f"CODE = {CROSS[:90]!r} + {CROSS[90:]!r}\nexec(compile(CODE, 'code', 'exec'), globals())\n"
    ),
    "exec of an order": _with((CLOSE, "            exec('self.position.close()')")),
    "eval": _with(("price > self.long[-1]", "eval('price > self.long[-1]')")),
    # Not known to be the same:
    "a table instead of branches": _with((CLOSE, "            {True: self.position.close}[True]()")),
    "other function, same numbers": _with(("rolling(days).mean()", "rolling(days).sum() / days")),
    "a property": _with(
        ("price > self.long[-1]", "price > self.limit"),
        ("    def next", "    @property\n    def limit(self):\n        return self.long[-1]\n\n    def next"),
    ),
}

UNKNOWN = {"a table instead of branches", "other function, same numbers", "a property"}

OTHER = {
    "buys when it sells": _with(("crossover(self.short, self.long) and", "crossover(self.long, self.short) and")),
    "no filter": _with((" and price > self.long[-1]", "")),
    "or for and": _with((" and price > self.long[-1]", " or price > self.long[-1]")),
    "below": _with(("price > self.long[-1]", "price < self.long[-1]")),
    "sells short": _with(("self.buy(sl=price * 0.95)", "self.sell(sl=price * 1.05)")),
    "target for stop": _with(("sl=price", "tp=price")),
    "no stop": _with(("sl=price * 0.95", "")),
    "median, of a function that is called so": _with(("mean", "median")),
    "exponential": _with(("rolling(days)", "ewm(days)")),
    "of opens": _with(("self.data.Close", "self.data.Open")),
    "adds to a position": _with(
        ("            if not self.position:\n                self.buy", "            self.buy")
    ),
    "only in a position": _with(("if not self.position", "if self.position")),
    "never closes": _with(("self.position.close()", "pass")),
    "state": _with(
        ("    def init(self):", "    def init(self):\n        self.days = 0"),
        (PRICE, "        self.days += 1\n        price ="),
        ("if not self.position:", "if self.days % 5 == 0:"),
    ),
    "the value before it is changed": _with(
        ("    def init(self):", "    def init(self):\n        self.last = 0"),
        (PRICE, "        before = self.last\n        self.last = self.data.Close[-1]\n        price ="),
        ("if not self.position:", "if before < price:"),
    ),
    "buys first": _with(("if not self.position:", "if (bought := self.buy()) and not self.position:")),
    "buys then": _with(("if not self.position:", "if not self.position and (bought := self.buy()):")),
    "asks as it goes on": _with(
        ("        elif crossover", "        elif (price := self.data.Open[-1]) and price > 1 or crossover")
    ),
    "runs another text": _with((CLOSE, "            exec('self.sell()')")),
    "evaluates another text": _with(("price > self.long[-1]", "eval('price > self.short[-1]')")),
    "the value after it was changed": _with(
        ("    def init(self):", "    def init(self):\n        self.last = 0"),
        (PRICE, "        self.last = self.data.Close[-1]\n        price ="),
        ("if not self.position:", "if self.last < price:"),
    ),
}

RANKED = """
from qfp import data, portfolio_backtest

NAMES = ["IBM", "AAPL", "MSFT", "GOOG"]
LOOK = 126


def on_bar(ctx):
    if ctx.bar % 21:
        return
    scores = {}
    for name in NAMES:
        past = ctx.history(name, "close", LOOK)
        if len(past) < LOOK:
            continue
        scores[name] = past[-1] / past[0] - 1
    best = sorted(scores, key=scores.get)[-2:]
    for name in NAMES:
        ctx.target(name, 0.45 if name in best else 0)


portfolio_backtest(NAMES, on_bar, start="2005-01-03")
"""
TARGETS = "    for name in NAMES:\n        ctx.target(name, 0.45 if name in best else 0)"
TARGET = "        ctx.target(name, 0.45 if name in best else 0)"


def _ranked(*pairs: tuple[str, str]) -> str:
    return _with(*pairs, text=RANKED)


RANKED_AGAIN = {
    "names": _ranked(("ctx", "c"), ("scores", "gains"), ("on_bar", "trade"), ("best", "top")),
    "more than one return": _ranked(("% 21:", "% 21 != 0:"), ("        return\n", "        return None\n")),
    "dict()": _ranked(("{}", "dict()")),
    "a function as helper": _ranked(
        ("past[-1] / past[0] - 1", "change(past)"),
        ("def on_bar", "def change(p):\n    first, last = p[0], p[-1]\n    return last / first - 1\n\n\ndef on_bar"),
    ),
    "the other way around": _ranked(("0.45 if name in best else 0", "0 if name not in best else 0.45")),
    "a constant moved in": _ranked(("LOOK = 126\n", ""), ("LOOK", "126")),
    "if instead of continue": _ranked(
        ("< LOOK:\n            continue\n        scores", ">= LOOK:\n            scores"),
    ),
    "print": _ranked(("    scores = {}", "    scores = {}\n    print('rebalance', ctx.date)")),
    "other instruments": _ranked(('"GOOG"]', '"KO", "XOM"]')),
    "keywords": _ranked(("NAMES, on_bar,", "bars=NAMES, on_bar=on_bar,")),
    "a local more": _ranked(
        (TARGETS, "    for s in NAMES:\n        w = 0.45 if s in best else 0\n        ctx.target(s, w)")
    ),
    "a function that acts": _ranked(
        (TARGETS, "    hold(ctx, best)"), ("def on_bar", f"def hold(ctx, best):\n{TARGETS}\n\n\ndef on_bar")
    ),
    "a try that lets pass": _ranked(
        (TARGET, f"        try:\n    {TARGET}\n        except Exception:\n            pass"),
    ),
}

RANKED_OTHERWISE = {
    "the worst": _ranked(("[-2:]", "[:2]")),
    "by how far they scatter": _ranked(("past[-1] / past[0] - 1", "past.std()")),
    "every day": _ranked(("    if ctx.bar % 21:\n        return\n", "")),
    "on all other days": _ranked(("if ctx.bar % 21:", "if not ctx.bar % 21:")),
    "by another key": _ranked(("key=scores.get", "key=lambda n: -scores[n]")),
}
