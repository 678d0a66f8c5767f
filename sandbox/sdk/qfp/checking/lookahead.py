"""Does a strategy know the future? It is run again where the future is missing or another one; its decisions until
then have to be the same.

Three answers: clean; leak, with the first bar whose decision changes; could not test, and why. A difference counts only
where the same bars twice give the same decisions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from qfp.checking.decisions import Decision, first_difference
from qfp.checking.variations import Variation

__all__ = ["CUTS", "NotRepeatable", "Seen", "Subject", "examine"]

CUTS = 25
TAILS = 3
FIRST_BAR_SHARE = 1.0  # of the time for the test, once more, to find the first bar of a leak


class NotRepeatable(Exception):
    """The same bars gave other decisions."""


class Subject(Protocol):
    """Something that decides on bars."""

    count: int

    def decide(self, variation: Variation | None, until: int) -> list[Decision]:
        """Its decisions up to the bar `until`, which are known to be enough. Raises what the program raises."""


@dataclass
class Seen:
    """What the test has tried, and the leak if it found one."""

    cuts: int = 0
    tails: int = 0
    bar: int | None = None
    variation: Variation | None = None
    failures: list[str] = field(default_factory=list)

    @property
    def tried(self) -> int:
        return self.cuts + self.tails


def examine(
    subject: Subject,
    base: Sequence[Decision],
    seconds: float,
    run_seconds: float,
    told: Callable[[Seen], None] = lambda seen: None,
) -> Seen:
    """Cuts and other tails, as many as the time allows; at least one.

    base: the decisions over all bars. seconds: for all of it. run_seconds: what one run over all bars takes.
    told: called after each, for what is to be known if time runs out. Raises NotRepeatable.
    """
    seen = Seen()
    began = time.monotonic()
    for variation in _plan(base, subject.count):
        expected = run_seconds * (variation.cut + 1) / subject.count
        if seen.tried and time.monotonic() - began + expected > seconds:
            continue  # a shorter one may still have time
        bar = _first_difference(subject, base, variation, seen)
        told(seen)
        if bar is not None:
            seen.bar, seen.variation = bar, variation
            _check_repeatable(subject, base, variation)
            _find_first(subject, base, seen, began + seconds * (1 + FIRST_BAR_SHARE))
            break
    return seen


def _plan(base: Sequence[Decision], count: int) -> list[Variation]:
    """Where to cut: bars with orders and bars spread over time, far apart first; and other tails between them."""
    last = count - 2  # something has to come after it
    if last < 0:
        return []
    ordered = sorted({decision.bar for decision in base if decision.bar <= last})
    chosen = _spread(ordered, CUTS // 2 + 1)
    among = [round(last * (step + 1) / (CUTS + 1)) for step in range(CUTS)]
    chosen += [bar for bar in _spread(among, CUTS) if bar not in chosen][: CUTS - len(chosen)]
    sides = {decision.bar: -1 if decision.size > 0 else 1 for decision in base}
    plan: list[Variation] = []
    for number, cut in enumerate(chosen):
        plan.append(Variation(cut))
        if number < 2 * TAILS:
            plan.append(Variation(cut, sides.get(cut, 1 if number % 2 else -1), number))
    return plan


def _spread(bars: Sequence[int], most: int) -> list[int]:
    """Up to `most` of them, evenly chosen; the middle one first, then those in the middle of what is left."""
    if len(bars) > most:
        bars = [bars[round(step * (len(bars) - 1) / max(1, most - 1))] for step in range(most)]
    found, parts = [], [(0, len(bars))]
    while parts:
        low, high = parts.pop(0)
        if low < high:
            middle = (low + high) // 2
            found.append(bars[middle])
            parts += [(low, middle), (middle + 1, high)]
    return found


def _first_difference(subject: Subject, base: Sequence[Decision], variation: Variation, seen: Seen) -> int | None:
    """The first bar that is decided otherwise; a run that fails on fewer bars says nothing."""
    try:
        decided = subject.decide(variation, variation.cut)
    except Exception as error:
        seen.failures.append(f"{type(error).__name__}: {str(error)[:200]}")
        if variation.tail:
            return None
        for tail in (-1, 1):  # it may only need more bars
            bar = _first_difference(subject, base, Variation(variation.cut, tail, variation.cut), seen)
            if bar is not None:
                return bar
        return None
    if variation.tail:
        seen.tails += 1
    else:
        seen.cuts += 1
    return first_difference(base, decided, variation.cut)


def _check_repeatable(subject: Subject, base: Sequence[Decision], variation: Variation) -> None:
    if first_difference(base, subject.decide(None, variation.cut), variation.cut) is not None:
        raise NotRepeatable


def _find_first(subject: Subject, base: Sequence[Decision], seen: Seen, deadline: float) -> None:
    """Earlier bars with orders are cut at, too, the earliest first."""
    assert seen.bar is not None
    for bar in sorted({decision.bar for decision in base if decision.bar < seen.bar}):
        side = next(-1 if decision.size > 0 else 1 for decision in base if decision.bar == bar)
        for variation in (Variation(bar), Variation(bar, side, bar)):
            found = _first_difference(subject, base, variation, seen)
            if found is not None:
                seen.bar, seen.variation = found, variation
                return
        if time.monotonic() > deadline:
            return
