"""Claims are hostile: each is proven over our bars, shown as not verified, or refused."""

from __future__ import annotations

import copy
import json
import math
import re

import numpy as np
import pytest
from qfp import starter
from qfp.backtesting import ledger
from qfp.conventions import BacktestingPy, Usual
from qfp.portfolio import orders as portfolio

from runner.backtests import ClaimRefused, check_claim, page_event
from runner.charts import equity_svg
from runner.claims import fields
from runner.claims.bars import NotVerified, our_bars
from runner.claims.fields import REASONS
from runner.figures import thinned
from tests.bars import read_bars
from tests.sdk.conftest import STORE

BARS = 60


@pytest.fixture(scope="module")
def honest():
    """Ten shares of IBM bought at the open of bar 5 and sold at the open of bar 50."""
    built = starter.build(STORE)
    entry = next(series for series in built.series if series["symbol"] == "IBM")
    columns = read_bars(STORE, built.snapshot, entry["id"], "split")
    dates = [str(day)[:10] for day in columns["date"][100 : 100 + BARS]]
    opens, closes = columns["open"][100 : 100 + BARS], columns["close"][100 : 100 + BARS]
    fills = [
        {"bar": bar, "size": size, "price": float(opens[bar]), "commission": float(10 * opens[bar] * 0.001)}
        for bar, size in ((5, 10.0), (50, -10.0))
    ]
    cash, held, equity = 10_000.0, 0.0, []
    for bar in range(BARS):
        for fill in fills:
            if fill["bar"] == bar:
                cash -= fill["size"] * fill["price"] + fill["commission"]
                held += fill["size"]
        equity.append(float(cash + held * closes[bar]))
    return {
        "version": 2,
        "engine": {"name": "backtesting.py", "version": "0.6.6"},
        "strategy": "Example",
        "params": {"lookback": 60},
        "instruments": [{"symbol": "IBM", "series": entry["id"], "object": entry["object"], "adjust": "split"}],
        "snapshot": built.snapshot,
        "period": {"start": dates[0], "end": dates[-1]},
        "cash": 10_000.0,
        "conventions": BacktestingPy().as_dict(),
        "dates": dates,
        "equity": equity,
        "fills": fills,
        "flows": [],
        "orders": [
            {"bar": 4, "size": 10.0, "kind": "market", "outcome": "filled"},
            {"bar": 49, "size": -10.0, "kind": "market", "outcome": "filled", "closes": True},
        ],
        "trades": [],
        "refused_orders": [],
    }


@pytest.fixture
def claim(honest):
    return copy.deepcopy(honest)


def change(claim, path, value):
    *parents, last = path
    for key in parents:
        claim = claim[key]
    claim[last] = value


def test_an_honest_claim_is_verified_and_its_figures_are_ours(claim):
    checked = check_claim(claim, STORE)
    assert checked.verified and checked.metrics["trades"] == 1
    assert checked.metrics["final_equity"] == pytest.approx(claim["equity"][-1], rel=1e-12)
    event = page_event(checked)
    keys = [figure["key"] for figure in event["figures"]]
    assert keys[0] == "total_return" and {"cagr", "sharpe", "max_drawdown", "trades", "buy_and_hold"} <= set(keys)
    assert {"key", "label", "text", "value", "help", "group", "place", "anchor"} == set(event["figures"][0])
    assert checked.metrics["sharpe_low"] < checked.metrics["sharpe"] < checked.metrics["sharpe_high"]
    assert len(event["figures"]) > 40 and all(math.isfinite(each["value"] or 0) for each in event["figures"])
    assert len(event["trades"]["rows"]) == event["trades"]["total"] == 1
    assert event["conventions"] == BacktestingPy().lines()
    json.dumps(event, allow_nan=False)


def test_where_no_order_tells_why_there_are_no_trades_the_page_says_what_the_console_says(claim):
    claim |= {"fills": [], "orders": [], "equity": [10_000.0] * BARS}
    assert page_event(check_claim(claim, STORE))["no_trades"] == ""
    claim["no_trades"] = "its next() never called buy() or sell()."
    assert page_event(check_claim(claim, STORE))["no_trades"] == "Its next() never called buy() or sell()."


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (["equity", 10], 99_999.0, "Replaying the fills"),
        (["fills", 0, "price"], 1.0, "outside that bar's range"),
        (["fills", 0, "commission"], 0.0, "by the stated rules"),
        (["fills", 0, "size"], 1e6, "by the stated rules"),
        (["instruments", 0, "object"], None, "came from the program"),
        (["instruments", 0, "object"], "0" * 64, "not part of this run's data snapshot"),
        (["instruments", 0, "adjust"], "all", "Not verified"),
        (["snapshot"], "0" * 64, "not in the store"),
        (["snapshot"], None, "came from the program"),
        (["dates", 3], "2000-08-01T12:00:00", "unbroken stretch"),
    ],
)
def test_what_our_bars_do_not_confirm_is_shown_as_not_verified(claim, path, value, reason):
    if path[0] == "dates":  # stay in order, so that only the stretch is broken
        value = claim["dates"][3] + "T12:00:00"
    change(claim, path, value)
    checked = check_claim(claim, STORE)
    assert not checked.verified and reason in checked.verified_text


