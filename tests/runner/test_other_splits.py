"""What counts as the same decision where only later splits are others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runner.honesty.other_splits import _has_own_commission, _otherwise

DATES = [f"2003-01-{day:02d}" for day in range(1, 31)]
MOMENT = np.datetime64("2003-01-20", "us")


def order(bar: int = 5, size: float = 0.5, **more: Any) -> dict[str, Any]:
    return {"bar": bar, "size": size, "kind": "market", **more}


def compared(ours: list[dict], theirs: list[dict], **other: Any) -> tuple[dict[int, int | None], set[int]]:
    """With each price a quarter of what it was."""
    about = {"strategy": "Cross", "dates": DATES, "instruments": [{"series": "a", "adjust": "all"}]}
    backtest = SimpleNamespace(position=0, orders=ours, **about)
    claim = about | {"orders": theirs} | other
    return _otherwise([backtest], [backtest], [claim], MOMENT, {"a": 4.0})


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
    ],
)
def test_orders_are_compared_at_their_share_of_the_price(ours, theirs, found):
    assert compared(ours, theirs) == found


@pytest.mark.parametrize("other", [{"strategy": "Cross 80.0"}, {"dates": DATES[1:]}])
def test_another_backtest_altogether_is_a_difference(other):
    assert compared([order()], [order()], **other) == ({0: None}, set())


def test_a_commission_of_the_programs_own_is_known():
    for conventions, own in (({"commission": None}, True), ({"commission": 0.001}, False), ({}, False)):
        assert _has_own_commission(SimpleNamespace(conventions=conventions)) is own
