"""Do strategies whose quiet bars are left out trade as they do bar by bar? Writes random ones, and runs both tiers.

Prints JSON: how many have bars to leave out, how many traded, and those whose tiers differ.
Runs in the boxes' environment.
"""

from __future__ import annotations

import ast
import ctypes
import gc
import importlib.util
import itertools
import json
import random
import re
import sys
import tempfile
import warnings
import weakref
from pathlib import Path

import numpy as np
import pandas as pd
from qfp.backtesting import Backtest, Strategy
from qfp.backtesting.compiled import machine
from qfp.backtesting.compiled.memory import Record
from qfp.backtesting.compiled.quiet import Condition
from qfp.backtesting.compiled.sieve import sieve_of
from qfp.backtesting.compiled.translation import Bound, translate
from qfp.backtesting.test import SMA

sys.path.insert(0, str(Path(__file__).parent))
from both_engines import market

HEAD = """
import numpy as np
from qfp.backtesting import Strategy
from qfp.backtesting.lib import crossover
from qfp.backtesting.test import SMA


class Base(Strategy):
    level, width, flag, seen = 3, 0.4, True, 0

    def init(self):
        self.a = self.I(SMA, self.data.Close, 3)
        self.b = self.I(SMA, self.data.Close, 8)
        self.up = self.I(lambda close: np.append(False, np.diff(close) > 0), self.data.Close)
        self.count = self.I(lambda close: np.arange(len(close)) % 7, self.data.Close)
"""
ATOMS = [
    "self.data.Close[-1] > self.a[-1]",
    "self.data.High[-{k}] < self.b[-1] * 1.01",
    "crossover(self.a, self.b)",
    "crossover(self.b, self.a)",
    "self.a[-{k}] >= self.b[-{k}]",
    "self.position",
    "self.position.size > 0",
    "self.level > {k}",
    "self.flag",
    "self.data.Close[-1] - self.a[-1] > self.width",
    "-self.width > self.data.Close[-1] - self.a[-2]",
    "self.up[-1]",
    "self.count[-1] == self.level",
    "self.count[-1] >= self.level + {k}",
    "self.seen > 4",
    "x > self.data.Low[-1]",
    "x != self.a[-1]",
    "len(self.trades) < {k}",
]
ACTS = [
    "self.buy(size={k})",
    "self.sell(size={k}, sl=self.data.Close[-1] * 1.03)",
    "self.position.close()",
    "self.seen += 1",
    "pass",
]


class Writer:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def some(self, choices: list[str]) -> str:
        return self.random.choice(choices).replace("{k}", str(self.random.randint(1, 4)))

    def condition(self, depth: int = 2) -> str:
        if depth and self.random.random() < 0.6:
            word = self.random.choice((" and ", " and ", " or "))
            return "(" + word.join(self.condition(depth - 1) for _ in range(2)) + ")"
        return self.random.choice(("", "", "not ")) + self.some(ATOMS)

    def block(self, indent: str, depth: int) -> list[str]:
        lines = []
        for _ in range(self.random.randint(1, 2)):
            draw = self.random.random()
            if depth and draw < 0.6:
                lines += [f"{indent}if {self.condition()}:", *self.block(indent + "    ", depth - 1)]
                if self.random.random() < 0.4:
                    lines += [f"{indent}elif {self.condition(1)}:", *self.block(indent + "    ", depth - 1)]
                if self.random.random() < 0.15:
                    lines += [f"{indent}else:", *self.block(indent + "    ", depth - 1)]
            elif draw < 0.7:
                lines.append(f"{indent}x = self.data.Close[-1] * {self.random.choice((0.99, 1, 1.01))}")
            elif draw < 0.75 and depth < 2:
                return [*lines, f"{indent}return"]
            else:
                lines.append(indent + ("pass" if depth == 2 else self.some(ACTS)))
        return lines

    def strategy(self, name: str) -> str:
        lines = ["        x = self.b[-1] + 0.1", *self.block(" " * 8, 2), *self.block(" " * 8, 2)]
        return "\n".join([f"\n\nclass {name}(Base):", "    def next(self):", *lines, ""])


# Conditions as they are translated, and what they are of whole columns: x[2] is the column x, two bars back.
CONDITIONS = {
    "l0[bar - 1] < l1[bar - 1] and l0[bar] > l1[bar]": lambda a, b, c: (a[1] < b[1]) & (a[0] > b[0]),
    "l0[bar - 1] < l1[bar - 1] and l0[bar] > l1[bar] or (l1[bar - 1] < l0[bar - 1] and l1[bar] > l0[bar])": (
        lambda a, b, c: ((a[1] < b[1]) & (a[0] > b[0])) | ((b[1] < a[1]) & (b[0] > a[0]))
    ),
    "not l0[bar - 3] >= 0.9 and l1[bar] != l1[bar - 2]": lambda a, b, c: ~(a[3] >= 0.9) & (b[0] != b[2]),
    "closes[bar] <= l0[bar] and (not closes[bar - 5] == l1[bar - 4])": lambda a, b, c: (c[0] <= a[0]) & ~(c[5] == b[4]),
    "l0[bar] > 2.3": lambda a, b, c: a[0] > 2.3,
    "l0[bar] != l0[bar]": lambda a, b, c: a[0] != a[0],  # NaN
    "l0[bar] == l0[bar] and closes[bar] <= closes[bar]": lambda a, b, c: (a[0] == a[0]) & (c[0] <= c[0]),
}
VISITS = """
def visits(a: Account, out: list[int], levels: list[float]) -> int:
    aim(a)
    count = 0
    for bar in sifted(a.start, a.count, next_bar(a, bar, levels[0], levels[1])):
        out[count] = bar
        count = count + 1
    return count
"""


