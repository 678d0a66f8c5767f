"""Why has a backtest no trades? What its orders tell is said, and nothing is guessed."""

from __future__ import annotations

import pytest

from runner.remarks import why_no_trades

REFUSED = {"bar": 3, "outcome": "refused", "reason": "insufficient margin for a single unit"}


def test_where_every_order_was_refused_the_reason_and_the_price_of_a_unit_are_said():
    said = why_no_trades([REFUSED, REFUSED], 2, 202.914)
    assert said.startswith(
        "Every order was refused: insufficient margin for a single unit. One unit costs about 202.91;"
    )
    assert why_no_trades([REFUSED], 1) == "Every order was refused: insufficient margin for a single unit."


@pytest.mark.parametrize(("orders", "count"), [([], 0), ([REFUSED], 2), ([REFUSED, {"outcome": "waiting"}], 2)])
def test_what_the_orders_do_not_tell_is_not_said(orders, count):
    assert why_no_trades(orders, count, 202.914) == ""