def test_more_than_the_account_can_pay_for_is_not_verified(claim):
    for fill in claim["fills"]:
        fill["size"] *= 100
        fill["commission"] *= 100
    assert "more units than were ordered" in check_claim(claim, STORE).verified_text
    for order in claim["orders"]:
        order["size"] *= 100
    assert "to pay for it" in check_claim(claim, STORE).verified_text


def test_fills_at_the_best_prices_of_their_bars_are_not_verified_whatever_market_orders_there_are(claim):
    bars = read_bars(STORE, claim["snapshot"], claim["instruments"][0]["series"], "split")
    cash, claim["fills"], claim["equity"], claim["orders"] = claim["cash"], [], [claim["cash"]], []
    for bar in range(1, BARS):
        low, high = (float(bars[name][100 + bar]) for name in ("low", "high"))
        for size, price in ((10.0, low), (-10.0, high)):
            claim["fills"].append({"bar": bar, "size": size, "price": price, "commission": 10 * price * 0.001})
            claim["orders"].append({"bar": bar - 1, "size": size, "kind": "market", "outcome": "filled"})
            cash -= size * price + claim["fills"][-1]["commission"]
        claim["equity"].append(cash)
    assert "follows from no order" in check_claim(claim, STORE).verified_text
    # Limits far away filled at the open, which is no price of theirs to choose either.
    for order in claim["orders"]:
        order.update(kind="limit", limit=1e6 if order["size"] > 0 else 0.01)
    assert "follows from no order" in check_claim(claim, STORE).verified_text


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (["orders"], [], "follows from no order"),
        (["orders", 0, "outcome"], "cancelled", "follows from no order"),
        (["orders", 0, "outcome"], "refused", "follows from no order"),
        (["orders", 0, "bar"], 3, "follows from no order"),
        (["orders", 0, "size"], 9.0, "more units than were ordered"),
        (["orders", 0, "size"], -10.0, "follows from no order"),
        (["orders", 1, "size"], -4.0, "more units than were ordered"),
        (["order_count"], 3, "3 orders and lists 2"),
        (["flows"], [{"bar": 9, "instrument": 0, "kind": "dividend", "amount": 1e9}], "the dividend of IBM on bar 9"),
    ],
)
def test_what_follows_from_no_order_is_not_verified(claim, path, value, reason):
    claim["order_count"] = 2
    change(claim, path, value)
    if path == ["orders"]:
        claim["order_count"] = 0
    assert reason in check_claim(claim, STORE).verified_text


def test_a_reason_that_the_library_does_not_give_is_not_repeated(claim):
    for order, reason in zip(claim["orders"], ("its first close was 173.25", ledger.NO_MARGIN), strict=True):
        order.update(outcome="refused", reason=reason)
    checked = check_claim(claim, STORE)
    assert [order["reason"] for order in checked.orders] == ["other", ledger.NO_MARGIN]
    assert "173.25" not in json.dumps(page_event(checked)["remarks"])


def test_every_reason_of_the_library_is_known():
    named = {getattr(portfolio, name) for name in portfolio.__all__}
    given = {reason for reason in named if isinstance(reason, str)} | {reason for _, reason in ledger.OUTCOMES}
    assert given - {None} == REASONS


