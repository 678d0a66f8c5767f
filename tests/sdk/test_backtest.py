"""backtest() with the boxes' packages: fills, equity, refused orders, silence explained, and the claim it
hands out.
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from qfp.results import simple

from runner.backtests import check_claim
from runner.claims.packed import Opener
from runner.samples import SAMPLES
from sandbox.host.messages import read_message
from tests.sdk.conftest import STORE

STRATEGY = """
from backtesting import Strategy
from qfp import backtest, data

class BuyOnce(Strategy):
    bar = 3
    units = 10
    limit = None
    def init(self): pass
    def next(self):
        if len(self.data) == self.bar:
            self.buy(size=self.units, limit=self.limit)

bars = data.prices("IBM", "2010-01-04", "2010-02-26", adjust="split")
"""


def claims_in(messages):
    return [message["claim"] for message in messages if message["type"] == "backtest"]


def run_claim(in_forked_environment, call):
    text, messages = in_forked_environment(STRATEGY + call)
    (claim,) = claims_in(messages)
    return text, claim


def test_a_market_order_fills_at_the_next_open_and_costs_a_thousandth(in_forked_environment, data):
    text, claim = run_claim(in_forked_environment, "backtest(BuyOnce, bars)")
    bars = data.prices("IBM", "2010-01-04", "2010-02-26", adjust="split")
    entry, final = claim["fills"]
    assert (entry["bar"], entry["size"]) == (3, 10)  # decided on the third bar, which is bar 2
    assert entry["price"] == pytest.approx(bars["open"].iloc[3], rel=1e-12)
    assert entry["commission"] == pytest.approx(10 * entry["price"] * 0.001, rel=1e-12)
    assert (final["bar"], final["size"]) == (len(bars) - 1, -10)
    text = " ".join(text.split())  # in lines that fit beside an editor
    assert "next bar's open" in text and "Commission 0.1 % of the traded value per fill" in text
    by_hand = 10_000 + 10 * (final["price"] - entry["price"]) - entry["commission"] - final["commission"]
    assert claim["equity"][-1] == pytest.approx(by_hand, rel=1e-12)


def test_a_backtest_of_many_orders_is_handed_over_packed_and_verified(in_forked_environment):
    flip = """
class Flip(BuyOnce):
    def next(self):
        self.position.close() if self.position else self.buy(size=1)

backtest(Flip, data.prices("BTCUSD", interval="1m").iloc[:12_000], cash=1e6)
"""
    _, packed = run_claim(in_forked_environment, flip)
    assert isinstance(packed, str) and len(packed) < 1_000_000
    message, _ = read_message(json.dumps({"type": "backtest", "claim": packed}).encode())
    checked = check_claim(Opener().open(message["claim"]), STORE)
    assert checked.verified, checked.verified_text
    assert len(checked.fills) + 1 == len(checked.orders) == checked.order_count == 11_999


def test_a_result_is_called_what_it_is_named_unless_its_strategy_has_such_a_parameter(in_forked_environment):
    own = """
class Named(BuyOnce):
    name = "nobody"
backtest(Named, bars, name="somebody")
backtest(BuyOnce, bars, name="Ten shares")
"""
    one, other = claims_in(in_forked_environment(STRATEGY + own)[1])
    assert (one["strategy"], one["params"]) == ("Named", {"name": "somebody"})
    assert (other["strategy"], other["params"]) == ("Ten shares", {})


def test_the_rules_of_backtesting_py_are_there_to_compare(in_forked_environment):
    claims = claims_in(
        in_forked_environment(STRATEGY + "backtest(BuyOnce, bars)\nbacktest(BuyOnce, bars, rules='backtesting.py')")[1]
    )
    last = [claim["fills"][-1]["price"] for claim in claims]
    assert [claim["conventions"]["version"] for claim in claims] == [2, 1]
    assert last[0] != last[1]  # the last close, and the open of that bar


def test_fixed_commissions_of_a_trade_closed_in_parts_are_charged_once_each(in_forked_environment):
    source = (
        STRATEGY
        + """
