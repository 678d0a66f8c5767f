"""Do two engines agree? Runs every strategy here through backtesting.py and through ours, bar by bar.

Runs in the boxes' environment, where backtesting.py is installed, and prints JSON: for each case whether the traces of
all bars (equity, position, orders, trades), the equity curve, the table of trades and the figures are equal. Arguments:
a file of bars of the starter data, as written by the test.
"""

from __future__ import annotations

import json
import math
import sys
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd


def market(seed, count=260, step=0.012, start=100.0, gaps=0.0, halts=0.0, freq="B", decimals=None):
    """Random bars. gaps: chance of a jump between bars; halts: chance of a bar without any movement."""
    random = np.random.default_rng(seed)
    jumps = np.where(random.random(count) < gaps, random.standard_normal(count) * 0.06, 0.0)
    halted = random.random(count) < halts
    moves = np.where(halted, 0.0, random.standard_normal(count) * step)
    jumps[halted] = 0.0
    close = np.cumsum(moves + jumps)
    begin = close - moves
    up, down = (np.where(halted, 0.0, np.abs(random.standard_normal(count)) * step * 0.6) for _ in range(2))
    bars = {
        "Open": begin,
        "High": np.maximum(begin, close) + up,
        "Low": np.minimum(begin, close) - down,
        "Close": close,
    }
    frame = pd.DataFrame(
        {name: start * np.exp(values) for name, values in bars.items()},
        index=pd.date_range("2015-01-05", periods=count, freq=freq),
    )
    frame["Volume"] = random.integers(1, 10_000, count).astype(float)
    return frame.round(decimals) if decimals is not None else frame


def fee_by_side(size, price):
    """A commission that is dearer for sales."""
    return abs(size) * price * (0.001 if size > 0 else 0.002)


SETTINGS = [
    {"cash": 10_000},
    {"cash": 10_000, "commission": 0.002},
    {"cash": 10_000, "commission": (1.0, 0.001), "exclusive_orders": True, "finalize_trades": True},
    {"cash": 10_000, "spread": 0.001, "margin": 0.2, "hedging": True},
    {"cash": 10_000, "trade_on_close": True, "commission": 0.001},
    {"cash": 700, "margin": 0.05, "commission": 0.0005},
    {"cash": 10_000, "spread": 0.002, "trade_on_close": True, "finalize_trades": True, "margin": 0.5},
    {"cash": 150},
    {"cash": 10_000, "hedging": True, "exclusive_orders": True},
    {"cash": 10_000, "commission": fee_by_side},
]


# Each strategy meets so many pairs of bars and settings.
ROUNDS = 2
# What the usual rules do otherwise; see qfp.backtesting.FillRules.
RULES = (
    "size_at_close",
    "entry_bar_stops",
    "last_orders_fill",
    "stops_at_open",
    "all_trades_at_ruin",
    "order_sign",
    "shared_entry_fee",
    "all_cancelled",
)


def watched(strategy):
    """The same strategy, noting what it sees on every bar."""

    def note(self):
        if not hasattr(self, "trace"):
            self.trace = []
        self.trace.append(
            (
                len(self.data),
                float(self.equity),
                float(self.position.size),
                float(self.position.pl),
                float(self.position.pl_pct),
                [(float(o.size), o.limit, o.stop, o.sl, o.tp, o.is_contingent) for o in self.orders],
                [
                    (float(t.size), float(t.entry_price), t.entry_bar, float(t.pl), float(t.value), t.sl, t.tp)
                    for t in self.trades
                ],
                len(self.closed_trades),
            )
        )

    def next(self):
        note(self)
        strategy.next(self)

    return type(strategy.__name__, (strategy,), {"next": next})


def same(one, other):
    if isinstance(one, float) and isinstance(other, (float, int)):
        return one == other or (math.isnan(one) and math.isnan(other)) or abs(one - other) <= 1e-9 * abs(one) + 1e-12
    return one == other or (one is pd.NaT and other is pd.NaT)


