"""Which sizes are the same where prices are at another level."""

from __future__ import annotations

from typing import Any

import pytest

from runner.honesty.other_levels import MOST_RATIOS, Side, _Held, first_otherwise

EQUITY = [1e5] * 30


def order(bar: int, size: float, **more: Any) -> dict[str, Any]:
    return {"bar": bar, "size": size, "kind": "market", **more}


def fill(bar: int, size: float) -> dict[str, Any]:
    return {"bar": bar, "size": size, "price": 1.0}


def side(*orders: dict[str, Any], fills: tuple[dict[str, Any], ...] = ()) -> Side:
    return Side(orders, fills, EQUITY)


def first(ours: Side, theirs: Side, level: float = 4.0, **more: Any) -> int | None:
    return first_otherwise(ours, theirs, [level], 29, **more)


def test_fractions_of_units_are_no_whole_shares():
    ours, theirs = side(order(5, 2.0)), side(order(5, 2.9))
    assert first(ours, theirs, whole=True) is None
    assert first(ours, theirs, whole=False) == 5


def test_orders_are_added_up_where_prices_are_at_another_level_alone():
    ours, theirs = side(order(5, 10.0)), side(order(5, 6.0), order(5, 4.0))
    assert first(ours, theirs) is None
    assert first(ours, theirs, level=1.0) == 5


def test_what_is_held_is_what_was_filled_up_to_the_bar():
    # Bought for all that was there: 100 and 700 units are no part of what the level says, and are closed like that.
    bought, more = side(order(3, 0.9), order(9, -100.0), fills=(fill(4, 100.0),)), (fill(4, 700.0),)
    assert first(bought, side(order(3, 0.9), order(9, -700.0), fills=more)) is None
    assert first(bought, side(order(3, 0.9), order(9, -260.0), fills=more)) == 9
    late = side(order(3, 0.9), order(9, -700.0), fills=(fill(10, 700.0),))
    assert first(bought, late) == 9


@pytest.mark.parametrize("ours", [0.0, 1e-320, -5.0])
def test_a_fill_without_a_ratio_is_passed_over(ours):
    held = _Held()
    held.note(ours, 1e300)
    assert held.ratios == {}


def test_ratios_are_as_many_as_are_worth_a_look():
    held = _Held()
    for step in range(4_000):
        held.note(1.0, 1.02**step / 1e30)
    held.note(1.0, 1.02**3_990 / 1e30)
    assert len(held.ratios) <= MOST_RATIOS and next(reversed(held.ratios.values())) == 1.02**3_990 / 1e30


def test_a_pair_in_units_is_hedged_by_as_many_as_both_levels_say():
    ours, theirs = (side(order(5, 100.0, instrument=0), order(5, units, instrument=1)) for units in (-60.0, -30.0))
    assert first_otherwise(ours, theirs, [4.0, 2.0], 29) is None
    assert first_otherwise(ours, theirs, [4.0, 8.0], 29) == 5, "at these levels two thirds of 60 are no hedge"
