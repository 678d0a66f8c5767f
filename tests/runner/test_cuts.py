"""The day after which the site changes data is one that earned something."""

from __future__ import annotations

import os
import random
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from qfp import objects
from qfp.data.frames import adjusted_columns

from marketdata.store import LENT, read_manifest
from runner.honesty import companions, cuts
from runner.honesty.budget import CONFIRMING_SECONDS, LEAST_TIMES, MOST_TIMES, WALL_SECONDS, Budget
from runner.honesty.differences import told_in_full
from runner.honesty.examinable import NotEnded
from runner.honesty.varied_data import varied_snapshot
from runner.models import Run
from runner.repeats import Repeat

DAYS = [str(day) for day in np.arange("2001-01-01", "2001-12-27", dtype="datetime64[D]")]
EARNED = 40
CHANCE = random.Random(1)


def backtest_of(orders: list[dict[str, Any]], prices: dict[int, float]) -> Any:
    """Bought at 20 a day after each of these days, and sold at that price a day later."""
    fills = [
        {"bar": bar + after, "size": size, "price": at, "commission": 0.0}
        for bar, price in prices.items()
        for after, size, at in ((1, 1.0, 20.0), (2, -1.0, price))
    ]
    return SimpleNamespace(
        dates=DAYS, orders=orders, fills=fills, flows=[], cash=1e3, equity=[1e3] * len(DAYS), conventions={}
    )


def test_data_change_after_a_day_that_earned_and_not_after_one_of_many_orders_that_never_filled() -> None:
    orders = [{"bar": bar, "size": 1.0, "outcome": "cancelled"} for bar in range(len(DAYS))]
    orders[EARNED]["outcome"] = "filled"
    dusty = backtest_of(orders, {EARNED: 30.0})
    assert companions._choose(dusty, "opened", CHANCE) == (DAYS[EARNED], -1)
    sold = DAYS[EARNED + 1]
    assert (sold, 1) in {companions._choose(dusty, "closed", CHANCE) for _ in range(20)}, "and where it was sold"


def test_days_between_a_fill_and_its_exit_and_after_it_are_drawn_for_both_sides() -> None:
    fills = [
        {"bar": bar, "size": size, "price": price, "commission": 0.0}
        for bar, size, price in ((100, 1.0, 20.0), (140, -1.0, 30.0))
    ]
    one = backtest_of([{"bar": 90, "size": 1.0, "outcome": "filled"}], {})
    one.fills = fills
    held = {companions._choose(one, "held", CHANCE) for _ in range(300)}
    assert {tail for _, tail in held} == {-1}, "against what was held"
    days = {DAYS[bar] for bar in (90, *range(100, 140))}
    assert {day for day, _ in held} <= days and len(held) > 20
    after = {companions._choose(one, "closed", CHANCE) for _ in range(100)}
    assert {(DAYS[140], tail) for tail in (1, -1)} <= after


def test_data_change_right_after_the_opens_that_filled_what_earned() -> None:
    one = backtest_of([{"bar": EARNED, "size": 1.0, "outcome": "filled"}], {EARNED: 30.0})
    assert [way for _, way in companions._turns([one_of(one)])] == [way for way in cuts.WAYS if way not in cuts.INSIDE]
    one.conventions = {"id": "next-open", "version": 2}
    assert [way for _, way in companions._turns([one_of(one)])] == list(cuts.WAYS)
    chosen = {companions._choose(one, way, CHANCE) for way in cuts.INSIDE for _ in range(9)}
    bought, sold = (DAYS[EARNED + after] for after in (0, 1))
    assert chosen == {(bought, -1), (sold, 1)}, "against what was done there"
    assert cuts.WAYS.index("entered") < LEAST_TIMES, "runs that take long are tried, too"
    one.orders += [{"bar": bar, "size": 1.0, "limit": 20.0, "outcome": "filled"} for bar in range(EARNED + 9)]
    assert all(cuts.worth_trying(one, way) for way in cuts.INSIDE), "limits that fill on every bar hide none"


