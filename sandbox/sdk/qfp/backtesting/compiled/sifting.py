"""Which is the next bar on which next() may do something? Steps over words of 64 bits, a bit for each bar.

Written in the same small part of Python as kernel.py, and translated together with it; sieve.py makes the steps. Some
words are made at a time, and one before them for what looks back.
"""

from __future__ import annotations

from qfp.backtesting.compiled.language import (
    at_most64,
    both16,
    column,
    either16,
    equal64,
    less64,
    look_ahead,
    lowest_bit,
    shifted16,
    unlike64,
)
from qfp.backtesting.compiled.record import Account

SHIFT, BOTH, EITHER = 4, 5, 6
WORDS = 17  # of a step
NOWHERE = -99
TOLD = -2  # by its twin
FAR = 100_000  # bars from which on a processor does not keep all prices near
BELOW, ABOVE = 0, 1  # numbers: closes between which the account cannot be ruined


def aim(a: Account) -> int:
    """Where the operands of this run are."""
    for k in range(a.operands):
        if a.q_line[k] >= 0:
            a.q_place[k] = a.lines[a.q_line[k]] - 8 * a.q_back[k]
    a.sifted_from = NOWHERE
    a.fetched = NOWHERE
    return 0


def set_number(a: Account, number: int, value: float) -> int:
    if a.numbers[64 * number] != value:
        write_number(a, number, value)
        a.sifted_from = NOWHERE
    return 0


def write_number(a: Account, number: int, value: float) -> int:
    for k in range(64):
        a.numbers[64 * number + k] = value
    return 0


def next_bar(a: Account, bar: int, below: float, above: float) -> int:
    """The first one from `bar` on where the condition holds, or the close is not between these; or one beyond."""
    if bar < a.sieve_begin or a.count < 64 + a.sieve_back:
        return bar
    watched = below >= a.lowest or above <= a.highest
    if watched:
        write_number(a, BELOW, below)
        write_number(a, ABOVE, above)
    while bar < a.count:
        word = bar >> 6
        at = word - a.sifted_from
        if at < 0 or at >= a.block:
            sift(a, word)
            at = 0
        found = a.sifted[WORDS * (a.steps - 1) + 1 + at]
        if watched:
            found = found | compared(a, 1, a.operands, a.operands + 1, 64 * word)
            found = found | compared(a, 1, a.operands + 2, a.operands, 64 * word)
        found = found & (-1 << (bar & 63))
        if found != 0:
            if a.count > FAR:
                fetch_next(a, word)
            return 64 * word + lowest_bit(found)
        bar = 64 * (word + 1)
    return bar


def fetch_next(a: Account, word: int) -> int:
    """Have the prices of the next word fetched: an order given on a bar fills on the next one. A line of memory has
    eight; to pick those of the bars that will be found takes longer than to fetch them all.
    """
    if a.fetched != word:
        a.fetched = word
        for bar in range(64 * (word + 1), 64 * (word + 2), 8):
            look_ahead(a.opens, bar)
            look_ahead(a.closes, bar)
            if a.terms > 0:  # orders at the market ask for no more
                look_ahead(a.highs, bar)
                look_ahead(a.lows, bar)
            for k in range(a.operands):
                if a.q_step[k] != 0:
                    look_ahead(column(a.q_place[k]), bar + 64 * a.block)
    return 0


def sift(a: Account, word: int) -> int:
    """The words of every step: the one before this one, this one, and some after it."""
    for k in range(a.steps):
        if a.i_what[k] < SHIFT:
            if word == a.sifted_from + a.block:
                a.sifted[WORDS * k] = a.sifted[WORDS * k + a.block]
            else:
                a.sifted[WORDS * k] = compared(a, a.i_what[k], a.i_one[k], a.i_other[k], 64 * (word - 1))
    a.sifted_from = word
    for k in range(a.steps):
        what = a.i_what[k]
        one = a.i_one[k]
        other = a.i_other[k]
        to = WORDS * k
        if what < SHIFT:
            compare(a, k, word)
        elif what == SHIFT:
            shifted16(a.sifted, WORDS * one + 1, other, to + 1)
        elif what == BOTH:
            both16(a.sifted, WORDS * one + 1, WORDS * other + 1, to + 1)
        elif what == EITHER:
            either16(a.sifted, WORDS * one + 1, WORDS * other + 1, to + 1)
        else:
            for w in range(1, a.block + 1):
                a.sifted[to + w] = -1 - a.sifted[WORDS * one + w]
    return 0


def compare(a: Account, k: int, word: int) -> int:
    """The words of a comparison, from this one on. A twin is the same one with its sides exchanged: what is loaded
    serves both. Where the first word has no values that are equal or missing, the others are not asked for them: what
    is not less counts as more, and a bar too many may be visited.
    """
    what = a.i_what[k]
    one = a.i_one[k]
    other = a.i_other[k]
    twin = a.i_twin[k]
    if twin == TOLD:
        return 0
    whole = (a.count >> 6) - word  # words of which all 64 bars are there
    if whole > a.block:
        whole = a.block
    w = 0
    if word == 0 and a.sieve_back > 0:
        whole = 0
    left = a.q_place[one] + 512 * word * a.q_step[one]
    right = a.q_place[other] + 512 * word * a.q_step[other]
    onward = 512 * a.q_step[one]
    further = 512 * a.q_step[other]
    to = WORDS * k + 1
    if what == 0 and twin >= 0:
        its = WORDS * twin + 1
        while w < whole:
            found = less64(left, right)
            exchanged = less64(right, left)
            a.sifted[to + w] = found
            a.sifted[its + w] = exchanged
            left = left + onward
            right = right + further
            w = w + 1
            if (found | exchanged) == -1 and a.i_loose[k] != 0:
                while w < whole:
                    found = less64(left, right)
                    a.sifted[to + w] = found
                    a.sifted[its + w] = -1 - found
                    left = left + onward
                    right = right + further
                    w = w + 1
    elif what == 0:
        while w < whole:
            a.sifted[to + w] = less64(left, right)
            left = left + onward
            right = right + further
            w = w + 1
    while w < a.block:
        a.sifted[to + w] = compared(a, what, one, other, 64 * (word + w))
        if twin >= 0:
            a.sifted[WORDS * twin + 1 + w] = compared(a, what, other, one, 64 * (word + w))
        w = w + 1
    return 0


def compared(a: Account, what: int, one: int, other: int, bar: int) -> int:
    """A comparison of 64 bars from `bar` on. Nothing is read that is not of the columns: 0 for what is not."""
    late = 0
    if bar < a.sieve_back or bar >= a.count:
        return 0
    if bar + 64 > a.count:
        late = bar + 64 - a.count
    left = a.q_place[one] + 8 * (bar - late) * a.q_step[one]
    right = a.q_place[other] + 8 * (bar - late) * a.q_step[other]
    found = 0
    if what == 0:
        found = less64(left, right)
    elif what == 1:
        found = at_most64(left, right)
    elif what == 2:
        found = equal64(left, right)
    else:
        found = unlike64(left, right)
    return found >> late
