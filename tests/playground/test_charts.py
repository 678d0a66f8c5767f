"""The curve drawn in a page has few points and the same falls."""

import random

import numpy as np

from runner.figures import thinned


def deepest_fall(equity: list[float]) -> float:
    peak, fall = equity[0], 0.0
    for value in equity:
        peak = max(peak, value)
        fall = min(fall, value / peak - 1)
    return fall


def test_thinning_keeps_the_ends_the_order_and_the_deepest_fall():
    source = random.Random(7)
    equity = [10_000.0]
    for _ in range(4_999):
        equity.append(equity[-1] * (1 + source.gauss(0.0003, 0.012)))
    picks = thinned(np.array(equity), 400)
    thin_equity = [equity[pick] for pick in picks]
    assert len(picks) <= 400
    assert (picks[0], picks[-1]) == (0, 4_999)
    assert picks == sorted(set(picks))
    assert deepest_fall(thin_equity) == deepest_fall(equity)
    assert max(thin_equity) == max(equity) and min(thin_equity) == min(equity)


def test_a_short_curve_stays_as_it_is():
    assert thinned(np.array([1.0, 2.0, 1.5]), 400) == [0, 1, 2]
