"""An order for a fraction of the account fills with as much as the account can buy, not with what suits afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qfp.conventions import BacktestingPy

from runner.backtests import check_claim
from runner.claims import fields
from runner.claims.bars import NotVerified, OurBars
from runner.claims.fields import ClaimRefused
from runner.claims.sizes import check_sizes
from tests.runner.test_claims import claim, honest  # noqa: F401
from tests.sdk.conftest import STORE

FLAT = np.full(30, 100.0)
BARS = OurBars(FLAT, FLAT * 1.01, FLAT * 0.99, FLAT)


def checked(rules: BacktestingPy, *fills: tuple[int, float], share: float = 0.9, first: int = 0) -> None:
    """first: fill that is the first to follow from an order for a share; every other one closes it."""
    named = [
        {"bar": bar, "size": size, "price": 100.0, "commission": rules.commission_for(size, 100.0) or 0.0}
        for bar, size in fills
    ]
    delay = 0 if rules.trade_on_close else 1
    orders: list[dict[str, Any]] = [
        {"bar": bar - delay, "size": share if size > 0 else -share, "kind": "market", "outcome": "filled"}
        for bar, size in fills[first::2]
    ]
    check_sizes(named, orders, BARS, 10_000.0, rules)


@pytest.mark.parametrize(
    "rules",
    [
        BacktestingPy(),
        BacktestingPy(hedging=True),
        BacktestingPy(trade_on_close=True),
        BacktestingPy(margin=0.5),
        BacktestingPy(spread=0.01),
    ],
)
def test_losers_of_one_share_beside_winners_of_the_whole_account_are_not_verified(rules):
    least = 85.0 / rules.margin
    checked(rules, (5, least), (10, -least), (15, least), (20, -least))
    with pytest.raises(NotVerified, match="was filled with 1 units"):
        checked(rules, (5, least), (10, -least), (15, 1.0), (20, -1.0))


def test_a_fraction_that_closes_the_other_side_counts_with_what_it_closed():
    checked(BacktestingPy(), (5, 50.0), (10, -45.0), share=0.9, first=1)


def test_a_fixed_commission_counts_as_if_the_fraction_were_its_size():
    fixed = BacktestingPy(commission=(500.0, 0.0))
    checked(fixed, (5, 13.0), (10, -13.0))
    with pytest.raises(NotVerified, match="was filled with 1 units"):
        checked(fixed, (5, 1.0), (10, -1.0))


def test_a_claim_with_ten_units_for_an_order_of_the_whole_account_is_not_verified(claim):  # noqa: F811
    assert check_claim(claim, STORE).verified
    claim["orders"][0]["size"] = 0.95
    assert "was filled with 10 units" in check_claim(claim, STORE).verified_text


def test_a_coin_of_a_millionth_may_be_held_by_the_trillion_and_one_bar_is_no_backtest():
    (fill,) = fields.fills([{"bar": 1, "size": 5e14, "price": 1e-9, "commission": 0.0}], 2, 1)
    assert fill["size"] == 5e14
    with pytest.raises(ClaimRefused, match=r"has 2 to 200,000 bars; this one has 1\."):
        fields.moments(["2020-01-01"])
