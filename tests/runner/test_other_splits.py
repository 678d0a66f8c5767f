"""What counts as the same decision where only later splits are others."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runner.honesty.examinable import NotEnded
from runner.honesty.other_splits import _has_own_commission, _otherwise, on_other_splits
from tests.factories import make_finished_run, make_project
from tests.runner.reported import STORE, claim_of, stored

DATES = [f"2003-01-{day:02d}" for day in range(1, 31)]
MOMENT = np.datetime64("2003-01-20", "us")


def order(bar: int = 5, size: float = 0.5, **more: Any) -> dict[str, Any]:
    return {"bar": bar, "size": size, "kind": "market", **more}


def compared(ours: list[dict], theirs: list[dict], **other: Any) -> tuple[dict[int, int | None], set[int]]:
    """With each price a quarter of what it was. adjust, rules: of ours, too; held: fills of ours and of theirs."""
    rules = {"conventions": other.pop("rules", {}), "equity": [1e5] * len(DATES)}
    instruments = [{"series": "a", "adjust": other.pop("adjust", "all")}]
    ours_held, theirs_held = other.pop("held", ([], []))
    about = {"strategy": "Cross", "dates": DATES, "instruments": instruments, **rules}
    backtest = SimpleNamespace(position=0, orders=ours, fills=ours_held, **about)
    claim = about | {"orders": theirs, "fills": theirs_held} | other
    return _otherwise([backtest], [backtest], [claim], MOMENT, {"a": 4.0})


def fill(size: float, bar: int = 3) -> list[dict[str, Any]]:
    return [{"bar": bar, "size": size, "price": 1.0}]


REFUSED = order(3, 1e7, outcome="refused")


@pytest.mark.parametrize(
    ("ours", "theirs", "found"),
    [
        ([order()], [order()], ({}, set())),
        ([order()], [order(6)], ({0: 5}, set())),
        ([order()], [order(size=-0.5)], ({0: 5}, set())),
        ([order(size=100)], [order(size=400)], ({}, set())),
        ([order(25)], [order(26)], ({}, set())),  # after the split
        ([order(limit=80.0)], [order(limit=20.0)], ({}, set())),
        ([order(limit=80.03)], [order(limit=20.01)], ({}, set())),  # 20.0075, rounded to the cent
        ([order(limit=80.0)], [order(limit=20.1)], ({0: 5}, set())),
        ([REFUSED, order()], [REFUSED, order(6)], ({0: 5}, set())),  # what never could be paid hides nothing
        ([REFUSED, order()], [order(3, 1e7), order(6)], ({}, {0})),
        ([order(2), REFUSED], [order(2, -0.5), order(3, 1e7)], ({0: 2}, set())),  # before anything is unclear
    ],
)
def test_orders_are_compared_at_their_share_of_the_price(ours, theirs, found):
    assert compared(ours, theirs) == found


@pytest.mark.parametrize("other", [{"strategy": "Cross 80.0"}, {"dates": DATES[1:]}])
def test_another_backtest_altogether_is_a_difference(other):
    assert compared([order()], [order()], **other) == ({0: None}, set())


@pytest.mark.parametrize(
    ("ours", "theirs", "about"),
    [
        (order(size=100), order(size=100), {}),  # so many units
        (order(size=100), order(size=403), {}),  # so much money: of what buys four of theirs, three are left over
        (order(size=1000), order(size=4360), {"equity": [1.08e5] * 30}),  # a share of the account: 4,320, within 1 %
        (order(size=0.5), order(size=0.504), {}),
        (order(size=-100, closes=True), order(size=-430, closes=True), {"held": (fill(100), fill(430))}),
        (order(size=-100), order(size=-430), {"held": (fill(100), fill(430))}),
        (order(size=0.3), order(size=1.2), {"rules": {"id": "portfolio-next-open", "fractional": True}}),
        (order(size=0.3, kind="target"), order(size=0.3, kind="target"), {"rules": {"id": "portfolio-next-open"}}),
        (order(size=1), None, {"held": (fill(1000), fill(4001))}),  # back to the same share of the account
    ],
)
def test_a_size_of_who_knows_no_level_is_the_same(ours, theirs, about):
    assert compared([ours], [theirs] if theirs else [], **about) == ({}, set())


@pytest.mark.parametrize(
    ("ours", "theirs", "about"),
    [
        (order(size=5000), order(size=1), {"adjust": None}),
        (order(size=100), order(size=101), {"adjust": None}),  # at the same prices there is nothing to round
        (order(size=0.5), order(size=0.501), {"adjust": None}),
        (order(size=5000), order(size=1), {}),
        (order(size=1), order(size=5000), {}),
        (order(size=100), order(size=410), {}),
        (order(size=100), order(size=200), {}),
        (order(size=0.5), order(size=0.51), {}),
        (order(size=-100), order(size=-43), {"held": (fill(100), fill(430))}),
        (order(size=0.3, kind="target"), order(size=1.2, kind="target"), {"rules": {"id": "portfolio-next-open"}}),
        (order(size=100), None, {"held": (fill(1000), fill(4001))}),
    ],
)
def test_another_size_is_a_difference(ours, theirs, about):
    assert compared([ours], [theirs] if theirs else [], **about) == ({0: 5}, set())


def test_a_commission_of_the_programs_own_is_known():
    for conventions, adjust, own in (
        ({"commission": None}, "all", True),
        ({"commission": None}, None, False),  # at the same prices it is the same
        ({"commission": 0.001}, "all", False),
        ({}, "all", False),
    ):
        backtest = SimpleNamespace(conventions=conventions, instruments=[{"adjust": adjust}])
        assert _has_own_commission(backtest) is own


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fails", "state", "told"),
    [
        (lambda snapshot, own: snapshot != own, "amber", "and it ended with an error. A rule about the level"),
        (lambda snapshot, own: True, "grey", "could not see: it ended with an error."),  # on the same data, too
    ],
)
def test_a_program_that_ends_with_an_error_at_another_level_hangs_on_it(settings, fails, state, told):
    settings.STORE_DIR = STORE
    claim = claim_of("IBM", 40, 20, bars=300)
    run = make_finished_run(make_project(visibility="public"), snapshot=claim["snapshot"])
    backtest = stored(run, claim)

    def claims_on(snapshot):
        if fails(snapshot, run.snapshot):
            raise NotEnded("it ended with an error")
        return [claim]

    found = on_other_splits(run, [backtest], claims_on, random.Random(1), all_shares=False)
    assert found[0]["splits"]["state"] == state and told in found[0]["splits"]["sentence"]
