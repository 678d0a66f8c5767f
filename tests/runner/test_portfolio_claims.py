"""Claims of many instruments are replayed over our bars with the flows our data imply; what is forged is named."""

from __future__ import annotations

import copy
import json
import math
from contextlib import nullcontext

import numpy as np
import pytest
from qfp.portfolio import Portfolio, PortfolioResult

from runner.backtests import ClaimRefused, check_claim, page_event
from runner.claims import follow_many
from runner.claims.bars import NotVerified
from runner.claims.checks import compare_equity, compare_flows
from tests.sdk.conftest import STORE, data, starter  # noqa: F401

SYMBOLS = ["IBM", "AAPL", "BRK.A"]


@pytest.fixture(scope="module")
def frames():
    from qfp import data as series
    from qfp import starter as bundled
    from qfp.data import catalogue

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QFP_DATA", str(bundled.build(STORE).folder))
        for cache in (catalogue.current, catalogue.folder):
            cache.cache_clear()
        frames = {symbol: series.prices(symbol, "2005-01-03", "2005-10-31", adjust=None) for symbol in SYMBOLS[:2]}
        frames["LATE"] = series.prices("MSFT", "2005-04-01", "2005-10-31", adjust=None)
    for cache in (catalogue.current, catalogue.folder):
        cache.cache_clear()
    return frames


@pytest.fixture(scope="module")
def honest(frames):
    """IBM and Apple by the month over a split of 2005, with a limit order for a third share, as the box says it."""

    def on_bar(ctx):
        if ctx.bar % 21 == 0:
            ctx.target("IBM", 0.5)
            ctx.target("AAPL", 0.3)
        if ctx.bar == 100:
            ctx.order("LATE", 10, limit=ctx.price("LATE") * 0.999)

    run = Portfolio(frames, cash=100_000, interest=0.01, slippage=0.001).run(on_bar)
    result = PortfolioResult("Three", run, {"count": 3})
    return json.loads(json.dumps(result.claim, allow_nan=False)), result


@pytest.fixture
def claim(honest):
    return copy.deepcopy(honest[0])


def test_an_honest_claim_is_verified_with_its_splits_dividends_and_late_instrument(honest, claim):
    checked = check_claim(claim, STORE, claim["snapshot"])
    assert checked.verified, checked.verified_text
    kinds = {flow["kind"] for flow in checked.flows}
    assert kinds == {"split", "dividend", "interest"} and checked.flows == honest[1]._run.flows
    ours = {key: value for key, value in honest[1].metrics.items() if value == value}
    for key, value in ours.items():
        assert checked.metrics[key] == pytest.approx(value, rel=1e-9, abs=1e-12), key
    event = page_event(checked)
    assert event["instruments"] == ["IBM", "AAPL", "MSFT"] and event["trades"]["columns"][0] == "Instrument"
    held = {row[0]: row[1] for row in event["holdings"]["rows"]}
    assert held == {"IBM": held["IBM"], "AAPL": held["AAPL"], "MSFT": 10}
    assert sum(row[4] for row in event["holdings"]["rows"]) == pytest.approx(1, abs=0.25)
    assert event["conventions"][0] == "Decided on a bar's close; filled at the open of the next bar."
    json.dumps(event, allow_nan=False)


def targets_less_than_a_share_beside_another(ctx):
    if ctx.bar == 70:
        ctx.order("LATE", 1)
    if ctx.bar == 90:
        ctx.target_weights({"LATE": 0.6, "IBM": 0.001, "AAPL": 0.001})


def closed_on_the_bar_that_opens_to_the_limit(ctx):
    if ctx.bar == 70:
        ctx.order("LATE", 1)
    if ctx.bar == 90:
        ctx.order("LATE", -1)
        ctx.order("IBM", 4, limit=ctx.price("IBM") * 1.05)


