"""A claim that is too long to be sent as it is: what becomes of it, and what of one that only seems to be short?"""

from __future__ import annotations

import base64
import json
import zlib

import pytest
from qfp import packing

from runner.claims.fields import ClaimRefused
from runner.claims.packed import MOST_OBJECTS, Opener


def claim_of(orders: int, bars: int = 1_000, **more) -> dict:
    fills = [{"bar": at % bars, "size": 1.0, "price": 100.5, "commission": 0.1} for at in range(orders)]
    decided = [{"bar": at % bars, "size": 1.0, "kind": "market", "outcome": "filled"} for at in range(orders)]
    return {
        "dates": ["2020-01-02"] * bars, "equity": [1.0] * bars, "fills": fills, "orders": decided, "trades": fills,
        "flows": [], "taken_away": [], **more,
    }  # fmt: skip


def packed(text: bytes) -> str:
    return base64.b64encode(zlib.compress(text)).decode()


def test_all_that_the_site_reads_of_a_claim_is_in_what_was_packed():
    claim = claim_of(20_000)
    text = packing.Packer().pack(claim, json.dumps)
    assert len(text) < 200_000
    assert Opener().open(text) == {name: value for name, value in claim.items() if name != "trades"}


@pytest.mark.parametrize("claim", [claim_of(50, order_count=60), claim_of(50, fill_count=60)])
def test_where_only_some_rows_are_listed_none_is_sent_and_how_many_there_are(claim):
    found = Opener().open(packing.Packer().pack(claim, json.dumps))
    assert found["fills"] == found["orders"] == [] and found["equity"] == claim["equity"]
    assert sorted((found["fill_count"], found["order_count"])) == [50, 60]


def test_of_claims_that_are_too_long_together_the_later_ones_go_without_rows_and_then_not_at_all(monkeypatch):
    monkeypatch.setattr(packing, "MOST_OPENED", 3_000_000)
    packer = packing.Packer()
    claims = [packer.pack(claim_of(10_000), json.dumps) for _ in range(4)]
    assert [len(json.loads(packing.opened(each))["orders"]) for each in claims] == [10_000, 10_000, 0, 0]
    packer.left = 100
    assert packer.pack(claim_of(1), json.dumps) is None
    assert packing.Packer().pack(claim_of(0, packing.MOST_BARS + 1), json.dumps) is None


@pytest.mark.parametrize(
    "text",
    [
        "not packed",
        base64.b64encode(b"neither").decode(),
        packed(b"{}")[:-8],
        packed(b"{"),
        packed(b"NaN"),
        packed(b" " * (packing.MOST_OPENED + 1)),
        packed(b"[" + b"{}," * MOST_OBJECTS + b"{}]"),
    ],
)
def test_what_cannot_be_opened_or_is_longer_than_it_seems_is_refused(text):
    with pytest.raises(ClaimRefused):
        Opener().open(text)


def test_of_all_claims_of_a_run_no_more_is_opened_than_there_is_room_for():
    opener, text = Opener(), packed(json.dumps({"dates": ["x" * 15_000_000]}).encode())
    assert opener.open(text) and opener.open(text)
    with pytest.raises(ClaimRefused):
        opener.open(text)