def one_of(backtest: Any) -> Any:
    return SimpleNamespace(**{**vars(backtest), "position": 0, "verified": True})


def test_a_day_that_earned_most_is_drawn_most_and_others_now_and_then() -> None:
    prices = {bar: 30.0 if bar == EARNED else 20.001 for bar in range(0, 100, 5)}
    orders = [{"bar": bar, "size": 1.0, "outcome": "filled"} for bar in prices]
    drawn = [companions._choose(backtest_of(orders, prices), "opened", CHANCE)[0] for _ in range(400)]
    assert 280 < sum(day == DAYS[EARNED] for day in drawn) < 400


def test_what_one_trade_earns_and_another_loses_on_purpose_hides_no_day() -> None:
    """Two legs of the same share, held against each other from the first day on: all that is earned, and nothing."""
    held = [(1, 0, 900.0, 20.0), (1, 1, -900.0, 20.0), (359, 0, -900.0, 90.0), (359, 1, 900.0, 90.0)]
    bought = dict.fromkeys(range(100, 300, 20), 20.5)
    hiding = backtest_of([{"bar": bar, "size": 1.0, "outcome": "filled"} for bar in (0, *bought, 358)], bought)
    hiding.fills += [{"bar": b, "instrument": i, "size": s, "price": p, "commission": 0.0} for b, i, s, p in held]
    hiding.fills.sort(key=lambda fill: fill["bar"])
    grown = np.zeros(len(DAYS))
    grown[[bar + 2 for bar in bought]] = 0.5
    hiding.equity = (1e3 + grown.cumsum()).tolist()
    days = {DAYS[bar] for bar in bought}

    def share(way: str) -> float:
        return sum(companions._choose(hiding, way, CHANCE)[0] in days for _ in range(100)) / 100

    assert share("opened") < 0.5 < 0.7 < share("alike")
    assert share("gained") > 0.9


def test_every_backtest_of_a_run_has_a_day_of_its_own_and_unverified_ones_draw_none() -> None:
    def made(position: int, earned: float, verified: bool = True) -> Any:
        one = backtest_of([{"bar": EARNED, "size": 1.0, "outcome": "filled"}], {EARNED: 30.0})
        one.position, one.verified, one.equity = position, verified, [1e3, 1e3 + earned]
        return one

    several = [made(0, 5.0), made(1, 90.0, verified=False), made(2, 60.0), made(3, 1.0)]

    best = [(2, "opened"), (2, "held"), (2, "closed"), (2, "gained"), (2, "alike")]
    others = [(position, way) for _, way in best for position in (0, 3)]  # or what earns most would hide them
    turns = [(each.position, way) for each, way in companions._turns(several)]
    assert turns == [*best, *others]
    for took, worked, left in (
        (3.0, None, MOST_TIMES),
        (45.0, 45.0, 5),
        (119.0, None, LEAST_TIMES),
        (20.0, 10.0, MOST_TIMES),  # on a busy machine
        (100.0, 1.0, 4),  # it slept
        (45.0, 90.0, 5),  # on several cores
    ):
        assert Budget.of(SimpleNamespace(wall_seconds=took, cpu_seconds=worked)).left == left


def test_what_sleeps_on_other_data_is_not_made_again_all_day(monkeypatch) -> None:
    """Some of the time is kept to confirm what was found until then."""
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    spent = Budget.of(SimpleNamespace(wall_seconds=1.0, cpu_seconds=1.0))
    now += WALL_SECONDS - CONFIRMING_SECONDS
    assert spent.left == MOST_TIMES
    now += 1
    assert spent.left == 0 and spent.confirming(3).left == 3
    with pytest.raises(companions.NotComparable, match="no time left"):
        companions._claims(SimpleNamespace(), "b", spent)
    now += CONFIRMING_SECONDS
    assert spent.confirming(3).left == 0


