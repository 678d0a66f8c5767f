"""Does the page about portfolios tell the truth? Its programs run in order, and the site verifies what they claim."""

from __future__ import annotations

import re
from pathlib import Path

from runner.backtests import check_claim
from tests.sdk.conftest import STORE

PAGE = Path(__file__).resolve().parents[2] / "docs" / "portfolio.md"


def test_the_programs_of_the_page_run_in_order_and_their_claims_are_verified(in_box_environment):
    programs = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(programs) == 6
    text, messages = in_box_environment("\n".join(programs))
    # Without what is only tried, which shows nothing.
    claims = [message["claim"] for message in messages if message["type"] == "backtest" and not message.get("attempt")]
    assert [claim["strategy"] for claim in claims] == ["Three shares", "momentum", "pair", "dip", "low_volatility"]
    for claim in claims:
        checked = check_claim(claim, STORE, claim["snapshot"])
        assert checked.verified, checked.verified_text
        assert len(checked.trades) > 5 and {"sharpe", "buy_and_hold"} <= set(checked.metrics)
    kinds = {flow["kind"] for claim in claims for flow in claim["flows"]}
    assert kinds == {"dividend", "split", "borrow", "delisting"}
    looked_at = [message["lookahead"]["state"] for message in messages if message["type"] == "checks"]
    assert len(looked_at) == 5 and "leak" not in looked_at
    assert "has no bars after" in text and text.split("\n")[-2].startswith("250 ")
