"""What a program tells of its orders cannot be chosen with what came later."""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from qfp import backtests
from qfp.backtesting import Strategy
from qfp.checking.decisions import first_other_fate
from qfp.checking.variations import from_the_open, other_columns
from qfp.portfolio import Portfolio, PortfolioResult

from runner.backtests import check_claim
from runner.honesty import cuts
from runner.honesty.differences import differences
from runner.honesty.reached_prices import held_bars, reached_prices
from runner.honesty.site_findings import finding
from tests.bars import read_bars
from tests.runner import random_programs
from tests.runner.reported import STORE, claim_of
from tests.sdk.conftest import data, starter  # noqa: F401

CUT = 150


@pytest.fixture(scope="module")
def claim() -> dict[str, Any]:
    return claim_of("IBM", 20, 10, bars=300)


def as_stored(claim: dict[str, Any]) -> Any:
    checked = check_claim(claim, STORE)
    assert checked.verified, checked.verified_text
    return SimpleNamespace(**{**vars(checked), "position": 0})


def without_trade(claim: dict[str, Any], number: int) -> dict[str, Any]:
    """The same orders, of which two are said to have led to nothing."""
    other = copy.deepcopy(claim)
    for order in other["orders"][2 * number : 2 * number + 2]:
        order["outcome"] = "cancelled"
    del other["fills"][2 * number : 2 * number + 2]
    return other