@pytest.mark.parametrize(
    ("on_bar", "options"),
    [
        (targets_less_than_a_share_beside_another, {"cash": 240}),
        (closed_on_the_bar_that_opens_to_the_limit, {"cash": 200, "fill": "next-close", "leverage": 3}),
    ],
)
def test_what_is_charged_weighs_much_in_a_small_account(frames, on_bar, options):
    run = Portfolio(frames, commission=(40, 0.0), **options).run(on_bar)
    claim = json.loads(json.dumps(PortfolioResult("Small", run, {}).claim, allow_nan=False))
    assert claim["fills"]
    checked = check_claim(claim, STORE)
    assert checked.verified, checked.verified_text


def test_an_account_that_is_ruined_is_verified_with_what_it_lost_and_earns_nothing_afterwards(data):  # noqa: F811
    frames = {"AAPL": data.prices("AAPL", "2004-06-01", "2005-06-30", adjust=None)}
    rules = {"short": True, "leverage": 2.0, "interest": 0.02, "borrow": 0.03, "cash": 100_000}
    run = Portfolio(frames, **rules).run(lambda ctx: ctx.bar == 0 and ctx.target_weights({"AAPL": -1.5}))
    assert run.ruined_at is not None and 20 < run.ruined_at < 200
    claim = json.loads(json.dumps(PortfolioResult("Short", run, {}).claim, allow_nan=False))
    checked = check_claim(claim, STORE, claim["snapshot"])
    assert checked.verified, checked.verified_text
    (trade,) = checked.trades
    assert trade["exit_bar"] == run.ruined_at and trade["profit"] < -90_000
    assert checked.metrics["win_rate"] == 0 and max(flow["bar"] for flow in checked.flows) <= run.ruined_at
    late = {"bar": run.ruined_at + 1, "instrument": 0, "size": 1.0, "kind": "market", "outcome": "waiting"}
    claim |= {"orders": [*claim["orders"], late], "order_count": claim["order_count"] + 1}
    assert "of a time when nothing was left of the account" in check_claim(claim, STORE).verified_text


def sold_later(ctx):
    if ctx.bar == 0:
        ctx.order("IBM", 100)
    elif ctx.bar == 20:
        ctx.target_weights({"AAPL": 0.5})


def waiting_meanwhile(ctx):
    if ctx.bar % 10 == 5:
        ctx.order("IBM", 10, limit=ctx.price("IBM") * 0.98)
        ctx.target_weights({"AAPL": 0.5})
    elif ctx.bar % 10 == 6:
        ctx.target_weights({"MSFT": 0.5})


def ordered_beside(ctx):
    if ctx.bar % 10 == 5:
        ctx.target_weights({"AAPL": 0.5})
        ctx.order("IBM", 10, limit=ctx.price("IBM") * 0.995)


@pytest.mark.parametrize("on_bar", [sold_later, waiting_meanwhile, ordered_beside])
@pytest.mark.parametrize("fill", ["next-open", "next-close", "same-close"])
def test_what_an_order_bought_and_target_weights_sell_follows_from_a_listed_decision(data, on_bar, fill):  # noqa: F811
    frames = {name: data.prices(name, "2008-01-02", "2008-06-30", adjust=None) for name in ("IBM", "AAPL", "MSFT")}
    run = Portfolio(frames, cash=100_000, fill=fill).run(on_bar)
    claim = json.loads(json.dumps(PortfolioResult("Both", run, {}).claim, allow_nan=False))
    assert any(order["kind"] == "target" and order["size"] == 0 for order in claim["orders"])
    checked = check_claim(claim, STORE, claim["snapshot"])
    assert checked.verified, checked.verified_text


def test_the_head_of_a_result_says_what_was_refused_and_what_ended(claim):
    event = page_event(check_claim(claim, STORE))
    assert event["remarks"] == []
    assert next(figure for figure in event["figures"] if figure["key"] == "buy_and_hold")["label"] == "Equal parts held"
    first, second, third = claim["orders"][:3]
    first.update(outcome="refused", reason="the account could not pay for it")
    second.update(outcome="refused", reason="no bar on the day it would fill: trading was halted")
    third.update(outcome="waiting")
    claim["flows"].append(
        {"bar": len(claim["dates"]) - 1, "instrument": 2, "kind": "delisting", "amount": 1, "units": 1, "price": 1}
    )
    checked = check_claim(claim, STORE)
    refused, waiting, ended = page_event(checked)["remarks"]
    assert refused.startswith(f"2 orders were refused, the first decided on {checked.dates[0]}: the account could not")
    assert "could not pay for it (1); no bar on the day" in refused
    assert waiting == "1 order never filled." and ended.endswith("at its close: MSFT.")


