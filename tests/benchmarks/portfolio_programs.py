"""What is measured of portfolios in a process of its own? The same weights in the words of each engine; prints JSON.

    python portfolio_programs.py ENGINE JOB [COST]

Jobs: monthly (20 shares over 33 years, the five with the best year but the last month, changed by the month), universe
(500 shares over 10 years, other weights every day), events (10 shares over 10 years, a function called at every close).
Nothing is imported here beyond NumPy and pandas and the engine, so it runs in that engine's environment.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

CASH = 1_000_000.0


def closes_of(days: int, shares: int) -> pd.DataFrame:
    random = np.random.default_rng(42)
    market = random.standard_normal((days, 1)) * 0.009
    steps = 0.0004 + market + random.standard_normal((days, shares)) * 0.014
    dates = pd.bdate_range("1990-01-02", periods=days)
    return pd.DataFrame(50 * np.exp(np.cumsum(steps, axis=0)), index=dates, columns=[f"S{n:03}" for n in range(shares)])


def best_five(closes: pd.DataFrame) -> pd.DataFrame:
    """A row per last day of a month: a fifth for each of the five that rose most from a year to a month ago."""
    ends = closes.groupby(closes.index.to_period("M")).tail(1).index
    growth = (closes.shift(21) / closes.shift(252) - 1).loc[ends].dropna()
    return (growth.rank(axis=1, ascending=False) <= 5) * 0.2


def ours(cost: float) -> tuple[Callable[[], Any], Callable[[Any], float]]:
    from qfp.portfolio import Portfolio

    closes = closes_of(8_313, 20)
    weights = best_five(closes)
    made: list[Any] = []

    def run() -> Any:
        if not made:
            made.append(Portfolio(closes, cash=CASH, fill="same-close", fractional=True, commission=cost))
        return made[0].run(weights=weights)

    return run, lambda result: float(result.equity[-1])


def vectorbt(cost: float) -> tuple[Callable[[], Any], Callable[[Any], float]]:
    import vectorbt  # type: ignore[import-not-found]

    closes = closes_of(8_313, 20)
    sizes = best_five(closes).reindex(closes.index)

    def run() -> Any:
        portfolio = vectorbt.Portfolio.from_orders(
            closes,
            size=sizes,
            size_type="targetpercent",
            group_by=True,
            cash_sharing=True,
            call_seq="auto",
            fees=cost,
            init_cash=CASH,
        )
        return portfolio.final_value()

    return run, float


def bt(cost: float) -> tuple[Callable[[], Any], Callable[[Any], float]]:
    import bt as library  # type: ignore[import-not-found]

    closes = closes_of(8_313, 20)
    weights = best_five(closes)

    def run() -> Any:
        strategy = library.Strategy("s", [library.algos.WeighTarget(weights), library.algos.Rebalance()])
        test = library.Backtest(
            strategy, closes, initial_capital=CASH, commissions=lambda size, price: abs(size) * price * cost
        )
        test.run()
        return test.strategy.values.iloc[-1]

    return run, float


def universe(cost: float) -> tuple[Callable[[], Any], Callable[[Any], float]]:
    from qfp.portfolio import Portfolio

    closes = closes_of(2_520, 500)
    frames = {name: closes[[name]].set_axis(["close"], axis=1).assign(open=closes[name]) for name in closes}
    weights = np.random.default_rng(1).random(closes.shape)
    table = pd.DataFrame(weights / weights.sum(axis=1, keepdims=True), index=closes.index, columns=closes.columns)

    def run() -> Any:
        return Portfolio(frames, cash=CASH, commission=cost).run(weights=table)

    return run, lambda result: float(result.equity[-1])


def events(cost: float) -> tuple[Callable[[], Any], Callable[[Any], float]]:
    from qfp.portfolio import Portfolio

    closes = closes_of(2_520, 10)
    frames = {name: closes[[name]].set_axis(["close"], axis=1).assign(open=closes[name]) for name in closes}

    def on_bar(ctx: Any) -> None:
        recent = ctx.prices("close", 60)
        above = recent.iloc[-1] / recent.mean()
        for symbol in ctx.symbols:
            if above[symbol] > 1.02 and not ctx.position(symbol):
                ctx.order(symbol, ctx.equity // 10 // ctx.price(symbol))
            elif above[symbol] < 0.98 and ctx.position(symbol):
                ctx.close(symbol)

    def run() -> Any:
        return Portfolio(frames, cash=CASH, commission=cost).run(on_bar)

    return run, lambda result: float(result.equity[-1])


PROGRAMS = {
    ("ours", "monthly"): ours,
    ("vectorbt", "monthly"): vectorbt,
    ("bt", "monthly"): bt,
    ("ours", "universe"): universe,
    ("ours", "events"): events,
}


def main(engine: str, job: str, cost: str = "0.001") -> None:
    run, equity_of = PROGRAMS[engine, job](float(cost))
    cpu, wall = time.process_time(), time.perf_counter()
    result = run()
    first = {"first cpu": time.process_time() - cpu, "first wall": time.perf_counter() - wall}
    again = []
    for _ in range({"ours": 99, "vectorbt": 9}.get(engine, 1) if job == "monthly" else 1):
        cpu = time.process_time()
        result = run()
        again.append(time.process_time() - cpu)
    found = {
        **first,
        "again cpu": sorted(again)[len(again) // 2],
        "equity": equity_of(result),
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
