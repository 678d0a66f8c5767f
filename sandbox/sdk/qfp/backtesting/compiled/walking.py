"""What do the figures ask of every trade and bar? Profits, drawdowns, products of which slopes are made; machine code.

Written in the same small part of Python as kernel.py, and translated together with it. What is found is what NumPy
finds in several passes, to the last bit.
"""

from __future__ import annotations

from qfp.backtesting.compiled.language import absolute, all_below16, copysign, least16, must, products128, whole
from qfp.backtesting.compiled.record import Account

INFINITE = 1e999
WHOLE = 8192  # bars whose products are added up by themselves; as in walkers.py


def closed_figures(a: Account, bars: list[int], reals: list[float]) -> int:
    """Of closed trades the bars of entry and exit; and the commissions, the profits and the returns."""
    count = a.closed
    for k in range(count):
        trade = a.closed_ids[k]
        size = a.t_size[trade]
        entry = a.t_price[trade]
        last = a.t_exit_price[trade]
        paid = a.t_commission[trade]
        bars[k] = a.t_bar[trade]
        bars[count + k] = a.t_exit_bar[trade]
        reals[k] = paid
        reals[count + k] = size * (last - entry) - paid
        reals[2 * count + k] = copysign(1.0, size) * (last / entry - 1.0) - paid / (absolute(size) * entry)
    return 0


def drawdowns(
    equity: list[float],
    count: int,
    first: int,
    last: int,
    begins: list[int],
    ends: list[int],
    depths: list[float],
    room: int,
    state: list[float],
) -> int:
    """How many drawdowns there were: the bar of the peak, the bar of recovery or the last one, the deepest of each.

    One piece of a curve after the other. first: the bar this one begins at; last: the last one of all. Depths are
    fractions below the highest value so far. state: that value, its last bar, the lowest value since then, the deepest
    so far, and how many. Fails where a value is missing, where the highest is not above 0 and finite, and where there
    are more than `room`. As 1 - value / peak never grows with the value, and is 0 at the peak alone, one division for
    each drawdown finds what one for each bar would.
    """
    peak = state[0]
    peak_at = whole(state[1])
    low = state[2]
    most = state[3]
    found = whole(state[4])
    at = 0
    must(peak > 0.0 and peak < INFINITE)
    while at < count:
        while at + 16 <= count and first + at + 16 <= last and all_below16(equity, at, peak):
            low = least16(equity, at, low)
            at = at + 16
        stop = at + 16 if at + 16 < count else count
        while at < stop:
            value = equity[at]
            must(value == value)
            if value < low:
                low = value
            if value >= peak or first + at == last:
                depth = 1.0 - low / peak if low < peak else 0.0
                if depth > most:
                    most = depth
                if first + at - peak_at > 1:
                    must(found < room)
                    begins[found] = peak_at
                    ends[found] = first + at
                    depths[found] = depth
                    found = found + 1
                peak_at = first + at
                low = INFINITE
                if value > peak:
                    peak = value
                    must(peak < INFINITE)
            at = at + 1
    state[0] = peak
    state[1] = float(peak_at)
    state[2] = low
    state[3] = most
    state[4] = float(found)
    return found


def products(own: list[float], market: list[float], count: int, sums: list[float]) -> int:
    """From `count` + 1 logarithms of two series: how far their steps are from the mean, multiplied with each other, and
    the second's with themselves. sums: the means of the steps of each, and what the products so far add up to. Those of
    8,192 steps are added up as NumPy does it; how many are left at the end is the answer, and their products are where
    their logarithms were.
    """
    own_mean = sums[0]
    mean = sums[1]
    begin = 0
    while begin + WHOLE <= count:
        left = WHOLE >> 7
        for k in range(left):
            products128(own, market, begin + 128 * k, own_mean, mean, own, market, begin + k)
        while left > 1:
            left = left >> 1
            for k in range(begin, begin + left):
                own[k] = own[2 * k - begin] + own[2 * k - begin + 1]
                market[k] = market[2 * k - begin] + market[2 * k - begin + 1]
        sums[2] = sums[2] + own[begin]
        sums[3] = sums[3] + market[begin]
        begin = begin + WHOLE
    for at in range(begin, count):
        far = market[at + 1] - market[at] - mean
        own[at] = (own[at + 1] - own[at] - own_mean) * far
        market[at] = far * far
    return count - begin