def at(claim, name, **wanted):
    """The first entry of a list of the claim with these values."""
    return next(entry for entry in claim[name] if all(entry[key] == value for key, value in wanted.items()))


def forge(claim, what):
    """Change one thing."""
    match what:
        case "equity":
            claim["equity"][50] *= 1.01
        case "price within the bar":
            at(claim, "fills", bar=22, instrument=0)["price"] *= 0.9999
        case "price outside":
            at(claim, "fills", bar=22, instrument=0)["price"] *= 0.5
        case "commission":
            claim["fills"][0]["commission"] = 0.0
        case "too many":
            for fill in claim["fills"]:
                for name in ("size", "commission"):
                    fill[name] *= 10
        case "late decision":
            at(claim, "orders", instrument=2)["bar"] = 101
        case "too low":
            order = at(claim, "orders", kind="limit")
            order["limit"] *= 0.97
        case "no order":
            claim["orders"] = [order for order in claim["orders"] if order["instrument"] != 1 or order["bar"] < 30]
            claim["order_count"] = len(claim["orders"])
        case "not listed":
            claim["order_count"] = 10**6
        case "early":
            first = at(claim, "orders", instrument=1)
            claim["orders"].remove(first)
            claim["orders"] = [order | {"bar": max(order["bar"], 1)} for order in claim["orders"]]
            claim["order_count"] -= 1
        case "dividend":
            at(claim, "flows", kind="dividend")["amount"] += 100
        case "split":
            claim["flows"].remove(at(claim, "flows", kind="split"))
        case "ended":
            claim["instruments"][1]["last"] -= 1
        case "adjusted":
            claim["instruments"][1]["adjust"] = "all"
        case "other bars":
            claim["instruments"][1]["symbol"] = "IBM"
        case "own bars":
            claim["instruments"][1]["object"] = None
        case "day":
            claim["dates"][20] += "T12:00:00"
        case "missing bar":
            at(claim, "fills", instrument=2)["bar"] = 10
            claim["fills"].sort(key=lambda fill: fill["bar"])
        case "short":
            at(claim, "fills", instrument=2).update(size=-10.0)
        case "parts":
            fill = at(claim, "fills", instrument=0)
            fill["size"] += 0.5
            fill["commission"] = fill["size"] * fill["price"] * 0.001
        case "more":
            claim["fill_count"] = 10**6
        case "one only":
            from qfp.conventions import Usual

            claim["conventions"] = Usual().as_dict()


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("equity", "Replaying the fills gives"),
        ("price within the bar", "; the run said"),
        ("price outside", "By what was ordered and the stated rules"),
        ("commission", "by the stated rules it is"),
        ("too many", "By what was ordered and the stated rules"),
        ("late decision", "said 10 MSFT at"),
        ("early", "By what was ordered and the stated rules"),
        ("too low", "no MSFT"),
        ("no order", "no AAPL"),
        ("not listed", "cannot be told"),
        ("dividend", "the dividend of"),
        ("split", "the split of AAPL"),
        ("ended", "were cut off"),
        ("adjusted", "Not verified"),
        ("other bars", "not of the instrument that is named"),
        ("own bars", "came from the program"),
        ("day", "bars were dropped or resampled"),
        ("missing bar", "no MSFT should have been filled on bar 10"),
        ("short", "the run said -10 MSFT at"),
        ("parts", "By what was ordered and the stated rules"),
        ("more", "more than are kept"),
        ("one only", "only one instrument can be traded"),
    ],
)
def test_what_is_forged_is_not_verified_and_the_reason_names_it(claim, what, said):
    forge(claim, what)
    checked = check_claim(claim, STORE, claim["snapshot"])
    assert not checked.verified and said in checked.verified_text, checked.verified_text
    json.dumps(page_event(checked), allow_nan=False)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["instruments"], [{}] * 1_001),
        (["instruments", 0, "first"], -1),
        (["instruments", 0, "last"], 10**6),
        (["instruments", 0, "first"], 1.5),
        (["fills", 0, "instrument"], 3),
        (["fills", 0, "instrument"], "0"),
        (["fills", 0, "price"], float("nan")),
        (["fill_count"], 1),
        (["flows"], None),
        (["flows"], [{}] * 60_000),
        (["flows", 0, "kind"], "gift"),
        (["flows", 0, "kind"], []),
        (["flows", 0, "amount"], float("inf")),
        (["flows", 0, "bar"], 10**6),
        (["flows", 0, "bar"], 148),
        (["orders", 0, "together"], True),
        (["equity"], [100_000.0] * 148),
        (["conventions", "id"], "portfolio-perfect"),
        (["conventions", "fill"], "same-close"),
        (["conventions", "version"], 2),
        (["conventions", "leverage"], 0),
        (["conventions", "leverage"], 1e9),
        (["conventions", "slippage"], -0.1),
        (["conventions", "interest"], float("nan")),
        (["conventions", "short"], 1),
        (["conventions", "halted"], "always"),
    ],
)
def test_what_makes_no_sense_is_refused(claim, path, value):
    *parents, last = path
    place = claim
    for key in parents:
        place = place[key]
    place[last] = value
    with pytest.raises(ClaimRefused) as caught:
        check_claim(claim, STORE)
    assert caught.value.reason.endswith(".") and len(caught.value.reason) < 300