class InParts(BuyOnce):
    def next(self):
        super().next()
        if len(self.data) in (6, 9): self.position.close(.5)
backtest(InParts, bars, commission=(5, 0))
"""
    )
    _, messages = in_forked_environment(source)
    (claim,) = claims_in(messages)
    assert [fill["commission"] for fill in claim["fills"]] == [5.0] * len(claim["fills"])
    assert [fill["size"] for fill in claim["fills"]][:2] == [10, -5]
    assert check_claim(claim, STORE).verified


def test_every_order_is_handed_out_with_the_bar_that_decided_it_and_what_became_of_it(in_forked_environment):
    source = (
        STRATEGY
        + """
class Deciding(Strategy):
    def init(self): pass
    def next(self):
        now = len(self.data) - 1
        if now == 3: self.buy(size=10, sl=1)
        if now == 5: self.trades[0].sl = 2
        if now == 6: self.buy(size=10_000)
        if now == 7: self.buy(size=1, limit=1)
        if now == 8: self.sell(size=1, stop=1.5, limit=1.4).cancel()
        if now == 9: self.position.close(.5)
backtest(Deciding, bars, cash=5_000)
"""
    )
    _, messages = in_forked_environment(source)
    (claim,) = claims_in(messages)
    assert claim["orders"] == [
        {"bar": 3, "size": 10, "kind": "market", "outcome": "filled", "sl": 1},
        {"bar": 5, "size": -10, "kind": "stop", "outcome": "cancelled", "stop": 2, "closes": True, "of": 0},
        {"bar": 6, "size": 10_000, "kind": "market", "outcome": "refused", "reason": "insufficient margin"},
        {"bar": 7, "size": 1, "kind": "limit", "outcome": "waiting", "limit": 1},
        {"bar": 9, "size": -5, "kind": "market", "outcome": "filled", "closes": True, "of": 0},
    ]
    checked = check_claim(claim, STORE)
    assert checked.verified and [order["bar"] for order in checked.orders] == [3, 5, 6, 7, 9]


def test_refused_orders_are_said(in_forked_environment):
    text, claim = run_claim(in_forked_environment, "backtest(BuyOnce, bars, cash=100, units=10)")
    assert "1 order was refused because the account could not pay for it, the first decided on 2010-01-" in text
    assert "There were no trades: every order was refused" in text
    assert claim["fills"] == [] and claim["refused_orders"][0]["bar"] == 3


@pytest.mark.parametrize(
    ("call", "why"),
    [
        ("backtest(BuyOnce, bars, bar=10_000)", "never called buy() or sell()"),
        ("backtest(BuyOnce, bars, limit=1.0)", "no price reached"),
        ("backtest(BuyOnce, bars, cash=50)", "every order was refused"),
        (
            "import numpy as np\nclass Warm(BuyOnce):\n    def init(self):\n"
            "        self.i = self.I(lambda: np.full(len(self.data), np.nan))\n"
            "    def next(self):\n        if self.i[-1] > 0: self.buy()\nbacktest(Warm, bars)",
            "to warm up",
        ),
    ],
)
def test_a_run_without_trades_explains_itself(in_forked_environment, call, why):
    text, claim = run_claim(in_forked_environment, call)
    assert "There were no trades" in text and why in text and why in claim["no_trades"]


@pytest.mark.parametrize(
    "options",
    [
        "spread=0.002",
        "margin=0.2, units=0.99",
        "trade_on_close=True",
        "finalize_trades=False",
        "commission=lambda s, p: 1.0",
        "rules='backtesting.py'",
        "rules='backtesting.py', trade_on_close=True, spread=0.001",
    ],
)
def test_claims_of_untouched_bars_are_verified_under_every_rule(in_forked_environment, options):
    _, claim = run_claim(in_forked_environment, f"backtest(BuyOnce, bars, {options})")
    checked = check_claim(claim, STORE)
    assert checked.verified, checked.verified_text


def test_changed_bars_are_run_and_shown_as_not_verified(in_forked_environment):
    _, claim = run_claim(in_forked_environment, "bars = bars * 1.01\nbacktest(BuyOnce, bars)")
    checked = check_claim(claim, STORE)
    assert not checked.verified and checked.verified_text.startswith("Not verified.")


def test_bars_of_the_programs_own_are_run_too(in_forked_environment):
    source = "import pandas as pd\nbars = pd.DataFrame({c: bars[c.lower()] for c in ('Open','High','Low','Close')})\n"
    _, claim = run_claim(in_forked_environment, source + "bars.attrs = {}\nbacktest(BuyOnce, bars)")
    assert "came from the program" in check_claim(claim, STORE).verified_text


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ("backtest(int, bars)", "derives from backtesting.Strategy"),
        ("backtest(BuyOnce, bars[['close']])", "no column open"),
        ("backtest(BuyOnce, bars.iloc[:0])", "the frame is empty"),
        ("backtest(BuyOnce, bars.where(bars > 1e9))", "prices are missing"),
        ("backtest(BuyOnce, [1, 2])", "the bars are a DataFrame"),
    ],
)
def test_what_cannot_be_run_says_what_to_change(in_forked_environment, call, sentence):
    text, _ = in_forked_environment(STRATEGY + call, expect_failure=True)
    assert sentence in text


def test_momentum_takes_another_lookback(in_forked_environment):
    source = next(sample.source for sample in SAMPLES if sample.slug == "momentum")
    messages = [in_forked_environment(source, {"lookback": days})[1] for days in (60, 120)]
    results = [claims_in(of_run)[0] for of_run in messages]
    assert "lookback" in [message.get("name") for message in messages[0]]
    assert results[0]["equity"][-1] != results[1]["equity"][-1]


def test_nothing_heavy_is_imported_before_it_is_used(in_box_environment):
    text, _ = in_box_environment(
        "import sys\nimport qfp\nfrom qfp import data, param, progress, show, table, chart, backtest\n"
        "print([m for m in ('pandas', 'pyarrow', 'plotly', 'backtesting', 'bokeh', 'IPython') if m in sys.modules])"
    )
    assert text.strip() == "[]"


def test_plotting_is_loaded_when_something_is_plotted(in_box_environment):
    text, _ = in_box_environment(
        "import sys\nfrom qfp.postponed import postpone_plotting\npostpone_plotting()\nimport backtesting\n"
        "print('bokeh' in sys.modules)\nbacktesting.set_bokeh_output(notebook=False)\nprint('bokeh' in sys.modules)"
    )
    assert text.split() == ["False", "True"]


def test_every_public_name_has_a_docstring():
    import qfp

    for name in qfp.__all__:
        assert getattr(qfp, name).__doc__, name
    for module in (qfp.data, qfp.metrics, qfp.conventions, qfp.replay, qfp.adjustment):
        for name in module.__all__:
            assert getattr(module, name).__doc__, f"{module.__name__}.{name}"


def test_the_claim_is_plain_json(in_forked_environment):
    _, claim = run_claim(in_forked_environment, "backtest(BuyOnce, bars)")
    json.dumps(claim, allow_nan=False)


def test_parameters_of_any_kind_are_said_in_words_that_are_the_same_in_every_run():
    class Given:
        pass

    for value in (np.arange(3.0), pd.Series([1, 2]), pd.DataFrame({"a": [1]}), Given(), [Given], len, lambda: 0):
        said = simple(value)
        assert isinstance(said, str) and said and " at 0x" not in said, said
    plain = [np.float64(2), np.array(2), np.int64(2), 2, True, None, "two"]
    assert [simple(value) for value in plain] == [2.0, 2, 2, 2, True, None, "two"]