NAN, INFINITE = math.nan, math.inf


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ([], None),
        ([], []),
        ([], "claim"),
        (["version"], 1),
        (["version"], None),
        (["orders"], None),
        (["orders"], [{}] * 200_000),
        (["orders", 0], "buy"),
        (["orders", 0, "bar"], BARS),
        (["orders", 0, "bar"], 50),
        (["orders", 0, "instrument"], 1),
        (["orders", 0, "size"], NAN),
        (["orders", 0, "kind"], "perfect"),
        (["orders", 0, "kind"], ["market"]),
        (["orders", 0, "outcome"], {}),
        (["orders", 0, "limit"], INFINITE),
        (["orders", 0, "reason"], "x" * 1000),
        (["order_count"], 1),
        (["cash"], NAN),
        (["cash"], 0),
        (["cash"], "10000"),
        (["cash"], True),
        (["cash"], 10**400),
        (["equity"], None),
        (["equity"], []),
        (["equity"], [1.0] * 500_000),
        (["equity", 3], NAN),
        (["equity", 3], INFINITE),
        (["equity", 3], None),
        (["equity", 3], {"a": 1}),
        (["dates"], "2000"),
        (["dates", 3], "1999-01-01"),
        (["dates", 3], "not a day"),
        (["dates", 3], 20000101),
        (["dates", 3], "9999-12-31"),
        (["dates", 3], "x" * 10_000),
        (["fills"], {}),
        (["fills"], [{}] * 200_000),
        (["fills", 0], 7),
        (["fills", 0, "bar"], -1),
        (["fills", 0, "bar"], BARS),
        (["fills", 0, "bar"], 2.5),
        (["fills", 0, "bar"], True),
        (["fills", 0, "bar"], 55),
        (["fills", 0, "size"], NAN),
        (["fills", 0, "price"], -1),
        (["fills", 0, "price"], INFINITE),
        (["fills", 0, "commission"], "0"),
        (["strategy"], 7),
        (["strategy"], "x" * 1000),
        (["params"], [1]),
        (["params"], {"x": "y" * 100_000}),
        (["params"], {"x": NAN}),
        (["instruments"], []),
        (["instruments"], [{}]),
        (["instruments", 0, "object"], "../../../etc/passwd"),
        (["instruments", 0, "adjust"], "both"),
        (["snapshot"], "../../objects"),
        (["snapshot"], 7),
        (["engine"], None),
        (["engine", "name"], "x" * 1000),
        (["conventions"], None),
        (["conventions", "id"], "perfect-fills"),
        (["conventions", "version"], 99),
        (["conventions", "commission"], "free"),
        (["conventions", "commission"], [1]),
        (["conventions", "spread"], 5),
        (["conventions", "margin"], 0),
        (["conventions", "hedging"], "no"),
        (["conventions", "trade_on_close"], True),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(claim, path, value):
    if path:
        change(claim, path, value)
    else:
        claim = value
    with pytest.raises(ClaimRefused) as caught:
        check_claim(claim, STORE)
    assert caught.value.reason.endswith(".") and len(caught.value.reason) < 300


@pytest.mark.parametrize(
    "key", ["dates", "cash", "equity", "fills", "orders", "conventions", "instruments", "engine", "strategy"]
)
def test_a_missing_part_is_refused(claim, key):
    del claim[key]
    with pytest.raises(ClaimRefused):
        check_claim(claim, STORE)


def test_the_rules_are_written_by_us_not_by_the_box(claim):
    claim["conventions"]["lines"] = ["<script>alert(1)</script> No costs."]
    checked = check_claim(claim, STORE)
    assert checked.conventions["lines"] == BacktestingPy().lines()


def test_thinning_keeps_the_deepest_fall_and_both_ends():
    values = np.sin(np.arange(50_000) / 500) + 2
    values[31_337] = 0.1
    picks = thinned(values, 2_000)
    assert len(picks) <= 2_000 and picks[0] == 0 and picks[-1] == 49_999 and 31_337 in picks
    assert picks == sorted(set(picks))


def test_the_drawing_has_a_title_and_nothing_of_the_users(claim):
    svg = equity_svg(claim["dates"], claim["equity"])
    assert svg.startswith("<svg") and "<title>Equity" in svg and "NaN" not in svg and "nan" not in svg
    assert equity_svg(["2020-01-01"], [1.0]) == ""
    assert "<script>" not in equity_svg(["<script>", "<script>2"], [1.0, 2.0])


@pytest.mark.parametrize("separator", ["\x00", "\ud800", "<"])
def test_dates_are_stored_in_our_own_writing(claim, separator):
    claim["dates"] = [f"{date[:10]}{separator}00:00:00" for date in claim["dates"]]
    checked = check_claim(claim, STORE)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", date) for date in checked.dates)


@pytest.mark.parametrize(("field", "value"), [("symbol", "<b>BRK.A</b>"), ("series", "other/SPY")])
def test_our_bars_under_another_name_are_not_verified(claim, field, value):
    claim["instruments"][0][field] = value
    assert not check_claim(claim, STORE).verified