def test_of_what_is_nothing_but_rounding_something_is_paid_or_split_or_not():
    dividend = {"bar": 3, "instrument": 0, "kind": "dividend", "amount": -4e-14}
    split = {"bar": 5, "instrument": 0, "kind": "split", "amount": 0.0}
    compare_flows([], [dividend, split], 2_000.0, ["IBM"])
    compare_flows([dividend, split], [split], 2_000.0, ["IBM"])
    for ours, told in (([split], []), ([], [{**dividend, "amount": 1.0}])):
        with pytest.raises(NotVerified, match="is another"):
            compare_flows(ours, told, 2_000.0, ["IBM"])


def test_splits_that_lead_beyond_all_numbers_are_refused(claim):
    split = {"instrument": 0, "kind": "split", "amount": 0, "ratio": 1e12}
    claim["flows"] = [{**split, "bar": bar} for bar in range(30, 100)]
    with pytest.raises(ClaimRefused, match="out of range"):
        check_claim(claim, STORE)


def test_the_rules_are_written_again_by_us(claim):
    claim["conventions"]["lines"] = ["No costs, and always right."]
    assert check_claim(claim, STORE).conventions["lines"][2] == "Commission 0.1 % of the traded value per fill."


@pytest.mark.parametrize(
    ("told", "doubt"),
    [
        ({"outcome": "refused", "reason": "the account could not pay for it"}, "10 MSFT at"),
        ({"outcome": "refused", "reason": "trading was halted, they say"}, "10 MSFT at"),
        ({"outcome": "refused", "reason": "it had no price yet"}, "10 MSFT at"),
        ({"outcome": "waiting"}, "10 MSFT at"),
        ({"outcome": "cancelled"}, "does not say when"),
        ({"outcome": "cancelled", "withdrawn": 101}, "10 MSFT at"),
        ({"outcome": "refused", "reason": "the account could not pay for it", "size": 1e5}, ""),
        ({"outcome": "waiting", "limit": 0.5}, ""),
        ({"outcome": "cancelled", "withdrawn": 100}, ""),
    ],
)
def test_what_would_have_been_filled_is_not_told_as_refused_or_waiting(claim, told, doubt):
    order = next(each for each in claim["orders"] if each["kind"] == "limit")
    claim["fills"] = [fill for fill in claim["fills"] if fill["instrument"] != order["instrument"]]
    claim["flows"] = [flow for flow in claim["flows"] if flow["instrument"] != order["instrument"]]
    order.update(told)
    claim["fill_count"] = len(claim["fills"])
    text = check_claim(claim, STORE).verified_text
    assert (doubt or "AAPL at") in text, text


