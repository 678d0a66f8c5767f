"""What takes one pass over a column? Averages, as machine code.

Written in the same small part of Python as kernel.py, and translated together with it. Each does, operation by
operation, what pandas or NumPy do in several passes, so that the values are theirs to the last bit.
"""

from __future__ import annotations

from qfp.backtesting.compiled.language import absolute, bits, from_bits

INFINITE = 1e999
MISSING = 9221120237041090560  # the bits of the NaN that pandas writes


def moving_average(values: list[float], count: int, window: int, out: list[float]) -> int:
    """The mean of the last `window` values; missing until there are so many, and where one of them is missing.

    Sums are carried on, what enters and what leaves each with the rounding it lost, and a window of equal values or of
    values of one sign has no other mean, as pandas.Series.rolling().mean() has it.
    """
    total = 0.0
    lost_adding = 0.0
    lost_removing = 0.0
    known = 0
    negative = 0
    alike = 0
    before = values[0]
    for at in range(count):
        if at >= window:
            value = values[at - window]
            if absolute(value) < INFINITE:
                known = known - 1
                part = -value - lost_removing
                sum_ = total + part
                lost_removing = sum_ - total - part
                total = sum_
                if bits(value) < 0:
                    negative = negative - 1
        value = values[at]
        if absolute(value) < INFINITE:
            known = known + 1
            part = value - lost_adding
            sum_ = total + part
            lost_adding = sum_ - total - part
            total = sum_
            if bits(value) < 0:
                negative = negative + 1
            if value == before:
                alike = alike + 1
            else:
                alike = 1
            before = value
        mean = from_bits(MISSING)
        if known >= window:
            mean = total / known
            if alike >= known:
                mean = before
            elif (negative == 0 and mean < 0.0) or (negative == known and mean > 0.0):
                mean = 0.0
        out[at] = mean
    return 0
