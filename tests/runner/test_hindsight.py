"""What a program tells of its orders cannot be chosen with what came later."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runner import companions
from runner.backtests import check_claim
from tests.runner.reported import STORE, claim_of

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
    assert companions._differences([kept], [claim], cut) == {}
    last = max(at for at in range(len(claim["fills"]) // 2) if claim["fills"][2 * at]["bar"] < CUT)
    before = claim["fills"][2 * last]["bar"]
    assert companions._differences([kept], [without_trade(claim, last)], cut) == {0: before}
    assert companions._differences([kept], [without_trade(claim, last + 1)], cut) == {}, "the future is another one"


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
        ({"outcome": "cancelled"}, ""),
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
