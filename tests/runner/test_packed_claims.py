"""A claim that is too long to be sent as it is: what becomes of it, and what of one that only seems to be short?"""

from __future__ import annotations

import base64
import json
import os
import random
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from qfp import channel, checking, forking, metrics, packing
from qfp.conventions import PortfolioRules
from qfp.results import Result

from runner.claims.fields import ClaimRefused
from runner.claims.packed import MOST_LISTS, MOST_NAMES, MOST_OBJECTS, MOST_PARTS, Opener
from runner.claims.reading import read_attempt


def claim_of(orders: int, bars: int = 1_000, **more) -> dict:
    fills = [{"bar": at % bars, "size": 1.0, "price": 100.5, "commission": 0.1} for at in range(orders)]
    decided = [{"bar": at % bars, "size": 1.0, "kind": "market", "outcome": "filled"} for at in range(orders)]
    return {
        "dates": ["2020-01-02"] * bars, "equity": [1.0] * bars, "fills": fills, "orders": decided, "trades": fills,
        "flows": [], "taken_away": [], **more,
    }  # fmt: skip


def packed(text: bytes) -> str:
    return base64.b64encode(zlib.compress(text)).decode()


@pytest.fixture
def sent(tmp_path, monkeypatch):
    """Reads what this process has sent to the site since it was read last."""
    path = tmp_path / "channel"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    monkeypatch.setattr(channel, "_fd", descriptor)
    monkeypatch.setattr(channel, "connected", True)
    channel.begin_claims()
    with path.open() as lines:
        yield lambda: [json.loads(line) for line in lines]
    os.close(descriptor)
    channel.begin_claims()


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
    wide = packing.Packer()  # bytes count, as they do when it is opened
    wide.left = len(json.dumps(claim_of(1, strategy="é" * 1_000), ensure_ascii=False))
    assert wide.pack(claim_of(1, strategy="é" * 1_000), lambda claim: json.dumps(claim, ensure_ascii=False)) is None
    assert packing.Packer().pack(claim_of(0, packing.MOST_BARS + 1), json.dumps) is None


def test_what_is_longer_than_a_message_when_packed_goes_without_rows():
    claim = claim_of(1)
    claim["orders"][0]["reason"] = random.Random(1).randbytes(packing.MOST_SENT * 4 // 5).hex()
    text = packing.Packer().pack(claim, json.dumps)
    assert len(text) < packing.MOST_SENT and Opener().open(text)["orders"] == []


def too_many_named(form: str) -> bytes:
    text = "{" + ",".join(form.format(at) for at in range(MOST_NAMES + 1)) + "}"
    assert len(json.loads(text)) > MOST_NAMES
    return text.encode()


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
        packed(b"[" + b"[]," * MOST_LISTS + b"[]]"),
        packed(b"[" + b"0," * (MOST_PARTS + 1) + b"0]"),
        packed(too_many_named('"{}":0')),
        packed(too_many_named('"{}"\n\t :0')),
        packed(too_many_named('"{}\\"b":0')),
        packed(too_many_named('"\\n{},":":"')),
        packed(too_many_named('"{:>80}":0')),
        packed(too_many_named('"{}":0').decode().encode("utf-16")),
    ],
)
def test_what_cannot_be_opened_or_is_longer_than_it_seems_is_refused(text):
    with pytest.raises(ClaimRefused):
        Opener().open(text)


