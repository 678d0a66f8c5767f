"""Do an account's books balance? A hundred accounts at random: what trades gained, and what was paid beside them."""

from __future__ import annotations

import random
import warnings

import numpy as np
import pandas as pd
import pytest
from qfp.backtesting import Backtest, Strategy
from qfp.portfolio import Portfolio
from qfp.replay import replay

BARS = 80


def frame(draw: np.random.Generator, actions: bool = False) -> pd.DataFrame:
    close = 50 * np.exp(np.cumsum(draw.normal(0, 0.02, BARS)))
    opened = close * np.exp(draw.normal(0, 0.01, BARS))
    bars = pd.DataFrame({"Open": opened, "Close": close}, index=pd.bdate_range("2020-01-01", periods=BARS))
    bars["High"], bars["Low"] = bars.max(axis=1) * 1.01, bars.min(axis=1) * 0.99
    if actions:
        bars.iloc[30:] /= 2
        bars["split"], bars["dividend"] = 1.0, 0.0
        bars.iloc[30, bars.columns.get_loc("split")] = 2.0
        bars.iloc[20::25, bars.columns.get_loc("dividend")] = 0.4
        kept = (draw.random(BARS) < 0.95) | (bars["split"] != 1)
        bars = bars[kept].rename(columns=str.lower)
    return bars


def one_share(seed: int) -> float:
    """What trades of one instrument gained after costs, less the change of the account."""
    chance = random.Random(seed)

    class Drawn(Strategy):
        def init(self) -> None:
            pass

        def next(self) -> None:
            price, luck = self.data.Close[-1], chance.random()
            if luck < 0.15:
                self.buy(size=chance.choice([0.3, 5, 20]), sl=price * 0.95 if luck < 0.05 else None)
            elif luck < 0.3:
                self.sell(size=chance.choice([0.3, 5, 20]), limit=price * 1.01 if luck > 0.25 else None)
            elif luck < 0.4:
                self.position.close(chance.choice([0.5, 1.0]))

    options = {
        "commission": chance.choice([0.0, 0.002, (3, 0.001), lambda size, price: 1.5]),
        "spread": chance.choice([0.0, 0.003]),
        "margin": chance.choice([1.0, 0.5]),
        "hedging": chance.random() < 0.3,
    }
    bars = frame(np.random.default_rng(seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stats = Backtest(bars, Drawn, finalize_trades=True, cash=100_000, **options).run()
    assert len(stats["_trades"]) > 3
    changed = stats["Equity Final [$]"] - 100_000
    # The other way to pair fills to trades, oldest entry first, as the page shows them.
    paired = replay(stats.fills.rename(columns=str.lower).to_dict("records"), bars["Close"].to_numpy(), 100_000.0)
    assert sum(trade["profit"] for trade in paired.trades) == pytest.approx(changed, abs=1e-6)
    return stats["_trades"]["PnL"].sum() - changed


def several(seed: int) -> float:
    """What trades of three instruments gained after costs, with dividends and interest, less the change."""
    draw, chance = np.random.default_rng(seed), random.Random(seed)
    options = {
        "commission": chance.choice([0.0, 0.001, (1, 0.001)]),
        "spread": chance.choice([0.0, 0.002]),
        "slippage": chance.choice([0.0, 0.001]),
        "interest": chance.choice([0.0, 0.03]),
        "borrow": chance.choice([0.0, 0.05]),
        "fill": chance.choice(["next-open", "next-close", "same-close", "next-average"]),
        "fractional": chance.random() < 0.5,
    }

    def on_bar(ctx) -> None:
        if ctx.bar >= BARS - 15:
            ctx.target_weights({})
        elif ctx.bar % 4 == 0:
            ctx.target_weights({name: chance.uniform(-0.6, 0.6) for name in "ABC"})
        elif chance.random() < 0.2:
            ctx.order(chance.choice("ABC"), chance.choice([-10, 10]))

    run = Portfolio(
        {name: frame(draw, actions=True) for name in "ABC"}, cash=100_000, short=True, leverage=2.0, **options
    ).run(on_bar)
    assert len(run.replay.trades) > 10 and not run.replay.units[-1].any()
    paid = sum(flow["amount"] for flow in run.flows if flow["kind"] in ("dividend", "interest", "borrow"))
    profits = sum(trade["profit"] for trade in run.replay.trades)
    return profits + paid - (run.equity[-1] - 100_000)


@pytest.mark.parametrize("account", [one_share, several])
def test_profits_of_trades_after_costs_and_interest_add_up_to_the_change_of_fifty_accounts(account):
    off = {seed: account(seed) for seed in range(50)}
    assert {seed: each for seed, each in off.items() if abs(each) > 1e-6} == {}
