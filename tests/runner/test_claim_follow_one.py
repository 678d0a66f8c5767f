"""What was placed, moved and taken away leaves one account: nobody tells a target where the stop was reached first."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from qfp.backtesting import Backtest, Strategy
from qfp.conventions import BacktestingPy, Usual

from runner.backtests import check_claim
from runner.claims import fields
from runner.claims import follow_one as following
from runner.claims.bars import NotVerified, OurBars
from runner.claims.commissions import Dues
from runner.claims.fields import ClaimRefused
from runner.claims.follow_one import NO_UNIT, follow_one
from tests.runner import random_programs
from tests.sdk.conftest import STORE, data, starter  # noqa: F401

OURS = [Usual(finalize_trades=False), BacktestingPy(finalize_trades=False)]
BOUGHT = {"bar": 4, "size": 10.0, "kind": "market", "outcome": "filled", "sl": 95.0, "tp": 105.0}
FLAT = np.full(14, 100.0)


def bars(**others: dict[int, float]) -> OurBars:
    """100 on every bar but these."""
    columns = {name: FLAT.copy() for name in ("open", "high", "low", "close")}
    for name, values in others.items():
        for bar, price in values.items():
            columns[name][bar] = price
    return OurBars(**columns)


BOTH = bars(high={8: 106.0}, low={8: 94.0})  # stop and target on bar 8, which is not that of the entry


def follow(
    ours: OurBars,
    rules: BacktestingPy,
    fills: list[tuple[int, float, float]],
    orders: list[dict[str, Any]],
    taken_away: list[list[Any]] = [],  # noqa: B006
    commission: float = 0.0,
) -> list[int]:
    named = [{"bar": bar, "size": size, "price": price, "commission": commission} for bar, size, price in fills]
    read = fields.orders(orders, len(FLAT), 1)
    log = fields.log(orders, taken_away, len(FLAT))
    assert log is not None
    return follow_one(named, read, log, ours, 10_000.0, rules, None)


def closing(bar: int, **more: Any) -> dict[str, Any]:
    return {"bar": bar, "size": -10.0, "kind": "market", "outcome": "filled", "closes": True, "of": 0, **more}


@pytest.mark.parametrize("rules", OURS)
def test_a_target_explains_nothing_where_the_stop_was_reached_too(rules):
    entry = (5, 10.0, 100.0)
    follow(BOTH, rules, [entry, (8, -10.0, 95.0)], [BOUGHT])
    for told in ([entry, (8, -10.0, 105.0)], [entry], [entry, (9, -10.0, 95.0)]):
        with pytest.raises(NotVerified, match="The stop of 95 of what was opened on bar 5 was reached first"):
            follow(BOTH, rules, told, [BOUGHT])
    # To the last digit: who places levels where prices just meet them would choose with what came after in sight.
    just, missed = bars(high={8: 106.0}, low={8: 95.0}), bars(high={8: 106.0}, low={8: np.nextafter(95.0, 96.0)})
    follow(just, rules, [entry, (8, -10.0, 95.0)], [BOUGHT])
    follow(missed, rules, [entry, (8, -10.0, 105.0)], [BOUGHT])
    with pytest.raises(NotVerified, match="The stop of 95"):
        follow(just, rules, [entry, (8, -10.0, 105.0)], [BOUGHT])


@pytest.mark.parametrize("rules", OURS)
def test_a_stop_that_was_dropped_or_moved_before_leaves_the_target(rules):
    told, moved = [(5, 10.0, 100.0), (8, -10.0, 105.0)], {"kind": "stop", "stop": 90.0, "outcome": "cancelled"}
    follow(BOTH, rules, told, [BOUGHT], [[7, 1, 0, "sl"]])
    follow(BOTH, rules, told, [BOUGHT, closing(7, **moved)])
    # What the bar's own close decides comes too late for it.
    for orders, taken_away in (([BOUGHT], [[8, 1, 0, "sl"]]), ([BOUGHT, closing(8, **moved)], [])):
        with pytest.raises(NotVerified, match="The stop of 95"):
            follow(BOTH, rules, told, orders, taken_away)
    # Dropped and set again, in this order: it counts; the other way round it does not.
    again = closing(7, **moved | {"stop": 96.0, "outcome": "filled"})
    follow(BOTH, rules, [told[0], (8, -10.0, 96.0)], [BOUGHT, again], [[7, 1, 0, "sl"]])
    follow(BOTH, rules, told, [BOUGHT, again], [[7, 2, 0, "sl"]])


@pytest.mark.parametrize("rules", OURS)
def test_what_was_reached_is_filled_and_at_the_open_beyond_it(rules):
    entry = (5, 10.0, 100.0)
    gap = bars(open={8: 90.0}, low={8: 90.0})
    follow(gap, rules, [entry, (8, -10.0, 90.0)], [BOUGHT])
    with pytest.raises(NotVerified, match="10 filled at 90 on bar 8; the run told -10 at 95"):
        follow(gap, rules, [entry, (8, -10.0, 95.0)], [BOUGHT])
    rise = bars(high={8: 106.0, 9: 108.0})
    follow(rise, rules, [entry, (8, -10.0, 105.0)], [BOUGHT])
    with pytest.raises(NotVerified, match="The target of 105"):
        follow(rise, rules, [entry], [BOUGHT])
    follow(rise, rules, [entry, (9, -10.0, 107.0)], [BOUGHT, closing(7, kind="limit", limit=107.0)])


@pytest.mark.parametrize("rules", OURS)
def test_a_stop_or_limit_order_is_withdrawn_before_it_is_reached_or_not_at_all(rules):
    waits = {"bar": 4, "size": 10.0, "kind": "limit", "limit": 95.0, "outcome": "cancelled"}
    follow(BOTH, rules, [], [waits], [[7, 1, 0, "order"]])
    for taken_away in ([[8, 1, 0, "order"]], []):
        with pytest.raises(NotVerified, match="was reached on bar 8 while it waited"):
            follow(BOTH, rules, [], [waits], taken_away)


def test_whether_a_limit_at_the_open_lets_its_target_count_is_not_for_the_claim_to_say():
    """Filled at the open, the whole bar comes after it; within the bar, the target may have been passed before."""
    rules, bought = OURS[0], {"bar": 4, "size": 10.0, "kind": "limit", "limit": 100.0, "outcome": "filled", "tp": 105.0}
    rise = bars(high={5: 106.0}, close={5: 104.0})
    follow(rise, rules, [(5, 10.0, 100.0), (5, -10.0, 105.0)], [bought])
    with pytest.raises(NotVerified, match="The target of 105"):
        follow(rise, rules, [(5, 10.0, 100.0)], [bought])


@pytest.mark.parametrize(("on_close", "limits"), [(False, {"limit": 110.0}), (True, {})])
def test_an_order_that_the_library_s_rules_fill_outside_the_bar_is_named(on_close, limits):
    gap = bars(open={8: 106.0}, high={8: 107.0}, low={8: 105.0})
    order = {"bar": 7, "size": 10.0, "kind": "stop", "stop": 103.0, "outcome": "filled", **limits}
    theirs, ours = (kind(trade_on_close=on_close, finalize_trades=False) for kind in (BacktestingPy, Usual))
    assert follow(gap, theirs, [(8, 10.0, 103.0)], [order]) == [0]
    assert follow(gap, ours, [(8, 10.0, 106.0)], [order]) == []


def test_a_fill_at_the_close_before_a_gap_or_at_an_open_that_rounding_put_above_the_high_is_within_its_bar():
    gap = bars(open={8: 106.0}, high={8: 107.0}, low={8: 105.0})
    rounded = bars(open={8: 107.0 * (1 + 1e-12)}, high={8: 107.0}, low={8: 105.0})
    order = {"bar": 7, "size": 10.0, "kind": "market", "outcome": "filled"}
    for kind in (BacktestingPy, Usual):
        at_close, at_open = (kind(trade_on_close=late, finalize_trades=False) for late in (True, False))
        assert follow(gap, at_close, [(7, 10.0, 100.0)], [order]) == []
        assert follow(rounded, at_open, [(8, 10.0, float(rounded.open[8]))], [order]) == []


def test_what_a_function_charges_is_neither_made_dear_by_one_fill_nor_by_what_it_pays_back():
    fills = [{"size": 10.0, "price": 100.0, "commission": 0.0}] * 9
    dear = Dues.of([*fills, {"size": 10.0, "price": 100.0, "commission": 1_000.0}])
    assert dear.at_most(1_000.0, long=True) == pytest.approx(250.0) and dear.buying == 0.0
    there = {"size": 10.0, "price": 100.0, "commission": 200.0}
    assert Dues.of([there, {**there, "size": -10.0, "commission": -200.0}]).rate == 0.0
    paid = Dues.of([{**there, "commission": -2.0}])
    assert paid.at_most(1_000.0, long=True) == 0.0 and paid.at_least(1_000.0, long=True) < -2.0


@pytest.mark.parametrize("kind", [Usual, BacktestingPy])
def test_an_order_that_could_be_paid_after_it_closed_something_is_not_refused_whatever_a_function_charges(kind):
    """Of what it was for nothing is told: it counts as cheap before it closes and after."""
    rules = kind(commission=None, finalize_trades=False)
    sold = {"bar": 4, "size": -1.0, "kind": "market", "outcome": "filled"}
    refused = {"bar": 7, "size": 0.999, "kind": "market", "outcome": "refused", "reason": "insufficient margin"}
    with pytest.raises(NotVerified, match="told as refused, and the account could pay for it"):
        follow(bars(), rules, [(5, -1.0, 100.0), (8, 1.0, 100.0)], [sold, refused], commission=10.0)


@pytest.mark.parametrize("rules", OURS)
def test_nobody_pays_more_than_there_is_and_who_could_pay_a_unit_is_not_refused(rules):
    much = {"bar": 4, "size": 1_000.0, "kind": "market", "outcome": "filled"}
    with pytest.raises(NotVerified, match="the account could not pay for 1000 units"):
        follow(bars(), rules, [(5, 1_000.0, 100.0)], [much])
    none = {"bar": 4, "size": 0.5, "kind": "market", "outcome": "refused", "reason": NO_UNIT}
    with pytest.raises(NotVerified, match="told as refused, and the account could pay for it"):
        follow(bars(), rules, [], [none])
    follow(bars(), rules, [], [none | {"size": 0.009}])


@pytest.mark.parametrize("rules", OURS)
def test_only_what_waits_is_taken_away_and_not_for_longer_than_can_be_followed(rules, monkeypatch):
    waits = {"bar": 4, "size": 10.0, "kind": "limit", "limit": 95.0, "outcome": "filled"}
    follow(BOTH, rules, [(8, 10.0, 95.0)], [waits])
    with pytest.raises(NotVerified, match="taken away on bar 9 that did not wait any more"):
        follow(BOTH, rules, [(8, 10.0, 95.0)], [waits], [[9, 1, 0, "order"]])
    monkeypatch.setattr(following, "MOST_LOOKS", 5)
    with pytest.raises(NotVerified, match="wait for so long"):
        follow(bars(), rules, [], [waits | {"outcome": "waiting"}] * 6)


class Replaced(Strategy):
    """Each order takes the place of the one before it, on its bar."""

    def init(self) -> None:
        pass

    def next(self) -> None:
        price = self.data.Close[-1]
        self.buy(size=5, limit=price * 0.999).cancel()
        self.buy(size=5, stop=price * 1.01)
        if len(self.data) % 2:
            self.sell(size=5, stop=price * 0.99)


def test_what_is_listed_of_a_bar_does_not_depend_on_the_next_one(data) -> None:  # noqa: F811
    frame = data.prices("IBM", "2005-01-03", "2005-03-31").rename(columns=str.title)
    other = frame.copy()
    other.iloc[31:, :4] *= 1.1
    listed = []
    for each in (frame, other):
        run = Backtest(each, Replaced, exclusive_orders=True).run_once({})
        listed.append([(row["bar"], row["kind"], row["size"]) for row in run.orders() if row["bar"] <= 30])
    assert listed[0] == listed[1] and all(kind != "limit" for _, kind, _ in listed[0])


def test_prices_a_ten_millionth_better_are_another_account(data) -> None:  # noqa: F811
    from qfp import backtests

    claim = backtests.backtest(Guarded, data.prices("IBM", "2005-01-03", "2006-06-30"), margin=0.01, cash=10_000).claim
    claim = json.loads(json.dumps(claim))
    assert check_claim(claim, STORE).verified
    for fill in claim["fills"]:
        fill["price"] *= 1 - 9e-7 if fill["size"] > 0 else 1 + 9e-7
    assert not check_claim(claim, STORE).verified


class Held(Strategy):
    def init(self) -> None:
        pass

    def next(self) -> None:
        if not self.position:
            self.sell(size=10)


def test_what_is_held_over_a_split_that_nobody_books_is_not_verified(data) -> None:  # noqa: F811
    from qfp import backtests

    for adjust, said in ((None, "AAPL was split on 2005-02-28 while it was held"), ("split", "Verified")):
        frame = data.prices("AAPL", "2005-01-03", "2005-06-30", adjust=adjust)
        claim = json.loads(json.dumps(backtests.backtest(Held, frame, cash=100_000).claim))
        assert said in check_claim(claim, STORE).verified_text


@pytest.mark.parametrize("rules", OURS)
def test_what_was_never_reached_was_neither_filled_nor_refused(rules):
    far = {"bar": 4, "size": 10.0, "kind": "limit", "limit": 50.0}
    follow(bars(), rules, [], [far | {"outcome": "waiting"}])
    for outcome in ("filled", "refused"):
        for taken_away in ([], [[7, 1, 0, "order"]]):
            with pytest.raises(NotVerified, match=f"told as {outcome}; by the stated rules it was not reached"):
                follow(bars(), rules, [], [far | {"outcome": outcome}], taken_away)


def test_with_long_and_short_at_once_the_log_says_what_a_fill_closes():
    """Sold for a fraction beside an order that closes: as it was told, the fraction was filled with next to nothing."""
    rules, flat = Usual(commission=0.0, hedging=True, finalize_trades=False), bars()
    held = {"bar": 1, "size": 40.0, "kind": "market", "outcome": "filled"}
    orders = [held, closing(4, size=-40.0), {"bar": 4, "size": -0.5, "kind": "market", "outcome": "filled"}]
    follow(flat, rules, [(2, 40.0, 100.0), (5, -40.0, 100.0), (5, -50.0, 100.0)], orders)
    for sizes in ((-40.0, -1.0), (-1.0, -40.0), (-90.0,), (-40.0,)):
        with pytest.raises(NotVerified):
            follow(flat, rules, [(2, 40.0, 100.0), *((5, size, 100.0) for size in sizes)], orders)


@pytest.mark.parametrize("rules", OURS)
def test_of_trades_that_are_not_open_nothing_is_moved_or_closed(rules):
    gone = [(5, 10.0, 100.0), (8, -10.0, 95.0)]
    for orders, taken_away in (
        ([BOUGHT, closing(9, outcome="waiting")], []),
        ([BOUGHT], [[9, 1, 0, "sl"]]),
        ([BOUGHT, closing(7, size=10.0)], []),
    ):
        with pytest.raises(NotVerified, match=r"cannot close|where there was none"):
            follow(BOTH, rules, gone, orders, taken_away)
    with pytest.raises(NotVerified, match="does not say what the order"):
        follow(bars(), rules, [(5, 10.0, 100.0), (8, -10.0, 100.0)], [BOUGHT, closing(7, of=None)])


@pytest.mark.parametrize("of", [1, -1, 0.0, float("nan"), True, "0", 10**30, [0]])
def test_an_order_is_of_an_earlier_one_that_opened_something(of):
    with pytest.raises(ClaimRefused):
        fields.log([BOUGHT, closing(7, of=of)], [], len(FLAT))
    with pytest.raises(ClaimRefused):
        fields.log([BOUGHT, closing(7), closing(8, of=1)], [], len(FLAT))
    with pytest.raises(ClaimRefused):
        fields.log([BOUGHT, {**BOUGHT, "bar": 5, "of": 0}], [], len(FLAT))


@pytest.mark.parametrize(
    "taken_away",
    [
        {}, "sl", [[7, 1, 0]], [7], [[7, 1, 0, "sl", 0]], [[7, 1, 0, "stop"]], [[7, 1, 0, ["sl"]]], [[7, 0, 0, "sl"]],
        [[7, 1, 1, "sl"]], [[7, 3, 0, "sl"]], [[7, 1, -1, "sl"]], [[3, 1, 0, "sl"]], [[10, 1, 0, "sl"]],
        [[14, 2, 0, "sl"]], [[float("nan"), 1, 0, "sl"]], [[7, float("inf"), 0, "sl"]], [[7, True, 0, "sl"]],
        [[10, 2, 1, "tp"]], [[7, 1, 0, "sl"], [6, 1, 0, "tp"]], [[10, 2, 0, "sl"], [8, 1, 0, "tp"]],
        [[7, 1, 0, "sl"]] * 100_001,
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_what_makes_no_sense_as_a_log_is_refused(taken_away):
    with pytest.raises(ClaimRefused):
        fields.log([BOUGHT, closing(9)], taken_away, len(FLAT))


@pytest.mark.parametrize("number", range(12))
def test_programs_that_move_and_drop_stops_are_verified(data, number) -> None:  # noqa: F811
    checked = check_claim(random_programs.claim_of_one(f"moving {number}", moving=True), STORE)
    assert checked.verified, checked.verified_text


class Guarded(Strategy):
    """Drops its stop on some bars, and moves its target on others."""

    def init(self) -> None:
        pass

    def next(self) -> None:
        price = self.data.Close[-1]
        if not self.position:
            self.buy(size=50, sl=price * 0.97, tp=price * 1.03)
        for trade in self.trades:
            if len(self.data) % 11 == 0:
                trade.sl = None
            elif len(self.data) % 13 == 0:
                trade.tp = price * 1.02


def test_without_one_of_the_stops_that_were_dropped_another_account_follows(data) -> None:  # noqa: F811
    from qfp import backtests

    frame = data.prices("IBM", "2005-01-03", "2006-06-30")
    honest = json.loads(json.dumps(backtests.backtest(Guarded, frame).claim))
    assert check_claim(honest, STORE).verified and {what for *_, what in honest["taken_away"]} == {"sl"}
    # Each drop matters to some trade; without the first that does, another account follows.
    doubted = [
        check_claim({**honest, "taken_away": honest["taken_away"][:at] + honest["taken_away"][at + 1 :]}, STORE)
        for at in range(8)
    ]
    assert any("The stop of" in each.verified_text for each in doubted if not each.verified)


def test_without_a_log_nothing_is_left_to_belief_by_our_rules_and_stops_are_a_doubt_by_the_library_s(data) -> None:  # noqa: F811
    from qfp import backtests

    frame = data.prices("IBM", "2005-01-03", "2005-12-30")
    for rules, verified in (("qfp", False), ("backtesting.py", True)):
        claim = json.loads(json.dumps(backtests.backtest(Guarded, frame, rules=rules).claim))
        assert check_claim(claim, STORE).verified and "unlogged" not in check_claim(claim, STORE).conventions
        del claim["taken_away"]
        checked = check_claim(claim, STORE)
        assert checked.verified is verified, checked.verified_text
        assert ("unlogged" in checked.conventions) is verified
        assert verified or "it told nothing of it" in checked.verified_text


def test_orders_for_a_fraction_that_fill_alike_on_one_bar_are_told_apart_where_a_function_charges():
    rules, long = Usual(commission=None, finalize_trades=False), {"kind": "market", "outcome": "filled"}
    # Two shorts of 9, each closed by an order of its own.
    sold, bought = {**long, "bar": 4, "size": -9.0}, {**long, "bar": 7, "size": 0.1099}
    fills = [(5, -9.0, 100.0), (5, -9.0, 100.0), (8, 9.0, 100.0), (8, 9.0, 100.0)]
    follow(bars(), rules, fills, [sold, sold, bought, bought], commission=0.01)
    # One order closes 9, the next one opens 9: not one that turns them, for less was charged than that would need.
    sold = {**long, "bar": 7, "size": -0.2295}
    fills = [(5, 9.0, 100.0), (8, -9.0, 100.0), (8, -9.0, 100.0)]
    follow(bars(), rules, fills, [{**long, "bar": 4, "size": 9.0}, sold, sold], commission=30.0)


@pytest.mark.parametrize("kind", [Usual, BacktestingPy])
@pytest.mark.parametrize("size", [-10.0, -0.1])
def test_what_a_function_charges_on_a_side_on_which_nothing_was_filled_is_not_known(kind, size):
    rules = kind(commission=None, hedging=True, finalize_trades=False)
    bought = {"bar": 4, "size": 10.0, "kind": "market", "outcome": "filled"}
    refused = {"bar": 7, "size": size, "kind": "market", "outcome": "refused", "reason": NO_UNIT}
    follow(bars(), rules, [(5, 10.0, 100.0)], [bought, refused], commission=1.0)
    short = {**bought, "bar": 2, "size": -1.0}
    with pytest.raises(NotVerified, match="could pay for it"):
        follow(bars(), rules, [(3, -1.0, 100.0), (5, 10.0, 100.0)], [short, bought, refused], commission=1.0)
