"""At the end of a window of a walk-forward all is closed that is open, and nothing else is traded."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import qfp
from qfp.backtesting import Strategy

from runner.backtests import check_claim
from tests.sdk.conftest import STORE, data, starter  # noqa: F401


class Often(Strategy):
    """Long and short with stop-losses, several trades at once."""

    days = 3

    def init(self) -> None:
        pass

    def next(self) -> None:
        price = self.data.Close[-1]
        if len(self.data) % self.days == 0:
            self.buy(size=0.3, sl=price * 0.97, tp=price * 1.05)
        elif len(self.data) % 7 == 0:
            self.sell(size=0.4, limit=price * 1.01)
        elif len(self.data) % 11 == 0:
            self.position.close(0.5)


def claim_of(data: Any, strategy: type = Often, **options: Any) -> dict[str, Any]:  # noqa: F811
    found = qfp.walk_forward(
        strategy,
        data.prices("IBM", "2008-01-02", "2009-06-30"),
        {"days": (3, 5)},
        train=80,
        test=40,
        workers=1,
        show=False,
        **options,
    )
    return json.loads(json.dumps(found.result.claim))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"spread": 0.001, "exclusive_orders": True},
        {"trade_on_close": True},
        {"hedging": True, "margin": 0.5},
        {"rules": "backtesting.py", "hedging": True},
        {"rules": "backtesting.py", "trade_on_close": True},
    ],
)
def test_honest_windows_are_verified(data, options: dict[str, Any]) -> None:  # noqa: F811
    checked = check_claim(claim_of(data, **options), STORE)
    assert checked.verified and checked.fills, checked.verified_text


class FromTheStart(Often):
    def init(self) -> None:
        self.buy(size=5, sl=20.0)


def test_what_init_orders_waits_for_the_first_bar_of_every_window(data) -> None:  # noqa: F811
    claim = claim_of(data, strategy=FromTheStart)
    checked = check_claim(claim, STORE)
    assert checked.verified, checked.verified_text
    first = [order["bar"] for order in claim["orders"] if order.get("sl") == 20.0]
    each = claim["params"]["window_bars"]
    assert first == list(range(0, len(claim["dates"]), each))


def test_the_end_of_a_window_closes_what_is_open_and_no_more(data) -> None:  # noqa: F811
    claim = claim_of(data)
    decided = {order["bar"] for order in claim["orders"]}
    ends = range(claim["params"]["window_bars"] - 1, len(claim["dates"]) - 1, claim["params"]["window_bars"])
    at = next(at for at, fill in enumerate(claim["fills"]) if fill["bar"] in ends and fill["bar"] - 1 not in decided)
    turned, kept = copy.deepcopy(claim), copy.deepcopy(claim)
    doubled = turned["fills"][at]
    for name in ("size", "commission"):
        doubled[name] *= 2
    back = {name: -value if name == "size" else value for name, value in claim["fills"][at].items()}
    turned["fills"].insert(at + 1, back)
    turned["fill_count"] += 1
    assert "What was open at the end was closed" in check_claim(turned, STORE).verified_text
    del kept["fills"][at]
    kept["fill_count"] -= 1
    assert "What was open at the end was closed" in check_claim(kept, STORE).verified_text