def sieves() -> list[str]:
    """Conditions whose bars are not those that are found by looking at every one. A bar too many may be among them
    where values are equal or missing.
    """
    _keep, addresses = machine.load(machine.functions_of(VISITS))
    visits = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 3)(addresses["visits"])
    rng, apart = np.random.default_rng(7), []
    for (text, plain), count, quarter in itertools.product(CONDITIONS.items(), (64, 90, 1500, 2304), (0, 1)):
        columns = [rng.standard_normal(count).round(1) for _ in range(3)]
        columns[0][rng.integers(0, count, 3)] = np.nan
        closes = columns[2]
        levels = np.add(np.quantile(closes, [quarter / 8, 1 - quarter / 8]), [quarter - 1, 1 - quarter])
        frame = pd.DataFrame(dict.fromkeys(("Open", "High", "Low", "Close"), np.abs(closes) + 1))
        account = Backtest(frame, Quiet).account()
        account.closes = account.opens = account.highs = account.lows = closes
        back = max(map(int, re.findall(r"bar - (\d)", text)), default=0)
        sieve = sieve_of(Condition(ast.parse(text, mode="eval").body, back), {"l0": 0, "l1": 1, "closes": 2})
        calls = "\n".join(f"    {call}" for call in sieve.fixed())
        _prepared, its = machine.load(machine.functions_of(f"def fix(a: Account) -> int:\n{calls or '    pass'}\n"))
        record = Record(account, Bound(columns[:2], []), count // 5, False, sieve)
        ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(its["fix"])(record.address)
        out = np.zeros(count, dtype=np.int64)
        told = out[: visits(record.address, out.ctypes.data, levels.ctypes.data)]
        holds = plain(*[[np.roll(column, later) for later in range(6)] for column in columns])
        holds |= (closes <= levels[0]) | (closes >= levels[1])
        holds[: sieve.begin] = True
        if count < 64 + sieve.back:
            holds[:] = True
        unclear = np.isnan(columns[0])
        for one, other in itertools.combinations(columns, 2):
            unclear |= one == other
        near = holds | np.any([np.roll(unclear, later) for later in range(back + 1)], axis=0)
        visited = np.zeros(count, dtype=bool)
        visited[told[told < count]] = True
        if (holds & ~visited)[count // 5 :].any() or (visited & ~near).any() or visited[: count // 5].any():
            apart.append(f"{text} {count} {quarter}")
    return apart


class Quiet(Strategy):
    def init(self) -> None:
        pass

    def next(self) -> None:
        pass


class Held(Strategy):
    def init(self) -> None:
        self.a = self.I(SMA, self.data.Close, 3)

    def next(self) -> None:
        if self.data.Close[-1] > self.a[-1]:
            self.buy(size=1)


def freed() -> bool:
    """Whether what a run computed goes with its figures, without the garbage collector."""
    gc.disable()
    test = Backtest(market(1, count=600), Held, cash=20_000)
    stats = test.reported(test.run_once({}, tier="compiled"))
    assert len(stats.notes) and stats["Equity Final [$]"] > 0
    kept = [weakref.ref(one) for one in (stats._run.strategy.a, stats._run.account)]
    del stats, test
    gone = [one() is None for one in kept]
    gc.enable()
    return all(gone)


def main(count: str = "60") -> None:
    found = {"freed": freed(), "sieves": sieves(), "quiet": 0, "sifted": 0, "traded": 0, "compiled": 0, "apart": []}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "random_strategies.py"
        names = [f"Random{number}" for number in range(int(count))]
        file.write_text(HEAD + "".join(Writer(number).strategy(name) for number, name in enumerate(names)))
        spec = importlib.util.spec_from_file_location("random_strategies", file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["random_strategies"] = module
        spec.loader.exec_module(module)
        for number, name in enumerate(names):
            bars = market(number % 5 + 1, count=300 + 61 * number)
            test = Backtest(bars, getattr(module, name), cash=20_000, commission=0.001, margin=(1, 0.2)[number % 2])
            try:
                interpreted = test.run_once({}, tier="interpreted")
            except ValueError:  # a stop on the wrong side
                continue
            compiled = test.run_once({}, tier="compiled")
            found["compiled"] += compiled.tier == "compiled"
            found["traded"] += len(interpreted.account.fills) > 5
            text = ast.unparse(translate(test.prepare({}).strategy).functions[0]) if compiled.tier == "compiled" else ""
            found["quiet"] += " in bars(" in text
            found["sifted"] += " in sifted(" in text
            same = np.array_equal(interpreted.equity, compiled.equity) and all(
                list(getattr(interpreted.account.fills, column)) == list(getattr(compiled.account.fills, column))
                for column in ("bars", "sizes", "prices", "commissions")
            )
            if not same or compiled.tier_reason or interpreted.strategy.seen != compiled.strategy.seen:
                found["apart"].append([name, compiled.tier_reason])
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(*sys.argv[1:])