@pytest.mark.parametrize(
    "claim",
    [
        {"params": "x" * packing.LONG},
        {"params": {str(at): 0 for at in range(MOST_NAMES + 1)}},
        {"params": [{}] * (MOST_OBJECTS + 1)},
        {"params": [[]] * (MOST_LISTS + 1)},
    ],
)
def test_what_is_not_packed_is_bounded_as_what_is(claim):
    with pytest.raises(ClaimRefused):
        Opener().open(claim)
    opener, one = Opener(), {"dates": "x" * (packing.LONG - 100), "params": {"half of a character": "\ud800"}}
    for _ in range(packing.MOST_OPENED // packing.LONG):
        assert opener.open(one) is one
    with pytest.raises(ClaimRefused):
        opener.open(one)
    assert opener.open(packed(b"{}")) == {}, "which have room of their own, as the library counts them"


def test_what_a_text_of_a_claim_has_is_not_taken_for_its_fields():
    claim = claim_of(0, params={"note": '", ":{"a":0}, "b" : 1 \\"'}, reasons=["12:30:00", '"x":'] * 2_000)
    assert Opener().open(packed(json.dumps(claim).encode())) == claim


def test_of_all_claims_of_a_run_no_more_is_opened_than_there_is_room_for():
    opener, text = Opener(), packed(json.dumps({"dates": ["x" * 15_000_000]}).encode())
    assert opener.open(text) and opener.open(text)
    for _ in range(2):
        with pytest.raises(ClaimRefused):
            opener.open(text)


@pytest.mark.parametrize("first", [packing.MOST_OPENED, packing.MOST_OPENED + 1])
def test_no_room_that_is_left_is_not_room_without_a_limit(first):
    """A claim that has taken all of it, and one that was too long and not opened."""
    opener, bomb = Opener(), packed(b'"' + b"x" * (packing.MOST_OPENED + 100_000) + b'"')
    text = packed(b'"' + b"x" * (first - 2) + b'"')
    if first <= packing.MOST_OPENED:
        assert len(opener.open(text)) == first - 2
    else:
        with pytest.raises(ClaimRefused):
            opener.open(text)
    assert opener.left == 0
    with pytest.raises(ClaimRefused):
        opener.open(bomb)
    with pytest.raises(ValueError):
        packing.opened(packed(b"{}"), 0)


def test_claims_of_several_threads_have_no_more_room_together_and_those_of_another_cell_have_it_anew(sent, monkeypatch):
    monkeypatch.setattr(packing, "MOST_OPENED", 2_000_000)
    message = {"type": "backtest", "claim": {**claim_of(6_000, 50_000), **TRIED}, "number": 0}
    size = len(channel._written(message["claim"]))
    assert packing.MOST_OPENED / 2 < size < packing.MOST_OPENED
    for _ in range(2):
        channel.begin_claims()
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(channel.emit, [message] * 4))
        opened = [packing.opened(each["claim"]) for each in sent() if isinstance(each["claim"], str)]
        assert opened and sum(map(len, opened)) <= packing.MOST_OPENED
        assert len(json.loads(max(opened, key=len))["orders"]) == 6_000


TRIED = {
    "strategy": "Long", "params": {"fast": 3}, "cash": 1e4, "conventions": PortfolioRules().as_dict(),
    "period": {"start": "2020-01-02T00:00:00", "end": "2020-06-02T00:00:00"},
    "instruments": [{"symbol": "ABC", "series": None, "adjust": None, "first": 3, "last": packing.MOST_BARS}],
}  # fmt: skip


class Longer(Result):
    """Of more bars than the site takes."""

    strategy, conventions = "Long", PortfolioRules()

    def __init__(self) -> None:
        index = pd.date_range("2020-01-02", periods=packing.MOST_BARS + 1, freq="min")
        self.equity = pd.Series(np.full(len(index), 1e4), index=index)
        none, flat = np.zeros(len(index)), self.equity.to_numpy()
        self.metrics = metrics.summary(flat, none, none, [], [], 252.0, flat)
        self.claim = {
            **TRIED,
            "dates": [str(each) for each in index],
            "equity": flat.tolist(),
            "fills": [],
            "orders": [],
        }

    def notes(self) -> list[str]:
        return []


def test_what_is_too_long_to_be_handed_over_counts_as_a_trial_and_says_so(sent, capsys, monkeypatch):
    monkeypatch.setattr(checking, "backtests", 1)  # of later ones no claims are sent
    result = Longer()
    result._announce()
    (message,) = sent()
    assert message["attempt"] is True and message["number"] is None and result.number is None
    tried = read_attempt(Opener().open(message["claim"]))
    assert (tried["strategy"], tried["params"], tried["instruments"][0]["symbol"]) == ("Long", {"fast": 3}, "ABC")
    said = capsys.readouterr().out
    assert "200,000 bars" in said and "counts as a trial" in said and "Total return: 0.0%" in said
    assert forking.run_forked(lambda at: Longer()._announce(), 2, 2, None, lambda done: None) == [None, None]
    assert [(message["attempt"], "instead" in message) for message in sent()] == [(True, False)] * 2
    of_workers = capsys.readouterr().out
    assert of_workers == said[said.index("Long: the site") :] * 2
    short = {"type": "backtest", "claim": TRIED, "number": 1}
    relayed = lambda at: channel.emit({**short, "instead": "It is too long."})  # noqa: E731
    assert forking.run_forked(relayed, 2, 2, None, lambda done: None) == [True, True]
    assert sent() == [short] * 2 and capsys.readouterr().out == "", "what is said of long ones is not sent"
    channel._packer.left = 0
    assert not channel.emit({"type": "backtest", "claim": {**result.claim, "params": {"x": "y" * packing.LONG}}})
    assert sent() == []