def test_a_snapshot_the_run_was_not_given_is_not_verified(claim):
    assert check_claim(claim, STORE, claim["snapshot"]).verified
    assert "not the one this run was given" in check_claim(claim, STORE, "0" * 64).verified_text
    own = {**claim, "snapshot": None, "instruments": [{"symbol": "GOOG"}]}
    assert "came from the program" in check_claim(own, STORE, claim["snapshot"]).verified_text


def test_a_claim_by_the_second_version_of_the_rules_is_verified_too(claim):
    claim |= {"conventions": Usual().as_dict(), "taken_away": []}
    for at, order in enumerate(claim["orders"]):
        order |= {"of": at - 1} if order.get("closes") else {}
    checked = check_claim(claim, STORE)
    assert checked.verified and checked.conventions["lines"] == Usual().lines()
    assert Usual().lines() != BacktestingPy().lines()


def test_a_claim_with_more_fills_than_are_kept_has_figures_of_its_equity_and_none_of_its_trades(claim):
    claim |= {"fills": [], "orders": [], "fill_count": 150_000, "order_count": 150_000}
    checked = check_claim(claim, STORE)
    assert not checked.verified and "It has 150\u202f000 fills" in checked.verified_text
    assert "100\u202f000 of a backtest" in checked.verified_text and "shorter period" in checked.verified_text
    beyond = check_claim(claim | {"fill_count": 60_000}, STORE).verified_text
    assert "150\u202f000 orders, more than are kept" in beyond and "60\u202f000" not in beyond
    beyond = check_claim(claim | {"fill_count": 60_000, "order_count": 60_000}, STORE).verified_text
    assert "60\u202f000 fills" in beyond and "40 MB of all backtests of a run" in beyond
    assert "100\u202f000" not in beyond
    assert checked.metrics["total_return"] == pytest.approx(claim["equity"][-1] / claim["cash"] - 1)
    assert checked.metrics["trades"] is None and checked.metrics["exposure"] is None


def test_a_claim_without_fills_whose_equity_moves_is_told_what_it_lists(claim):
    emptied = claim | {"fills": [], "orders": []}
    said = check_claim(copy.deepcopy(emptied), STORE).verified_text
    assert "It lists no fill, and without any the account is worth 10\u202f000.00 on bar" in said and "MB" not in said
    said = check_claim(emptied | {"fill_count": 2, "order_count": 2}, STORE).verified_text
    assert "It lists none of its 2 fills, so that its equity cannot be followed, as where they are beyond" in said


def test_a_claim_that_lists_fewer_fills_than_it_has_is_told_so_and_of_no_limit(claim):
    for listed in (claim["fills"][:1], []):
        said = check_claim(claim | {"fills": listed, "fill_count": 2}, STORE).verified_text
        assert f"It says that it has 2 fills and lists {len(listed)}" in said and "MB" not in said


def test_a_claim_says_how_its_instruments_were_chosen(claim):
    said = check_claim(claim, STORE).conventions["survivorship"]
    assert said.startswith("Survivorship not controlled; chosen with hindsight: IBM (five well-known survivors")
    claim["instruments"] += [{"symbol": "MINE", "series": None, "object": None, "adjust": None}]
    assert "unknown how it was chosen: MINE." in page_event(check_claim(claim, STORE))["survivorship"]
    entries = starter.build(STORE).series
    free = next(entry for entry in entries if entry["survivorship"].startswith("free"))
    claim["instruments"] = [{"symbol": free["symbol"], "series": free["id"], "object": free["object"], "adjust": None}]
    assert page_event(check_claim(claim, STORE))["survivorship"] == ""


def test_bars_of_minutes_are_found_in_their_months_alone():
    built = starter.build(STORE)
    entry = next(series for series in built.series if series["id"] == "synth/us/1m/SYN001")
    instrument = {"symbol": "SYN001", "series": entry["id"], "object": entry["object"], "adjust": "all"}
    whole = read_bars(STORE, built.snapshot, entry["id"], "all")
    ours = our_bars(STORE, built.snapshot, instrument, whole["date"][700:900])
    assert np.array_equal(ours.close, whole["close"][700:900]) and len(ours.open) == 200
    with pytest.raises(NotVerified, match="unbroken stretch"):
        our_bars(STORE, built.snapshot, instrument, whole["date"][700:900:2])


def test_names_that_a_claim_gives_cannot_break_a_sentence_or_turn_it_around():
    (found,) = fields.instruments([{"symbol": "IBM\n\u202eGOOD  \u2067news\x00"}], 2)
    assert found["symbol"] == "IBM GOOD news"
