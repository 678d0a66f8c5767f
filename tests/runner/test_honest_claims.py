"""No honest backtest is refused: what the library claims is verified, whatever the program orders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qfp.backtesting import Strategy
from qfp.backtests import backtest
from qfp.figures import figures

from runner.backtests import check_claim
from tests.runner import random_programs
from tests.sdk.conftest import STORE, data, starter  # noqa: F401

DRAWN = 20


@pytest.mark.parametrize("make", [random_programs.claim_of_one, random_programs.claim_of_many])
def test_programs_drawn_at_random_are_verified(data, make) -> None:  # noqa: F811
    for number in range(DRAWN):
        checked = check_claim(make(f"drawn {number}"), STORE)
        assert checked.verified, (number, checked.conventions, checked.verified_text)


def test_box_and_site_give_the_same_figures_to_the_letter(data) -> None:  # noqa: F811
    """Of a seed whose account stands still on a bar: what is left by rounding counts for no gain."""
    program, bars, options, _ = random_programs.drawn("drawn 22", True, commission=0.0)
    result = backtest(program, bars, rules="backtesting.py", **options)
    checked = check_claim(result.claim, STORE)
    there = {each["key"]: each["text"] for each in checked.figures}
    own = {each["key"]: each["text"] for each in figures(result.metrics)}
    assert checked.verified and own == {key: there[key] for key in own}


@pytest.mark.parametrize("seed", ["50", "98", "117", "h 51", "h 201", "260"])
def test_long_and_short_at_once_with_fills_at_the_close_that_decides_are_verified(data, seed) -> None:  # noqa: F811
    """Seeds whose account looked too small, or ruined too soon, in the order in which fills are listed."""
    checked = check_claim(random_programs.claim_of_one(seed, trade_on_close=True, hedging=True), STORE)
    assert checked.verified, checked.verified_text


def in_steps(size: float, price: float) -> float:
    return 12.0 * (1 + int(abs(size) * price / 1_000))


def for_sales(size: float, price: float) -> float:
    return 9.0 + abs(size) * price * 0.004 if size < 0 else 0.0


def for_purchases(size: float, price: float) -> float:
    return 9.0 + abs(size) * price * 0.004 if size > 0 else 0.0


def paid_to_makers(size: float, price: float) -> float:
    return abs(size) * price * (0.003 if size > 0 else -0.001)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (
            random_programs.claim_of_many,
            {"commission": in_steps, "cash": 1_000, "fill": "next-average", "fractional": False},
        ),
        (random_programs.claim_of_one, {"commission": for_sales, "cash": 2_000}),
        (random_programs.claim_of_one, {"commission": for_purchases, "cash": 2_000}),
        (random_programs.claim_of_one, {"commission": paid_to_makers, "cash": 2_000}),
    ],
)
def test_whatever_a_function_of_the_program_charges_is_verified(data, make, options) -> None:  # noqa: F811
    for number in range(DRAWN):
        checked = check_claim(make(f"charged {number}", **options), STORE)
        assert checked.verified, (number, checked.conventions, checked.verified_text)


class HeldFromTheStart(Strategy):
    """One order, before the first bar."""

    def init(self) -> None:
        self.buy(size=0.9)

    def next(self) -> None:
        pass


class LimitsFromTheStart(Strategy):
    def init(self) -> None:
        self.mean = self.I(lambda close: np.convolve(close, np.ones(20) / 20)[: len(close)], self.data.Close)
        self.buy(size=10, limit=150.0, sl=20.0)
        self.sell(size=5, stop=80.0)

    def next(self) -> None:
        if len(self.data) % 40 == 0:
            self.position.close()


class TurnedLater(Strategy):
    def init(self) -> None:
        self.slow = self.I(lambda close: np.append(np.full(29, np.nan), close[29:]), self.data.Close)
        self.sell(size=7)

    def next(self) -> None:
        if len(self.data) > 60 and not self.position.is_long:
            self.buy(size=9)


@pytest.mark.parametrize("strategy", [HeldFromTheStart, LimitsFromTheStart, TurnedLater])
@pytest.mark.parametrize("options", [{}, {"trade_on_close": True}, {"rules": "backtesting.py"}])
def test_what_init_orders_counts_as_decided_on_the_bar_before_the_first(
    data,  # noqa: F811
    strategy: type,
    options: dict[str, Any],
) -> None:
    result = backtest(strategy, data.prices("IBM", "2008-01-02", "2009-06-30"), **options)
    checked = check_claim(result.claim, STORE)
    assert checked.verified and checked.fills, checked.verified_text
    assert checked.orders[0]["bar"] == {TurnedLater: 29}.get(strategy, 0)
