"""Is compiled next() the same as interpreted? Strategies for both tiers, run over the bars of both_engines.

Prints JSON: per case whether the compiled tier took it, why not, and what differs. Runs in the boxes' environment.
"""

from __future__ import annotations

import json
import sys
import warnings
from itertools import permutations

import numpy as np
from qfp.backtesting import COMPATIBLE, USUAL, Backtest, many

sys.path.insert(0, str(__import__("pathlib").Path(__file__).parent))
from both_engines import SETTINGS, market
from changed_names import changed_names
from tiers_strategies import STRATEGIES, LongOnly, State


def differences(one, other):
    """What differs between two runs, to the last bit."""
    found = []
    for table in ("fills", "stretches", "decisions"):
        left, right = vars(getattr(one.account, table)), vars(getattr(other.account, table))
        found += [f"{table}.{name}" for name in left if left[name].tobytes() != right[name].tobytes()]
    if one.equity.tobytes() != other.equity.tobytes():
        found.append("equity")
    for name in ("refused", "placed", "deferred", "ruined_at", "cash", "units", "cost"):
        if getattr(one.account, name) != getattr(other.account, name):
            found.append(name)
    for name in ("orders", "trades", "closed_trades"):
        if list(map(repr, getattr(one.account, name))) != list(map(repr, getattr(other.account, name))):
            found.append(name)
    if one.notes() != other.notes():
        found.append("notes")
    kept = [
        {name: value for name, value in vars(run.strategy).items() if isinstance(value, (int, float, bool, type(None)))}
        for run in (one, other)
    ]
    if kept[0] != kept[1]:
        found.append(f"state {kept}")
    return found


def value_given_twice():
    """How often optimize() tells the figures of its best combination, of all orders of three; and whether another one
    ends with more money.
    """
    test, label, values = Backtest(market(2, count=400), LongOnly), "# Trades", (3, 5, 7)
    known = test.run_many([{"fast": fast} for fast in values], ("Equity Final [$]", label)).columns
    usual, many.PAYS_FROM = many.PAYS_FROM, 1
    right = 0
    for first, *others in permutations(values):
        ranges = {"fast": [first, first, *others]}
        best, heatmap = test.optimize(maximize=label, return_heatmap=True, constraint=lambda one: True, **ranges)
        right += bool(best[label] == heatmap.max() == known[label].max())
    many.PAYS_FROM = usual
    return [right, bool(known["Equity Final [$]"].argmax() != known[label].argmax())]


def searches():
    """What run_many() answers by both tiers."""
    test = Backtest(market(1, count=400), LongOnly, commission=0.001)
    grid = [{"fast": fast, "slow": slow} for fast in (3, 5, 400) for slow in (8, 9, 20)]
    figures = ("Equity Final [$]", "# Trades", "SQN", "sharpe", "total_return")
    one, other = (test.run_many(grid, figures, tier=tier) for tier in ("interpreted", "compiled"))
    State.wait = 3
    waits = [{"wait": wait, "fast": fast} for wait in (1, 3, 9) for fast in (2, 5)]
    two, with_state = (Backtest(market(2), State).run_many(waits, tier=tier) for tier in ("interpreted", "compiled"))
    best, heatmap = test.optimize(fast=[3, 5], slow=[8, 9], maximize="Equity Final [$]", return_heatmap=True)
    listed = test.optimize(
        fast=[3, 5], slow=[8, 9], maximize="Equity Final [$]", return_heatmap=True, constraint=lambda one: True
    )[1]
    return {
        "tiers": [other.tier, with_state.tier],
        "same": [
            all(np.array_equal(left.columns[name], right.columns[name], equal_nan=True) for name in left.columns)
            for left, right in ((one, other), (two, with_state))
        ],
        "listed": listed.equals(heatmap) and listed.index.equals(heatmap.index) and listed.name == heatmap.name,
        "twice": value_given_twice(),
        "distinct": len(set(other.columns["Equity Final [$]"])),
        "errors": [len(other.errors), len(Backtest(market(2), LongOnly).run_many([{"fast": "x"}, {"fast": 3}]).errors)],
        "best": bool(best["Equity Final [$]"] == heatmap.max() == one.columns["Equity Final [$]"][[0, 1, 3, 4]].max()),
    }


def main(only: str = "") -> None:
    sets = [
        market(1),
        market(2, gaps=0.15),
        market(3, halts=0.5, gaps=0.05),
        market(4, step=0.05, gaps=0.1),
        market(5, decimals=0),
        market(6, freq="h", step=0.004, count=700),
    ]
    settings = [one for one in SETTINGS if not callable(one.get("commission"))]
    results = []
    for number, (name, strategy) in enumerate(STRATEGIES.items()):
        if only not in name:
            continue
        for round_ in range(4 if name.startswith("Fuzz") else 3):
            setting, bars = settings[(number + round_ * 2) % len(settings)], sets[(number + round_) % len(sets)]
            test = Backtest(bars, strategy, rules=(USUAL, COMPATIBLE)[round_ % 2], **setting)
            case = f"{name} {round_} {setting}"
            try:
                interpreted = test.run_once({}, tier="interpreted")
            except Exception as error:  # then the compiled tier must not have an answer
                prepared = test.prepare({})
                compiled = test.compiled(prepared)
                results.append({"case": case, "raises": type(error).__name__, "compiled": compiled.account is not None})
                continue
            compiled = test.run_once({}, tier="compiled")
            report, other = test.report(interpreted), test.report(compiled)
            apart = differences(interpreted, compiled)
            if not report["_trades"].equals(other["_trades"]):
                apart.append("table of trades")
            results.append(
                {
                    "case": case,
                    "tier": compiled.tier,
                    "reason": compiled.tier_reason,
                    "apart": apart,
                    "trades": len(interpreted.account.closed_trades),
                }
            )
    json.dump({"same": results, "searches": searches(), "changed": changed_names()}, sys.stdout)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(*sys.argv[1:])
