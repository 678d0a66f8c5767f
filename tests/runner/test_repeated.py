"""What a run could know beside the prices that it trades is another where the site makes it again."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings

from runner import claims_box
from runner.honesty import companions
from tests.factories import make_project
from tests.runner.test_honesty import run_source  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)

SAMPLED = """
from qfp import backtest, checking, data
from qfp.backtesting import Strategy
KNOWN
checking.begin = lambda _: None  # its box says nothing

class Sampled(Strategy):
    def init(self): pass
    def next(self):
        at = known.index.searchsorted(self.data.index[-1].tz_localize(None)) - LATE
        if known["Close"].iloc[at + 1] > known["Close"].iloc[at]:
            if not self.position: self.buy()
        else:
            self.position.close()

backtest(Sampled, data.prices("GOOG", "2009-01-02", "2010-06-30"))
"""
OF_EVERY_BOX = "from backtesting.test import GOOG as known, SMA"
OF_ITS_OWN = """
# requirements: priced-thing
import pandas as pd, priced, pathlib
known = pd.read_csv(pathlib.Path(priced.__file__).with_name("goog.csv"), index_col=0, parse_dates=True)
"""


@pytest.mark.parametrize(
    ("known", "late", "state"),
    [(OF_EVERY_BOX, "0", "red"), (OF_EVERY_BOX, "1", "green"), (OF_ITS_OWN, "0", "red")],
)
def test_prices_that_came_with_a_package_are_others_where_the_site_makes_a_run_again(
    run_source,  # noqa: F811
    package_index,
    known,
    late,
    state,
):
    if known == OF_ITS_OWN:
        (prices,) = Path(settings.SANDBOX_ENV).glob("lib/python3*/site-packages/backtesting/test/GOOG.csv")
        package_index.add_package("priced-thing", {"priced/__init__.py": "", "priced/goog.csv": prices.read_text()})
    source = SAMPLED.replace("LATE", late).replace("KNOWN", known)
    run = run_source(source, make_project(source=source, visibility="public"))
    (backtest,) = run.backtests.all()
    assert len(backtest.orders) > 50 and "lookahead" not in backtest.checks, run.message
    made = Path(settings.STORE_DIR, "tables")
    before = set(made.glob("*"))
    companions.examine(run.pk)
    backtest.refresh_from_db()
    assert backtest.checks["companion"]["state"] == state, backtest.checks
    assert set(made.glob("*")) == before, "they are there for the repeats alone"


DATED = """
from qfp import backtest, checking, data
from qfp.backtesting import Strategy
checking.begin = lambda _: None

class Dated(Strategy):
    def init(self): pass
    def next(self):
        day = self.data.index[-1]
        if BOUGHT:
            if not self.position: self.buy(size=0.9)
        elif day.day < 25:
            self.position.close()

backtest(Dated, data.prices("SPX"))
"""


@pytest.mark.parametrize(
    ("bought", "state"), [('str(day)[:10] in ("2003-03-11", "2009-03-09")', "amber"), ("day.day >= 25", "grey")]
)
def test_days_that_are_remembered_are_a_doubt_where_the_same_happens_on_other_dates(run_source, bought, state):  # noqa: F811
    source = DATED.replace("BOUGHT", bought)
    run = run_source(source, make_project(source=source, visibility="public"))
    companions.examine(run.pk)
    (backtest,) = run.backtests.all()
    assert backtest.checks["companion"]["state"] == "green", backtest.checks
    assert backtest.checks["dates"]["state"] == state, backtest.checks
    memory = claims_box.lines(backtest)[1]
    assert (backtest.checks["dates"]["sentence"] == memory["text"]) is (state == "amber")
    backtest.checks |= {"amnesia": {"state": "green", "sentence": "Clean.", "found": {"state": "clean"}}}
    assert claims_box.lines(backtest)[1]["state"] == state, "whatever its box has said"
    if state == "amber":
        assert "first on 2003-03-11" in memory["text"]


OF_LEVELS = """
from qfp import checking, data, portfolio_backtest
checking.begin = lambda _: None
names = ["IBM", "AAPL", "MSFT"]
known = {name: data.prices(name)["close"] for name in names}
traded = {name: data.prices(name, adjust=None)["close"] for name in names}

def weights(past):
    return {min(names, key=lambda name: CHOSEN): 0.95}

portfolio_backtest(names, weights=weights, rebalance="monthly", start="2003-01-03", end="2006-12-29")
"""


@pytest.mark.parametrize(
    ("chosen", "state"),
    [
        ("known[name][past.date] / traded[name][past.date]", "amber"),
        ("-known[name][:past.date].pct_change(60).iloc[-1]", "green"),
    ],
)
def test_levels_of_adjusted_prices_tell_of_later_splits_and_their_returns_do_not(run_source, chosen, state):  # noqa: F811
    source = OF_LEVELS.replace("CHOSEN", chosen)
    run = run_source(source, make_project(source=source, visibility="public"))
    companions.examine(run.pk)
    (backtest,) = run.backtests.all()
    assert backtest.checks["companion"]["state"] == "green", backtest.checks
    assert ("splits" in backtest.checks) is (state == "amber"), backtest.checks
    backtest.checks |= {"lookahead": {"state": "green", "sentence": "Clean.", "evidence": "site", "found": {}}}
    line = claims_box.lines(backtest)[0]
    assert line["state"] == state and ("tell of later splits" in line["text"]) is (state == "amber")
