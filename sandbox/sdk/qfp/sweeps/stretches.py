"""Which bars does a walk-forward learn from, and which does it trade?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Window", "places_of", "windows_of"]


@dataclass(frozen=True)
class Window:
    """Bars by number, the stops not included: what is learnt from, and what is traded."""

    train_start: int
    train_stop: int
    test_start: int
    test_stop: int


def windows_of(
    count: int, train: int, test: int, purge: int = 0, embargo: int = 0, anchored: bool = False
) -> list[Window]:
    """The windows over so many bars. Test windows follow each other without a gap and never overlap; between the bars
    that were learnt from and those that are traded lie purge + embargo bars that are in neither.
    """
    for name, value, least in (("train", train, 2), ("test", test, 1), ("purge", purge, 0), ("embargo", embargo, 0)):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
    gap = purge + embargo
    found = []
    at = train + gap
    while at < count:
        stop = min(at + test, count)
        found.append(Window(0 if anchored else at - gap - train, at - gap, at, stop))
        at = stop
    if not found:
        raise ValueError(f"{count} bars are too few: a window needs more than {train} to choose on and {gap} between")
    return found


def places_of(index: Any, window: Window) -> dict[str, Any]:
    """Where a window looks and trades, as its sweep tells it: bars by number, and their dates."""
    seen = index[window.train_start], index[window.train_stop - 1]
    tested = index[window.test_start], index[window.test_stop - 1]
    return {
        "window": [window.train_start, window.train_stop, window.test_start, window.test_stop],
        "train": [each.isoformat() for each in seen],
        "test": [each.isoformat() for each in tested],
    }