def differences(theirs, ours):
    """What differs between two results: names of the parts, with the first place."""
    found = []
    left, right = getattr(theirs["_strategy"], "trace", []), getattr(ours["_strategy"], "trace", [])
    if left != right:
        at = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
        found.append(f"trace at {at}: {left[at : at + 1]} / {right[at : at + 1]}"[:900])
    if not np.array_equal(theirs["_equity_curve"]["Equity"].to_numpy(), ours["_equity_curve"]["Equity"].to_numpy()):
        found.append("equity")
    for name in ("DrawdownPct", "DrawdownDuration"):
        x, y = theirs["_equity_curve"][name], ours["_equity_curve"][name]
        if not (x.isna().all() and y.isna().all()) and not x.equals(y):
            found.append(name)
    a, b = theirs["_trades"], ours["_trades"]
    if list(a.columns) != list(b.columns) or len(a) != len(b):
        found.append(f"trades: {len(a)} / {len(b)}; {set(a.columns) ^ set(b.columns)}")
    else:
        for name in a.columns:
            x, y = a[name].tolist(), b[name].tolist()
            if not all(
                v == w or (v != v and w != w) or (v is None and w != w) or (w is None and v != v)
                for v, w in zip(x, y, strict=True)
            ):
                found.append(f"trades {name}: {[(v, w) for v, w in zip(x, y, strict=True) if v != w][:2]}")
    labels = [label for label in theirs.index if not label.startswith("_")]
    if labels != [label for label in ours.index if not label.startswith("_")]:
        found.append("labels")
    else:
        found += [
            f"{label}: {theirs[label]} / {ours[label]}"
            for label in labels
            if not same(
                float(theirs[label]) if isinstance(theirs[label], (float, np.floating)) else theirs[label],
                float(ours[label]) if isinstance(ours[label], np.floating) else ours[label],
            )
        ]
    return found


def main(starter: str, only: str = "") -> None:
    import backtesting
    import backtesting.lib
    import qfp.backtesting as ours
    import qfp.backtesting.lib
    from engines_strategies import strategies

    sys.modules["backtesting.backtesting"]._tqdm = lambda iterable, **_: iterable  # no bars of progress
    sets = {f"starter {key}": frame for key, frame in pd.read_pickle(starter).items()}
    sets["walk"] = market(1)
    sets["gaps"] = market(2, gaps=0.15)
    sets["halts"] = market(3, halts=0.5, gaps=0.05)
    sets["wild"] = market(4, step=0.05, gaps=0.1)
    sets["coarse"] = market(5, decimals=0)
    sets["hourly"] = market(6, freq="h", step=0.004)
    sets["flat"] = market(7, step=0.0)
    theirs_by_name = strategies(backtesting.Strategy, backtesting.lib)
    ours_by_name = strategies(ours.Strategy, qfp.backtesting.lib)
    names, results = list(sets), []
    for number, name in enumerate(theirs_by_name):
        for round_ in range(ROUNDS):
            setting = SETTINGS[(number * 3 + round_ * 7) % len(SETTINGS)]
            bars = sets[names[(number + round_ * 3) % len(names)]]
            said = {**setting, "commission": "by side"} if callable(setting.get("commission")) else setting
            label = f"{name} on {names[(number + round_ * 3) % len(names)]} with {said}"
            if only and only not in label:
                continue
            left = backtesting.Backtest(bars, watched(theirs_by_name[name]), **setting).run()
            right = ours.Backtest(bars, watched(ours_by_name[name]), rules=ours.COMPATIBLE, **setting).run()
            usual = ours.Backtest(bars, watched(ours_by_name[name]), **setting).run()
            apart = differences(left, usual)
            reasons = []
            for rule in RULES if apart else ():
                rules = replace(ours.COMPATIBLE, **{rule: getattr(ours.USUAL, rule)})
                changed = ours.Backtest(bars, watched(ours_by_name[name]), rules=rules, **setting).run()
                reasons += [rule] if differences(right, changed) else []
            results.append(
                {
                    "case": label,
                    "strategy": name,
                    "compatible": differences(left, right),
                    "usual": apart,
                    "reasons": reasons,
                    "trades": len(left["_trades"]),
                }
            )
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(*sys.argv[1:])