def test_a_target_that_was_traded_is_not_told_as_refused_whatever_a_function_charges(frames):
    run = Portfolio(frames, commission=lambda size, price: 4.0, fractional=True).run(
        lambda ctx: ctx.target("IBM", 0.5) if ctx.bar == 3 else None
    )
    claim = json.loads(json.dumps(PortfolioResult("Bought", run, {}).claim))
    assert check_claim(claim, STORE).verified and len(claim["fills"]) == 1
    claim["orders"][0] |= {"outcome": "refused", "reason": "the account could not pay for it"}
    assert "was told as refused" in check_claim(claim, STORE).verified_text


def test_an_order_and_a_target_that_buy_alike_are_charged_once_each(frames):
    """Which is which is told by no fill; what the target cost is part of what was there for it."""

    fall = next(bar for bar in range(1, 20) if frames["IBM"]["open"].iloc[bar] > frames["IBM"]["close"].iloc[bar])
    close = float(frames["IBM"]["close"].iloc[fall])

    def on_bar(ctx):
        if ctx.bar == fall - 1:
            ctx.order("IBM", 100, limit=close)
        if ctx.bar == fall:
            ctx.target("IBM", 200.5 * close / 96_000)

    charged = {"slippage": 0, "commission": lambda size, price: 2_000.0}
    run = Portfolio(frames, cash=100_000, fill="same-close", **charged).run(on_bar)
    claim = json.loads(json.dumps(PortfolioResult("Twice", run, {}).claim))
    first, second = claim["fills"]
    assert first == second and first["size"] == 100
    checked = check_claim(claim, STORE, claim["snapshot"])
    assert checked.verified, checked.verified_text


def test_a_target_that_led_to_far_less_than_it_asks_for_is_not_verified(claim):
    first, second = claim["orders"][:2]
    assert (first["kind"], second["kind"]) == ("target", "target")
    first["size"], second["size"] = 0.01, 0.95
    assert "By what was ordered and the stated rules" in check_claim(claim, STORE).verified_text


@pytest.mark.parametrize(
    ("most", "at_most", "added", "said"),
    [
        ("MOST_LOOKS", 1_000, {"size": 1.0, "kind": "limit", "limit": 1.0, "outcome": "waiting"}, "for so long"),
        ("MOST_TARGETS", 100, {"size": 0.0, "kind": "target", "outcome": "filled"}, "so often"),
    ],
)
def test_more_than_can_be_followed_in_time_is_not_verified(claim, monkeypatch, most, at_most, added, said):
    monkeypatch.setattr(follow_many, most, at_most)
    assert check_claim(claim, STORE, claim["snapshot"]).verified
    first = next(number for number, order in enumerate(claim["orders"]) if order["bar"] == 100)
    claim["orders"][first:first] = [{"bar": 100, "instrument": 0, **added} for _ in range(50)]
    claim["order_count"] = len(claim["orders"])
    checked = check_claim(claim, STORE, claim["snapshot"])
    assert not checked.verified and said in checked.verified_text


@pytest.mark.parametrize(
    ("ours", "told", "same"),
    [
        ([100.0, 90.0], [100.0, 90.0 + 5e-5], True),  # a millionth of what the account was worth until then
        ([100.0, 90.0], [100.0, 90.0 + 5e-4], False),
        ([100.0, 900.0, 1.0], [100.0, 900.0, 1.0005], True),
        ([100.0, math.nan, 90.0], [100.0, 95.0, 80.0], False),  # neither more nor less
    ],
)
def test_an_equity_is_ours_to_the_millionth_and_never_where_there_is_none(ours, told, same):
    with nullcontext() if same else pytest.raises(NotVerified, match="Replaying the fills"):
        compare_equity(np.array(ours), np.array(told), 100.0)
