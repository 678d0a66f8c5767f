"""Which words does the small typed Python have that becomes machine code? Each as the ordinary function it stands for.

Beside these it has int, float and bool, if, while, for over range(), and, or, not, comparisons, arithmetic, conditional
expressions, `:=`, columns and the record. Nothing is checked: whole numbers wrap, an index is taken as it is.
"""

from __future__ import annotations

import math
import struct
import sys
from typing import Any

__all__ = [
    "COMPENSATED",
    "Failed",
    "absolute",
    "bits",
    "copysign",
    "floor",
    "fmod",
    "from_bits",
    "is_finite",
    "must",
    "resize",
    "rint",
]

# From Python 3.12 on, sum() carries along what rounding takes away.
COMPENSATED = sys.version_info >= (3, 12)

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


def absolute(value: float) -> float:
    """Without its sign."""
    return abs(value)


def bits(value: float) -> int:
    """A float as the whole number that has the same bits; below 0 where it has a minus."""
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


def from_bits(value: int) -> float:
    """The float with these bits."""
    return float(struct.unpack("<d", struct.pack("<q", value))[0])
