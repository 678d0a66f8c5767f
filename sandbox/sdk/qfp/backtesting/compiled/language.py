"""Which words does the small typed Python have that becomes machine code? Each as the ordinary function it stands for.

Beside these it has int, float and bool, if, while, for over range(), and, or, not, comparisons, arithmetic, conditional
expressions, `:=`, columns and the record. Nothing is checked: whole numbers wrap, an index is taken as it is, `>>`
fills up with zeros.
"""

from __future__ import annotations

import ctypes
import math
import operator
import struct
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any

__all__ = [
    "COMPENSATED",
    "Failed",
    "absolute",
    "all_below16",
    "at_most64",
    "bits",
    "both16",
    "called",
    "column",
    "copysign",
    "either16",
    "equal64",
    "floor",
    "fmod",
    "from_bits",
    "fused",
    "is_finite",
    "least16",
    "less64",
    "look_ahead",
    "lowest_bit",
    "must",
    "products128",
    "resize",
    "rint",
    "row",
    "scaled8",
    "shifted16",
    "unlike64",
    "whole",
]

# From Python 3.12 on, sum() carries along what rounding takes away.
COMPENSATED = sys.version_info >= (3, 12)

row = list  # of values that are a place in every row of a table
copysign, fmod, is_finite = math.copysign, math.fmod, math.isfinite


class Failed(Exception):
    """A function that met what it cannot do; as machine code it returns -1."""


def must(condition: bool, value: Any = None) -> Any:
    """The value, where the condition holds; otherwise the function ends there as failed."""
    if not condition:
        raise Failed
    return value


def resize(column: list[Any], room: int) -> list[Any]:
    """The column with room for so many values. Fails where there is no memory."""
    return column + [0] * (room - len(column))


def rint(value: float) -> float:
    """The next whole number, from the middle between two the even one."""
    return math.copysign(round(value), value)


def floor(value: float) -> float:
    """The next whole number below."""
    return float(math.floor(value))


def called(function: int, record: Any) -> int:
    """What the function at a place in memory answers to the record. Machine code has it alone."""
    raise Failed


def column(place: int) -> Any:
    """A place in memory as a column of floats. Machine code has it alone."""
    raise Failed


def fused(one: float, other: float, more: float) -> float:
    """one * other + more, rounded once."""
    return float(Fraction(one) * Fraction(other) + Fraction(more))


def whole(value: float) -> int:
    """Of a float without a fraction."""
    return int(value)


def absolute(value: float) -> float:
    """Without its sign."""
    return abs(value)


def bits(value: float) -> int:
    """A float as the whole number that has the same bits; below 0 where it has a minus."""
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


def from_bits(value: int) -> float:
    """The float with these bits."""
    return float(struct.unpack("<d", struct.pack("<q", value))[0])


def look_ahead(column: list[float], at: int) -> int:
    """Have a processor fetch a value that will be asked for soon. Nothing else comes of it, wherever the place is."""
    return 0


def lowest_bit(value: int) -> int:
    """The place of the first bit that is set; there is one."""
    return (value & -value).bit_length() - 1


_ALL = (1 << 64) - 1


def _signed(value: int) -> int:
    value &= _ALL
    return value - (1 << 64) if value >> 63 else value


def _compare64(compare: Callable[[float, float], bool]) -> Callable[[int, int], int]:
    """64 floats from one place in memory with 64 from another: a bit for each pair, the first one the lowest."""

    def compared(one: int, other: int) -> int:
        pairs = zip(*((ctypes.c_double * 64).from_address(place) for place in (one, other)), strict=True)
        found = sum(compare(left, right) << at for at, (left, right) in enumerate(pairs))
        return _signed(found)

    return compared


less64, at_most64 = _compare64(operator.lt), _compare64(operator.le)
equal64, unlike64 = _compare64(operator.eq), _compare64(operator.ne)


def all_below16(column: list[float], at: int, limit: float) -> bool:
    """Whether 16 values from one place on are below a number."""
    return all(value < limit for value in column[at : at + 16])


def least16(column: list[float], at: int, start: float) -> float:
    """The least of 16 values from one place on, none of them missing, and a number."""
    return min(start, *column[at : at + 16])


def both16(column: list[int], one: int, other: int, to: int) -> int:
    """Of 16 words from one place of a column on, and as many from another, the bits that are set in both."""
    column[to : to + 16] = [left & right for left, right in zip(column[one:], column[other : other + 16], strict=False)]
    return 0


def either16(column: list[int], one: int, other: int, to: int) -> int:
    """The same, but the bits that are set in one of them."""
    column[to : to + 16] = [left | right for left, right in zip(column[one:], column[other : other + 16], strict=False)]
    return 0


def shifted16(column: list[int], one: int, count: int, to: int) -> int:
    """16 words from one place of a column on, their bits so far on: those of the word before each come into it."""
    column[to : to + 16] = [
        _signed(now << count | (before & _ALL) >> 64 - count)
        for now, before in zip(column[one : one + 16], column[one - 1 : one + 15], strict=True)
    ]
    return 0


def scaled8(column: list[float], at: int, factor: float, less: float, more: float, out: list[float], to: int) -> int:
    """Eight values times a factor, less a number, and another more, from one place of a column to one of another."""
    out[to : to + 8] = [value * factor - less + more for value in column[at : at + 8]]
    return 0


def products128(
    own: list[float],
    market: list[float],
    at: int,
    own_mean: float,
    mean: float,
    together: list[float],
    alone: list[float],
    to: int,
) -> int:
    """The sums of 128 products, from one place of two columns on, to one of two others: of the columns' steps, each
    less its mean, and of the second's with themselves. In the order in which NumPy adds up so many: eight sums side by
    side, then in pairs.
    """
    far = [
        [column[here + 1] - column[here] - usual for here in range(at, at + 128)]
        for column, usual in ((own, own_mean), (market, mean))
    ]
    for steps, sums in zip(far, (together, alone), strict=True):
        products = [one * other for one, other in zip(steps, far[1], strict=True)]
        parts = products[:8]
        for here in range(8, 128):
            parts[here % 8] += products[here]
        while len(parts) > 1:
            parts = [one + other for one, other in zip(parts[::2], parts[1::2], strict=True)]
        sums[to] = parts[0]
    return 0