def told(name: str = "Trend", bars: int = 30, series: str = "a", **about: Any) -> dict[str, Any]:
    known = {"strategy": name, "params": {}, "dates": ["2001-01-01"] * bars, "instruments": [{"series": series}]}
    return known | about | {"orders": [], "fills": [], "equity": []}


OURS = [SimpleNamespace(**told()), SimpleNamespace(**told("Other"))]


@pytest.mark.parametrize(
    ("claims", "heard"),
    [
        ([told(), told("Other")], 2),
        ([told(), told("Other", bars=20)], 1),  # not to its end
        ([told()], 1),
        ([told(bars=20)], 0),
        ([told("Other")], 0),  # the first may be missing
        ([told(series="b")], 0),
        ([told(params={"days": 3})], 0),
        ([{"dates": 3}], 0),
        ([told()] * 3, 0),
        ([], 0),
    ],
)
def test_what_was_told_in_full_before_an_error_is_heard(monkeypatch, claims, heard) -> None:
    assert len(told_in_full(OURS, claims)) == heard
    run: Any = SimpleNamespace(snapshot="a", manifest={}, backtests=SimpleNamespace(order_by=lambda _: OURS))
    monkeypatch.setattr(companions, "_unread", lambda run: set())
    checked = SimpleNamespace(orders=[], fills=[], equity=[])

    def ended(outcome: str, refused: int = 0) -> list[Any]:
        again = Repeat(claims=[(claim, checked) for claim in claims], refused=refused, outcome=outcome)
        monkeypatch.setattr(companions, "repeat", lambda *_: again)
        return companions._claims(run, "b", Budget(9))

    assert len(ended(Run.Status.SUCCEEDED)) == len(claims)
    if heard == len(OURS):
        assert ended(Run.Status.FAILED) == claims
    else:
        with pytest.raises(NotEnded, match="ended with an error") as error:
            ended(Run.Status.FAILED)
        assert len(error.value.claims) == heard
    with pytest.raises(NotEnded) as error:  # which of them it was that was refused is not known
        ended(Run.Status.FAILED, refused=1)
    assert not error.value.claims
    with pytest.raises(companions.NotComparable, match="come to its end"):
        ended(Run.Status.TIMED_OUT)


def test_a_file_that_only_the_repetition_reads_keeps_it_from_being_compared(monkeypatch) -> None:
    """It could know there what the run itself took from the data. Another run may have opened it meanwhile, once."""
    monkeypatch.setattr(companions, "brought_series", lambda snapshot: ("mine/mood@1", "mine/read@1"))
    monkeypatch.setattr(companions, "personal_series", lambda snapshot: ("tiingo/1d/VEND",))
    told = {"private": [], "brought": ["mine/read@1"]}
    run: Any = SimpleNamespace(snapshot="a", manifest={"data": told})
    assert companions._unread(run) == {"mine/mood@1", "tiingo/1d/VEND"}
    opened: list[set[str]] = []
    monkeypatch.setattr(
        companions, "repeat", lambda *_: Repeat(opened=opened.pop(0), outcome=Run.Status.SUCCEEDED, claims=[])
    )
    opened += [{"mine/mood@1"}, {"mine/read@1"}]
    budget = Budget(9)
    assert companions._claims(run, "b", budget) == [] and not opened
    assert budget.left == 7, "each time counts"
    opened += [{"mine/mood@1"}] * 9
    with pytest.raises(companions.NotComparable, match="reads other files"):
        companions._claims(run, "b", budget)
    for left in (0, 1):
        with pytest.raises(companions.NotComparable, match="no time left"):
            companions._claims(run, "b", Budget(left))


