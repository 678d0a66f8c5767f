"""What a program tries with Backtest itself is told to the site, once each, and the library's own tests are not."""

from __future__ import annotations

from qfp.backtesting.attempts import MOST

from runner.claims.reading import attempts_of, read_attempt

PROGRAM = """
from qfp import backtest, data
from qfp.backtesting import Backtest, Strategy
from qfp.backtesting.lib import crossover
from qfp.backtesting.test import SMA

class Cross(Strategy):
    fast, slow = 5, 20
    def init(self):
        self.a = self.I(SMA, self.data.Close, self.fast)
        self.b = self.I(SMA, self.data.Close, self.slow)
    def next(self):
        if crossover(self.a, self.b):
            self.buy()
        elif crossover(self.b, self.a):
            self.position.close()

bars = data.prices("IBM", "2009-01-02", "2009-12-31")
test = Backtest(bars.rename(columns=str.capitalize), Cross, commission=0.001)
"""


def attempts(in_forked_environment, more, name="params"):
    _, messages = in_forked_environment(PROGRAM + more)
    found = [one for one in messages if one["type"] == "backtest" and one.get("attempt")]
    told = [claim for one in found for claim in attempts_of(one["claim"], MOST)]
    for claim in told:
        read_attempt(claim)
    return [claim[name] for claim in told]


def test_what_is_tried_with_backtest_itself_is_told_once(in_forked_environment):
    told = attempts(
        in_forked_environment,
        "test.optimize(fast=range(3, 6), slow=[20, 30], maximize='Return [%]')\n"
        "test.run(fast=3, slow=20)\ntest.run(fast=9)\ntest.run_once({'fast': 8})\n"
        "test.run_many([{'fast': 8}, {'fast': 7}])\nbacktest(Cross, bars, fast=6)\n",
    )
    grid = [{"fast": fast, "slow": slow} for fast in range(3, 6) for slow in (20, 30)]
    # A search and a run tell different figures of the same combination, so that the site hears of it twice.
    assert told == [*grid, {"fast": 3, "slow": 20}, {"fast": 9}, {"fast": 8}, {"fast": 7}]


def test_no_more_are_told_than_the_site_counts(in_forked_environment):
    told = attempts(in_forked_environment, "test.run_many([{'fast': 3 + n, 'slow': 9} for n in range(1_100)])\n")
    assert len(told) == MOST


def test_what_the_site_cannot_read_is_told_as_well_and_takes_nothing_along(in_forked_environment):
    program = """
Cross.note = ""
for fast in (3, 4):
    test.run(fast=fast)
    Backtest(test._data.reset_index(drop=True), Cross).run(fast=fast)
test.run_many([{'fast': 5}, {'fast': 6, 'slow': 9, 'note': 'x' * 20_000}])
"""
    _, messages = in_forked_environment(PROGRAM + program)
    told = [one["claim"] for one in messages if one["type"] == "backtest" and one.get("attempt")]
    assert [len(one["tried"]) for one in told] == [1, 1, 1, 1, 2]
    assert told[1]["period"]["start"] == "0" and len(str(told[-1])) < 5_000


def test_of_earlier_cells_of_a_session_nothing_is_kept(in_forked_environment):
    """The site takes each for a run of its own, and counts what was tried twice once."""
    cells = "from qfp import checking\nfor cell in range(3):\n    checking.forget()\n    test.run(fast=7)\n"
    kept = "from qfp.backtesting import attempts\nassert sum(map(len, attempts._known.values())) == 1\n"
    assert attempts(in_forked_environment, cells + kept) == [{"fast": 7}] * 3


def test_an_attribute_that_is_set_around_a_run_makes_another_trial_of_it(in_forked_environment):
    program = """
for _ in range(2):
    for Cross.fast in (4, 5, 6):
        test.run(slow=30)
        test.optimize(slow=[30, 40], maximize="Sharpe Ratio")
"""
    told = attempts(in_forked_environment, program, "ended")
    runs = [ended for ended in told if ended[0] == "Equity Final [$]"]
    assert len(runs) == len({each[1] for each in runs}) == 3 and len(told) == 3 + 6


PORTFOLIO = """
from qfp import data
from qfp.portfolio import Portfolio, portfolio_backtest

bars = {name: data.prices(name, "2009-01-02", "2009-12-31", adjust=None) for name in ("IBM", "AAPL")}
account = Portfolio(bars)

def hold(every):
    def on_bar(ctx, share=0.5):
        if ctx.bar % every == 0:
            ctx.target("IBM", share)
    return on_bar
"""


def test_what_is_tried_with_portfolio_itself_is_told_as_well(in_forked_environment):
    told = attempts(
        in_forked_environment,
        PORTFOLIO + "for every in (5, 10, 20, 20):\n    account.run(hold(every))\naccount.run(hold(5), share=0.3)\n"
        "account.run(weights={'IBM': 0.4})\nportfolio_backtest(bars, hold(5))\n",
    )
    assert [len(params) for params in told] == [1, 1, 1, 2, 1] and told[3]["share"] == 0.3
    assert len({params["equity"] for params in told}) == 5
