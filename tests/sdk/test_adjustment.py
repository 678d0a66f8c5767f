"""Hand-worked corporate actions."""

from __future__ import annotations

import numpy as np
import pytest
from qfp.adjustment import adjust, factors


def bars(close, split=None, dividend=None):
    close = np.array(close, dtype=float)
    return {
        "open": close.copy(),
        "close": close,
        "volume": np.full(len(close), 100.0),
        "dividend": np.array(dividend or [0] * len(close), dtype=float),
        "split": np.array(split or [1] * len(close), dtype=float),
    }


def test_two_for_one_split_halves_earlier_prices_and_doubles_earlier_volume():
    adjusted = adjust(bars([100, 104, 53, 54], split=[1, 1, 2, 1]), "split")
    assert adjusted["close"].tolist() == [50, 52, 53, 54]
    assert adjusted["volume"].tolist() == [200, 200, 100, 100]
    assert adjusted["split"].tolist() == [1, 1, 2, 1]


def test_special_dividend_of_3_08_by_the_previous_close():
    # 29.97 before, ex-date close 27.39: every earlier price times 1 - 3.08 / 29.97
    adjusted = adjust(bars([30.0, 29.97, 27.39], dividend=[0, 0, 3.08]), "all")
    factor = 1 - 3.08 / 29.97
    assert adjusted["close"] == pytest.approx([30.0 * factor, 29.97 * factor, 27.39], rel=1e-14)
    assert adjusted["volume"].tolist() == [100, 100, 100]


def test_the_other_dividend_convention_uses_the_ex_date_close():
    prices, _ = factors([30.0, 29.97, 27.39], [1, 1, 1], [0, 0, 3.08], "all", "ex_close")
    assert prices == pytest.approx([1 / (1 + 3.08 / 27.39)] * 2 + [1], rel=1e-14)


def test_ordinary_dividend_before_a_split_is_given_in_todays_shares():
    # 0.50 paid on the second day (0.25 in today's shares), two for one on the fourth
    adjusted = adjust(bars([50, 49.5, 50, 26], split=[1, 1, 1, 2], dividend=[0, 0.5, 0, 0]), "all")
    assert adjusted["close"] == pytest.approx([50 * (1 - 0.5 / 50) / 2, 24.75, 25, 26])
    assert adjusted["dividend"].tolist() == [0, 0.25, 0, 0]


def test_split_and_dividend_on_one_day_compare_the_dividend_with_the_price_of_the_new_shares():
    prices, volumes = factors([100, 49], [1, 2], [0, 1], "all")
    assert prices == pytest.approx([0.5 * (1 - 1 / 50), 1])
    assert volumes.tolist() == [2, 1]


def test_split_mode_leaves_dividends_out_and_none_changes_nothing():
    raw = bars([30.0, 29.97, 27.39], dividend=[0, 0, 3.08])
    assert adjust(raw, "split")["close"].tolist() == raw["close"].tolist()
    assert adjust(raw, None)["close"] is raw["close"]


def test_an_action_on_the_first_bar_changes_nothing():
    prices, volumes = factors([10, 11], [2, 1], [1, 0], "all")
    assert prices.tolist() == [1, 1] and volumes.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("split", "dividend", "mode"),
    [([1, 0], [0, 0], "all"), ([1, 1], [0, 12], "all"), ([1, 1], [0, -1], "all"), ([1, 1], [0, 0], "both")],
)
def test_impossible_actions_are_refused(split, dividend, mode):
    with pytest.raises(ValueError, match=r"split|dividend|adjust"):
        factors([10, 11], split, dividend, mode)


def test_no_bars_give_no_factors():
    assert [len(values) for values in factors([], [], [], "all")] == [0, 0]