def test_what_a_run_has_not_read_is_neither_varied_nor_opened(tmp_path) -> None:
    dates = np.arange("2001-01-01", "2001-12-27", dtype="datetime64[us]", step=np.timedelta64(1, "D"))
    prices = {"a": np.arange(360.0) % 7 + 20, "b": np.arange(360.0) % 7 + 30}
    made = {name: objects.arrow_bytes(dates, {"close": close}) for name, close in prices.items()}
    series = [
        {"id": name, "object": objects.put(tmp_path, content), "actions": None, "interval": "1d"}
        for name, content in made.items()
    ]
    universe = {"name": "all", "members": [], "panel_of": "0" * 64}
    made_for = {"created_for": "starter", "universes": [universe]}
    snapshot = objects.write_snapshot(tmp_path, {"series": series, **made_for})
    os.utime(objects.object_path(tmp_path, series[1]["object"]), (1e9, 1e9))
    unread = objects.object_path(tmp_path, series[0]["object"])
    for path in tmp_path.rglob(unread.name):
        path.chmod(0o644)
        path.write_bytes(b"not a table")  # whoever reads it fails
    varied = {"moment": dates[100], "tail": 1, "seed": 1, "all_shares": True, "leave": {"a"}}
    with varied_snapshot(tmp_path, snapshot, **varied) as other:
        manifest = read_manifest(tmp_path, other)
        found = {each["id"]: each["object"] for each in manifest["series"]}
        box = tmp_path / "snapshots" / other
        assert objects.object_path(box, found["b"]).stat().st_mtime == 1e9, "it seems as old as what it stands for"
        assert manifest["created_for"] == "starter" and manifest["universes"][0].keys() == universe.keys()
        with varied_snapshot(tmp_path, snapshot, **varied) as again:
            assert again != other
        assert objects.object_path(tmp_path, found["b"]).exists(), "another one still lends it"
    assert not objects.object_path(tmp_path, found["b"]).exists()
    assert [path.name for path in (tmp_path / LENT).iterdir()] == [".lock"]
    assert found["a"] == series[0]["object"] and found["b"] != series[1]["object"]


def test_adjusted_prices_before_the_moment_stay_the_same_to_the_last_bit(tmp_path) -> None:
    draw = np.random.default_rng(3)
    dates = np.arange("2001-01-01", "2003-12-27", dtype="datetime64[us]", step=np.timedelta64(1, "D"))
    close = np.round(60 * np.exp(np.cumsum(draw.normal(0, 0.01, len(dates)))), 2)
    on = np.sort(draw.choice(np.arange(5, len(dates)), 60, replace=False))
    acts = {"split": np.ones(60), "dividend": np.round(draw.uniform(0.1, 0.9, 60), 4)}
    acts["split"][[20, 31, 40, 55]] = 3.0, 1.5, 7.0, 1.1
    acts["dividend"][[20, 31]] = 0.0
    put = objects.put(tmp_path, objects.arrow_bytes(dates, {"close": close, "volume": close}))
    acted = objects.put(tmp_path, objects.arrow_bytes(dates[on], acts))
    series = [{"id": "a", "object": put, "actions": acted, "interval": "1d", "columns": ["close", "volume"]}]
    snapshot = objects.write_snapshot(tmp_path, {"series": series, "created_for": "starter", "universes": []})
    for seed in range(8):
        head = 150 + 100 * seed
        varied = {"moment": dates[head - 1], "tail": 1 - 2 * (seed % 2), "seed": seed, "all_shares": True}
        with varied_snapshot(tmp_path, snapshot, **varied) as other:
            entry = read_manifest(tmp_path, other, with_objects=True)["series"][0]
            assert entry["actions"] != acted
            for mode in ("all", "split"):
                ours = adjusted_columns(tmp_path, series[0], mode)
                theirs = adjusted_columns(tmp_path, entry, mode)
                assert ours["close"][head:].tolist() != theirs["close"][head:].tolist()
                for name in ("close", "volume"):
                    assert ours[name][:head].tobytes() == theirs[name][:head].tobytes(), (seed, mode, name)