def test_a_trade_that_is_left_out_on_one_course_of_prices_alone_is_hindsight(claim: dict[str, Any]) -> None:
    kept = as_stored(claim)
    cut = np.datetime64(kept.dates[CUT], "us")
    assert differences([kept], [claim], cut) == {}
    last = max(at for at in range(len(claim["fills"]) // 2) if claim["fills"][2 * at]["bar"] < CUT)
    before = claim["fills"][2 * last]["bar"]
    assert differences([kept], [without_trade(claim, last)], cut) == {0: before}
    assert differences([kept], [without_trade(claim, last + 1)], cut) == {}, "the future is another one"


def test_nothing_is_closed_that_was_not_opened_where_long_and_short_are_held_at_once(claim: dict[str, Any]) -> None:
    hedged = copy.deepcopy(claim)
    hedged["conventions"].update(hedging=True, finalize_trades=False)
    for order in hedged["orders"]:
        order["closes"] = order["size"] < 0
    assert check_claim(hedged, STORE).verified
    del hedged["orders"][0], hedged["fills"][0]
    assert "closed more than was open" in check_claim(hedged, STORE).verified_text


REFUSED = {"outcome": "refused", "reason": "insufficient margin"}


@pytest.mark.parametrize(
    ("told", "doubt"),
    [
        (REFUSED, "told as refused, and the account could pay"),
        ({"outcome": "waiting"}, "was filled at"),
        ({"outcome": "waiting", "kind": "limit", "limit": 1e4}, "was filled at"),
        ({"outcome": "waiting", "kind": "limit", "limit": 1.0}, ""),
        ({"outcome": "cancelled"}, "before it could be withdrawn"),
        ({"outcome": "cancelled", "kind": "limit", "limit": 1e4}, "before it could be withdrawn"),
        ({"outcome": "cancelled", "kind": "stop", "stop": 1.0}, "before it could be withdrawn"),
        ({"outcome": "cancelled", "kind": "stop-limit", "stop": 1.0, "limit": 1e4}, "before it could be withdrawn"),
        ({"outcome": "cancelled", "kind": "limit", "limit": 1.0}, ""),
        ({"outcome": "cancelled", "kind": "stop", "stop": 1e4}, ""),
        ({**REFUSED, "size": 1e6}, ""),
    ],
)
def test_an_order_that_would_have_filled_is_not_told_as_refused_or_waiting(
    claim: dict[str, Any], told: dict[str, Any], doubt: str
) -> None:
    forged = copy.deepcopy(claim)
    forged["orders"][4:6] = [{**forged["orders"][4], **told}]
    del forged["fills"][4:6]
    text = check_claim(forged, STORE).verified_text
    assert doubt in text if doubt else "Replaying the fills gives" in text, text


def test_what_could_be_paid_for_is_not_told_as_refused_where_long_and_short_are_held_at_once(
    claim: dict[str, Any],
) -> None:
    hedged = copy.deepcopy(claim)
    hedged["conventions"].update(hedging=True, finalize_trades=False)
    for order in hedged["orders"]:
        order["closes"] = order["size"] < 0
    hedged["orders"][4:6] = [{**hedged["orders"][4], **REFUSED}]
    del hedged["fills"][4:6]
    assert "the account could pay" in check_claim(hedged, STORE).verified_text
    hedged["orders"][4]["size"] = 1e6
    assert "the account could pay" not in check_claim(hedged, STORE).verified_text
    held = hedged["orders"][3]["bar"] - 1
    hedged["orders"].insert(
        3, {**hedged["orders"][2], **REFUSED, "bar": held, "size": -1.1 * hedged["orders"][2]["size"]}
    )
    assert "the account could pay" not in check_claim(hedged, STORE).verified_text, "both sides need their margin"


def test_a_fill_on_the_bar_of_the_cut_is_compared_too(claim: dict[str, Any]) -> None:
    kept, fill = as_stored(claim), claim["fills"][6]
    other = {**claim, "fills": [each for each in claim["fills"] if each != fill]}
    cut = np.datetime64(kept.dates[fill["bar"]], "us")
    assert differences([kept], [other], cut) == {0: fill["bar"]}
    kept.conventions = {**kept.conventions, "trade_on_close": True}
    assert differences([kept], [other], cut) == {}, "dated back, and made with the bar after it"


def test_who_is_filled_at_an_open_does_not_hang_on_the_rest_of_its_bar(claim: dict[str, Any]) -> None:
    kept = as_stored(claim)
    kept.conventions = {"id": "next-open", "version": 2}
    bar = claim["fills"][6]["bar"]
    day = np.datetime64(kept.dates[bar - 1], "us")
    assert differences([kept], [claim], day, inside=True) == {}
    for told in (REFUSED, {"outcome": "cancelled"}):
        other = copy.deepcopy(claim)
        other["orders"][6] |= told
        del other["fills"][6]
        assert differences([kept], [other], day) == {}, "after the cut"
        assert differences([kept], [other], day, inside=True) == {0: bar}
        left_out = SimpleNamespace(**{**vars(kept), "orders": other["orders"], "fills": other["fills"]})
        assert differences([left_out], [claim], day, inside=True) == {0: bar}
    ruined = {**other, "equity": [0.0] * len(kept.dates)}
    assert differences([kept], [ruined], day, inside=True) == {}, "its close ended it"


def test_sizes_that_decide_who_can_be_paid_are_not_the_same(claim: dict[str, Any]) -> None:
    kept, other = as_stored(claim), copy.deepcopy(claim)
    other["orders"][4]["size"] *= 1 + 5e-7
    cut = np.datetime64(kept.dates[CUT], "us")
    assert differences([kept], [other], cut) == {0: claim["orders"][4]["bar"]}
    other["orders"][4]["size"] = claim["orders"][4]["size"] * (1 + 1e-12)
    assert differences([kept], [other], cut) == {}, "sums may differ in their last digits"


def test_an_order_that_was_refused_by_a_day_was_so_on_every_course_of_prices_after_it() -> None:
    filled = {"bar": 5, "size": 1.0, "kind": "market", "outcome": "filled"}
    refused = {**filled, **REFUSED}
    assert first_other_fate([refused], [filled], 6) == first_other_fate([filled], [refused], 6) == 5
    assert first_other_fate([refused], [filled], 5) is None, "the next bar refuses"
    assert first_other_fate([{**refused, "limit": 9.0}], [{**filled, "limit": 9.0}], 6) is None, "any later bar may"


class AllIn(Strategy):
    """Fractions of the account, on both sides, beside what is open."""

    def init(self) -> None:
        pass

    def next(self) -> None:
        if len(self.data) % 7 == 0:
            self.buy(size=0.6)
        elif len(self.data) % 11 == 0:
            self.sell(size=0.5)
        elif len(self.data) % 5 == 0:
            self.buy(size=70)
        elif len(self.data) % 13 == 0:
            self.position.close()


class Waiting(AllIn):
    """The same beside limits, stops and targets that fill within bars."""

    def next(self) -> None:
        price = self.data.Close[-1]
        if len(self.data) % 3 == 0:
            self.buy(size=0.4, limit=price * 0.99, sl=price * 0.97, tp=price * 1.02)
        elif len(self.data) % 4 == 0:
            self.sell(size=0.3, stop=price * 0.99)
        elif len(self.data) % 17 == 0:
            self.buy(size=0.5, sl=price * 0.98)
        else:
            super().next()


class Trailing(AllIn):
    """Whose stops are all set later."""

    def next(self) -> None:
        for trade in self.trades:
            trade.sl = max(trade.sl or 0, self.data.Close[-1] * 0.985)
        if len(self.data) % 5 == 0 and not self.position:
            self.buy(size=0.9)
        elif len(self.data) % 4 == 0:
            self.position.close()


class Tiny(AllIn):
    """The same beside small orders that fill within nearly every bar."""

    def next(self) -> None:
        self.buy(size=1, limit=self.data.Close[-1] * 0.999)
        self.sell(size=1, limit=self.data.Close[-1] * 1.001)
        super().next()


def of_one(strategy: type) -> Any:
    return lambda frame: backtests.backtest(strategy, frame, commission=0.002, spread=0.001, margin=0.5)


def of_many(frame: Any) -> Any:
    run = Portfolio({"IBM": frame}, cash=1e5).run(weights=weights, rebalance="weekly")
    return PortfolioResult("Weekly", run, {})


def weights(past: Any) -> dict[str, float]:
    return {"IBM": 0.2 + past.date.day % 5 / 10}


def of_many_that_wait(frame: Any) -> Any:
    def on_bar(ctx: Any) -> None:
        price = ctx.price("IBM")
        ctx.order("IBM", 20, limit=price * 0.998)
        ctx.order("IBM", -25, stop=price * 0.995)
        if ctx.bar % 3 == 0:
            ctx.order("IBM", 800 - 10 * ctx.bar % 1600)

    return PortfolioResult("Waits", Portfolio({"IBM": frame}, cash=1e5, slippage=0.001).run(on_bar), {})


def drawn_at_random(seed: str) -> Any:
    def made(frame: Any) -> Any:
        on_close: dict[str, Any] = {"trade_on_close": False}
        program, _, options, _ = random_programs.drawn(seed, True, **on_close)
        return backtests.backtest(program, frame, **options)

    return made


HONEST = [of_one(AllIn), of_one(Waiting), of_one(Trailing), of_one(Tiny), of_many, of_many_that_wait]
HONEST += [drawn_at_random(f"w {seed}") for seed in (8, 25, 29, 31, 32)]


def varied_within(kept: Any, bars: Any, bar: int, tail: int) -> Any:
    """Bars that are others after the open of one of them."""
    columns = {name: bars[name].to_numpy() for name in bars.columns}
    moment = np.datetime64(kept.dates[bar - 1], "us")
    known = {0: np.array(kept.dates, dtype="datetime64[us]")}
    found = reached_prices(STORE, [kept], moment, known)
    far = found.get(kept.instruments[0]["series"]) if found else None
    later = from_the_open(columns, other_columns(columns, bar, tail, bar), bar, tail, far)
    assert later["open"][bar] == columns["open"][bar]
    assert (later["low"] <= later["open"]).all() and (later["open"] <= later["high"]).all()
    assert (later["low"] <= later["close"]).all() and (later["close"] <= later["high"]).all()
    return bars.assign(**later)


@pytest.mark.parametrize("made", HONEST)
def test_honest_programs_fill_the_same_at_an_open_whatever_follows_it(data, made) -> None:  # noqa: F811
    bars = data.prices("IBM", "2008-01-02", "2009-06-30")
    kept = as_stored(json.loads(json.dumps(made(bars).claim)))
    assert cuts.fills_at_open(kept.conventions)
    changed = 0
    for bar in sorted({fill["bar"] for fill in kept.fills})[5:60:9]:
        other = varied_within(kept, bars, bar, (-1) ** bar)
        changed += other["Close" if "Close" in other else "close"].iloc[bar] != bars.iloc[bar]["close"]
        claimed = json.loads(json.dumps(made(other).claim))
        assert differences([kept], [claimed], np.datetime64(kept.dates[bar - 1], "us"), inside=True) == {}
    assert changed


def test_who_chooses_at_an_open_with_the_rest_of_its_bar_is_found_beside_limits_that_fill_on_every_bar(
    data,  # noqa: F811
) -> None:
    """By the commission that an order is told to cost: too much where its bar falls."""

    class Chosen(Strategy):
        def init(self) -> None:
            self.wanted = 0.0

        def next(self) -> None:
            Chosen.bar = len(self.data)
            self.buy(size=1, limit=self.data.Close[-1] * 0.9995)
            self.sell(size=1, limit=self.data.Close[-1] * 1.0005)
            if self.position.size > 50:
                self.position.close()
            else:
                self.buy(size=int(0.9 * self.equity / self.data.Close[-1]))

    def made(frame: Any) -> Any:
        opened, close = frame["open"].to_numpy(), frame["close"].to_numpy()

        def commission(size: float, price: float) -> float:
            falls = size > 50 and close[min(Chosen.bar, len(close) - 1)] < opened[min(Chosen.bar, len(close) - 1)]
            return (0.3 if falls else 0.001) * abs(size) * price

        return backtests.backtest(Chosen, frame, commission=commission, cash=1e5)

    bars = data.prices("IBM", "2008-01-02", "2009-06-30")
    kept = json.loads(json.dumps(made(bars).claim))
    kept = SimpleNamespace(**{**vars(check_claim(kept, STORE)), "position": 0, "verified": True})
    within = {order["bar"] + 1 for order in kept.orders if order.get("limit") and order["outcome"] == "filled"}
    bought = [fill["bar"] for fill in kept.fills if fill["size"] > 50]
    assert len(within.intersection(bought)) > 0.7 * len(bought)
    found = 0
    for bar in bought[5:50:5]:
        claimed = json.loads(json.dumps(made(varied_within(kept, bars, bar, -1)).claim))
        found += differences([kept], [claimed], np.datetime64(kept.dates[bar - 1], "us"), inside=True) == {0: bar}
    assert found > 5
    assert held_bars(STORE, kept, set(bought)) < len(bought) / 4, "there is room beside what filled"


def test_what_could_not_be_changed_because_orders_filled_in_all_of_a_bar_is_said(data) -> None:  # noqa: F811
    class Everywhere(AllIn):
        def next(self) -> None:
            for step in range(1, 25):
                self.buy(size=1, limit=self.data.Close[-1] * (1 - step / 500))
                self.sell(size=1, limit=self.data.Close[-1] * (1 + step / 500))
            super().next()

    bars = data.prices("IBM", "2008-01-02", "2008-06-30")
    kept = as_stored(json.loads(json.dumps(of_one(Everywhere)(bars).claim)))
    kept.checks = {}
    every = set(range(1, len(kept.dates) - 1))
    held = held_bars(STORE, kept, every)
    assert held > len(every) / 2
    said = finding(kept, None, 7, "", (), (held, len(every)))["companion"]
    assert said["state"] == "amber" and f"On {held} of the {len(every)} bars" in said["sentence"]
    assert finding(kept, None, 7, "", (), (held, 9 * held))["companion"]["state"] == "green"


def test_an_order_that_was_withdrawn_by_a_day_was_so_on_every_course_of_prices_after_it(claim: dict[str, Any]) -> None:
    """Before anything of it was filled: by then the withdrawal had been decided or not."""
    number = next(at for at, fill in enumerate(claim["fills"]) if at % 2 == 0 and fill["bar"] > 100)
    bought = claim["fills"][number]["bar"]
    waits = copy.deepcopy(claim)
    waits["orders"][number] |= {"bar": bought - 2, "kind": "limit", "limit": 1.0, "outcome": "waiting"}
    del waits["orders"][number + 1], waits["fills"][number : number + 2]
    decided = waits["orders"][number]["bar"]
    gone = copy.deepcopy(waits)
    gone["orders"][number] |= {"outcome": "cancelled", "gone": bought - 1}
    kept = SimpleNamespace(**{**vars(check_claim(waits, STORE)), "position": 0})

    def found(on: int, other: dict[str, Any]) -> dict[int, int]:
        return differences([kept], [other], np.datetime64(kept.dates[on], "us"))

    assert found(bought - 1, gone) == {0: decided}
    assert found(bought - 2, gone) == {}, "it may have been withdrawn later"
    assert found(bought - 1, waits) == {}


def test_the_last_bar_on_which_an_order_can_have_been_withdrawn_is_known_by_its_price(claim: dict[str, Any]) -> None:
    bars = read_bars(STORE, claim["snapshot"], claim["instruments"][0]["series"], "split")
    lows = bars["low"][-len(claim["dates"]) :]
    number, bar = next(
        (number, bar)
        for number, order in enumerate(claim["orders"])
        for bar in range(order["bar"] + 3, order["bar"] + 30)
        if bar < len(lows) - 1 and lows[order["bar"] + 1 : bar].min() > 1.03 * lows[bar]
    )
    asked = {
        **claim["orders"][number],
        "size": 10.0,
        "kind": "limit",
        "limit": 1.02 * lows[bar],
        "outcome": "cancelled",
    }
    forged = {**claim, "orders": [*claim["orders"][: number + 1], asked, *claim["orders"][number + 1 :]]}
    checked = check_claim(forged, STORE)
    assert checked.verified, checked.verified_text
    assert [order["gone"] for order in checked.orders if order["outcome"] == "cancelled"] == [bar - 1]
    decided = asked["bar"]
    logged = check_claim({**forged, "taken_away": [[decided + 1, number + 2, number + 1, "order"]]}, STORE)
    assert logged.verified, logged.verified_text
    (withdrawn,) = [order for order in logged.orders if order["outcome"] == "cancelled"]
    assert withdrawn["withdrawn"] == decided + 1
    kept = SimpleNamespace(**{**vars(logged), "position": 0})
    for on, found in ((decided + 1, {0: decided}), (decided, {}), (decided + 2, {})):
        day = np.datetime64(kept.dates[on], "us")
        orders = [order | {"withdrawn": decided + 2} if order is withdrawn else order for order in logged.orders]
        later = {**forged, "orders": orders}
        assert differences([kept], [later], day) == found, "known to the bar"


def left_out(claim: dict[str, Any], number: int) -> dict[str, Any]:
    del claim["fills"][number]
    claim["fill_count"] -= 1
    return claim


class WithdrawnAtOnce(Strategy):
    """Orders that the next bar would fill, and that are withdrawn on their own bar."""

    def init(self) -> None:
        pass

    def next(self) -> None:
        if len(self.data) == 20:
            price = self.data.Close[-1]
            for prices in ({"limit": price * 2}, {"stop": price / 2}, {"stop": price / 2, "limit": price * 2}):
                self.buy(size=10, **prices).cancel()
        if len(self.data) in (10, 20):
            order = self.buy(size=10)
            if len(self.data) == 20:
                order.cancel()


def test_what_was_withdrawn_on_the_bar_that_gave_it_was_no_decision(data) -> None:  # noqa: F811
    bars = data.prices("IBM", "2008-01-02", "2008-06-30")
    one = backtests.backtest(WithdrawnAtOnce, bars)

    def on_bar(ctx: Any) -> None:
        ctx.order("IBM", 10)
        ctx.order("IBM", 5).cancel()
        ctx.order("IBM", 5, limit=ctx.price("IBM") * 2).cancel()
        ctx.order("IBM", -5, stop=ctx.price("IBM") * 2).cancel()

    def aim(ctx: Any) -> None:
        ctx.target("IBM", 0.5)
        ctx.target("IBM", 0.1 + ctx.bar % 2 / 10)

    many = PortfolioResult("Often", Portfolio({"IBM": bars}, cash=1e6).run(on_bar), {})
    aimed = PortfolioResult("Aimed", Portfolio({"IBM": bars}, cash=1e6).run(aim), {})
    assert check_claim(json.loads(json.dumps(aimed.claim)), STORE).verified, "a newer target withdraws the older one"
    for result in (one, many):
        checked = check_claim(json.loads(json.dumps(result.claim)), STORE)
        assert checked.verified, checked.verified_text
        assert {order["outcome"] for order in checked.orders} <= {"filled", "waiting"} and checked.fills
    forged = json.loads(json.dumps(many.claim))
    order = forged["orders"][7]
    order |= {"outcome": "cancelled", "withdrawn": order["bar"] + 1}
    filled = "should have been filled"
    assert filled in check_claim(left_out(forged, 7), STORE).verified_text
    limited = copy.deepcopy(forged)
    limited["orders"][7] |= {"kind": "limit", "limit": 1e4}
    assert filled in check_claim(limited, STORE).verified_text, "the next bar reaches it"
    limited["orders"][7]["limit"] = 1.0
    assert filled not in check_claim(limited, STORE).verified_text
    forged["orders"][7] |= {"kind": "target", "size": 0.1}
    assert filled in check_claim(forged, STORE).verified_text, "no newer target"
