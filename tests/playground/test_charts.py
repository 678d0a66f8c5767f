"""The curve drawn in a page has few points and the same falls."""

import random

from playground.templatetags.charts import thinned


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
    dates = [f"{day:05d}" for day in range(5_000)]
    thin_dates, thin_equity = thinned(dates, equity)
    assert len(thin_dates) == len(thin_equity) <= 482
    assert (thin_dates[0], thin_dates[-1]) == (dates[0], dates[-1])
    assert thin_dates == sorted(thin_dates)
    assert deepest_fall(thin_equity) == deepest_fall(equity)
    assert max(thin_equity) == max(equity) and min(thin_equity) == min(equity)


def test_a_short_curve_stays_as_it_is():
    assert thinned(["a", "b", "c"], [1.0, 2.0, 1.5]) == (["a", "b", "c"], [1.0, 2.0, 1.5])
