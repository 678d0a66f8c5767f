"""What backtesting.py itself has done is told as exactly as what our engine does, and followed as strictly."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from runner.backtests import check_claim
from runner.claims import follow_one, samples
from tests.sdk.conftest import SDK, STORE, starter  # noqa: F401

DRAWN = 8
TOLD = ("orders", "taken_away", "fills", "equity")

Claim = dict[str, Any]


def claims(folder: Path, *arguments: str) -> list[tuple[Claim, Claim]]:
    """Of the same programs: by backtesting.py, watched, and by our engine with its rules."""
    script = SDK.parent.parent / "tests" / "sdk" / "both_claims.py"
    done = subprocess.run(
        [str(Path(settings.SANDBOX_ENV) / "bin" / "python"), str(script), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{SDK}:{SDK.parent.parent}",
            "MPLBACKEND": "agg",
            "QFP_DATA": str(folder),
        },
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [(theirs, ours) for theirs, ours in json.loads(done.stdout)]


@pytest.fixture(scope="module")
def pairs(starter) -> list[tuple[Claim, Claim]]:  # noqa: F811
    return claims(starter.folder, str(DRAWN), "0", "0.6.6", "outside", "parts", "samples")


def test_the_library_watched_tells_what_our_engine_tells_by_its_rules(pairs) -> None:
    for number, (theirs, ours) in enumerate(pairs[: 2 * DRAWN]):
        for name in TOLD:
            # Our equity is that of the fills replayed, theirs the library's own, which adds in another order.
            same = pytest.approx(ours[name], rel=1e-12) if name == "equity" else ours[name]
            assert theirs[name] == same, (number, name)
    told = [theirs for theirs, _ in pairs]
    assert {order["outcome"] for claim in told for order in claim["orders"]} == {
        "filled",
        "cancelled",
        "refused",
        "waiting",
    }
    assert {what for claim in told for *_, what in claim["taken_away"]} == {"sl", "tp", "order"}


def test_what_the_library_did_is_followed_by_its_log_and_nothing_of_it_is_left_to_its_word(pairs) -> None:
    for number, (theirs, _) in enumerate(pairs[:DRAWN]):
        checked = check_claim(theirs, STORE)
        assert checked.verified and "unlogged" not in checked.conventions, (number, checked.verified_text)


def test_what_the_library_itself_filled_outside_the_bar_is_told_as_that_and_not_verified(pairs) -> None:
    said = [check_claim(theirs, STORE) for theirs, _ in pairs[DRAWN : 2 * DRAWN]]
    outside = [each for each in said if not each.verified]
    assert outside and all("The rules of backtesting.py filled" in each.verified_text for each in outside)
    # A price that these rules do not lead to is another's.
    forged = json.loads(json.dumps(pairs[DRAWN + said.index(outside[0])][0]))
    forged["fills"][0]["price"] *= 2
    assert "lies outside that bar's range" in check_claim(forged, STORE).verified_text


def test_parts_of_a_unit_are_followed_as_they_were_traded_and_kept_in_units(pairs) -> None:
    fractions = 0
    for number, (theirs, said) in enumerate(pairs[2 * DRAWN : 3 * DRAWN]):
        checked = check_claim(theirs, STORE)
        assert said["printed"] == checked.conventions["lines"], "the console says what the page says"
        assert checked.verified and "unlogged" not in checked.conventions, (number, checked.verified_text)
        assert checked.conventions["lines"][-1] == "Parts of a unit are traded, each 0.000333333 of it."
        assert checked.fills and all(
            fill["size"] == pytest.approx(told["size"] / 3_000)
            and fill["price"] == pytest.approx(told["price"] * 3_000)
            for fill, told in zip(checked.fills, theirs["fills"], strict=True)
        )
        assert all(10 < trade["entry_price"] < 1_000 for trade in checked.trades)
        for order, told in zip(checked.orders, theirs["orders"], strict=True):
            fraction = abs(told["size"]) < 1
            assert order["size"] == (told["size"] if fraction else pytest.approx(told["size"] / 3_000))
            fractions += fraction
        forged = {**theirs, "unit": 1}
        assert not check_claim(forged, STORE).verified
    assert fractions
    refused = {"bar": 3, "size": 1e8, "kind": "market", "outcome": "refused", "reason": "insufficient margin"}
    nothing = {"orders": [refused], "order_count": 1, "fills": [], "fill_count": 0, "taken_away": []}
    checked = check_claim({**theirs, **nothing, "equity": [theirs["cash"]] * len(theirs["dates"])}, STORE)
    assert checked.verified, checked.verified_text
    assert 10 < float(checked.no_trades.partition("One unit costs about ")[2].partition(";")[0]) < 1_000


def test_the_samples_of_the_library_are_known_and_whatever_does_not_follow_from_them_is_no_better_than_before(
    pairs,
) -> None:
    assert len(pairs[3 * DRAWN :]) == len(samples.SAMPLES)
    for name, claims_of_it in zip(samples.SAMPLES, pairs[3 * DRAWN :], strict=True):
        for claim in claims_of_it:
            checked = check_claim(claim, STORE)
            assert not checked.verified and checked.conventions["sample"] == name, checked.verified_text
            assert f"(the sample {name}), not from this site" in checked.verified_text
            assert ('data.prices("GOOG")' in checked.verified_text) == (name == "GOOG")
            better = [value * (1 + at / 1e4) for at, value in enumerate(claim["equity"])]
            dated = [*claim["dates"][:-1], claim["dates"][-1][:3] + "9" + claim["dates"][-1][4:]]
            fewer = {"fills": claim["fills"][:-1], "fill_count": len(claim["fills"]) - 1}
            unordered = {"orders": [], "order_count": 0}
            for forged in ({"equity": better}, fewer, unordered, {"dates": dated}):
                checked = check_claim({**claim, **forged}, STORE)
                assert "sample" not in checked.conventions and "came from the program" in checked.verified_text


def test_a_log_of_the_library_from_which_something_is_left_out_is_found(pairs) -> None:
    dropped = [
        check_claim({**theirs, "taken_away": taken[:at] + taken[at + 1 :]}, STORE)
        for theirs, _ in pairs[:3]
        for taken in (theirs["taken_away"],)
        for at in range(min(len(taken), 6))
    ]
    assert any(not each.verified for each in dropped)


@pytest.mark.parametrize("how", [("0.6.1",), ("0.6.6", "rounded")])
def test_of_a_release_that_fills_otherwise_and_of_rounded_bars_no_log_is_told_which_is_a_doubt(starter, how) -> None:  # noqa: F811
    ((theirs, _),) = claims(starter.folder, "1", "1", *how)
    assert theirs["taken_away"] is None and theirs["orders"] and theirs["fills"]
    checked = check_claim(theirs, STORE)
    assert checked.conventions["unlogged"] == follow_one.UNLOGGED
    if "rounded" in how:  # prices are ours to the last digit
        assert "follows from no order" in checked.verified_text
    else:
        assert checked.verified, checked.verified_text
