"""Does a strategy know the future? It is run again where the future is missing or another one; its decisions until
then have to be the same.

Three answers: clean; leak, with the first bar whose decision changes; could not test, and why. Where the same bars
twice give other decisions, only those that are the same each time are compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Protocol

from qfp import checking
from qfp.checking.apart import error_text
from qfp.checking.clock import Clock
from qfp.checking.decisions import Decision, first_difference
from qfp.checking.repeating import lasting
from qfp.checking.telling import Telling
from qfp.checking.variations import Variation

__all__ = ["CUTS", "NotRepeatable", "Seen", "Subject", "examine"]

CUTS = 25
TAILS = 3
FEW_ORDERS = 4
FEW, FEW_SECONDS = 6, 1.0  # so many are tried on a busy machine, too
TWICE = 3  # times that both are made again which differ
# To find the first bar of a leak, once there is one.
FIRST_BAR_SECONDS = 1.5


class NotRepeatable(Exception):
    """The same bars gave other decisions, or an error, which is the text then."""


class Subject(Protocol):
    """Something that decides on bars."""

    @property
    def count(self) -> int: ...

    @property
    def tails_are_whole(self) -> bool:
        """Whether another tail takes as long as all bars do."""
        ...

    def decide(self, variation: Variation | None, until: int) -> list[Decision]:
        """Its decisions up to the bar `until`, which are known to be enough. Raises what the program raises."""


@dataclass
class Seen:
    """What the test has tried, and the leak if it found one.

    cuts_tell: until one changed a decision that other prices did not; it follows where data end, then. repeats: whether
    the same bars gave the same decisions, as far as they were tried twice; where not, lasting are those that change
    with later data however often both are run.
    """

    cuts: int = 0
    tails: int = 0
    bar: int | None = None
    variation: Variation | None = None
    cuts_tell: bool = True
    repeats: bool = True
    lasting: list[Decision] = field(default_factory=list)
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
    telling: Telling | None = None,
) -> Seen:
    """Cuts and other tails, as many as the time allows; at least one.

    base: the decisions over all bars. seconds: for all of it. run_seconds: what one run over all bars takes.
    told: called after each, for what is to be known if time runs out. telling: which bars earned
    most. Raises NotRepeatable.
    """
    seen = Seen()
    test = _Test(subject, base, seen, Clock.within(checking.time_left(), seconds), run_seconds)
    plan = _plan(base, subject.count, telling or Telling())
    deadline = 0.0  # for what is followed where the same bars give other decisions
    shortest = min(plan, key=test.expected, default=None)
    for planned in plan:
        variation = planned if seen.cuts_tell or planned.tail else test.along(planned.cut)
        few = seen.tried < FEW and test.passed + test.expected(variation) < FEW_SECONDS
        if not few and not test.has_time(variation, seconds) and (seen.tried or variation is not shortest):
            continue  # a shorter one may still have time
        bar = test.first_difference(variation, seconds)
        told(seen)
        if bar is not None:
            if not test.is_confirmed(variation):
                seen.cuts_tell = False
                continue
            if seen.repeats and test.is_repeated(test.passed + 2 * seconds):
                seen.bar, seen.variation = bar, variation
                test.find_first(test.passed + max(seconds, FIRST_BAR_SECONDS))
                break
            if seen.repeats:
                seen.repeats, deadline = False, test.passed + max(seconds, FIRST_BAR_SECONDS)
            if test.follow(variation, deadline):
                break
    if not seen.repeats and seen.bar is None:
        raise NotRepeatable
    return seen


def _plan(base: Sequence[Decision], count: int, telling: Telling) -> list[Variation]:
    """Where to cut: bars whose trades earned most, and between them bars with orders and bars spread over time, far
    apart first; and other tails between them. What a program does at its end, after the largest moves of prices, and
    seldom, has an early place.
    """
    last = count - 2  # something has to come after it
    if last < 0:
        return []
    ordered = sorted({decision.bar for decision in base if decision.bar <= last})
    first, latest = (ordered[0], ordered[-1]) if ordered else (0, last)
    ordered = sorted(telling.filled.intersection(ordered)) or ordered
    chosen = _spread(ordered, CUTS // 2 + 1)
    among = [round(last * (step + 1) / (CUTS + 1)) for step in range(CUTS)]
    chosen += [bar for bar in _spread(among, CUTS) if bar not in chosen]
    best, *chosen = _mixed([bar for bar in telling.best if 0 <= bar <= last], chosen)[:CUTS]
    sides = {decision.bar: -1 if decision.size > 0 else 1 for decision in base}
    sides |= {bar: -side for bar, side in telling.sides.items()}

    def against(cut: int, number: int, along: int = 1) -> Variation:
        return Variation(cut, along * sides.get(cut, 1 if number % 2 else -1), number)

    special = [Variation(latest)]
    for bar in [*telling.moves, latest]:
        special += [against(bar, 1), against(bar, 3, along=-1)]
    special += [Variation(_rarest(base, last, latest)), Variation(first)]
    usual: list[Variation] = []
    for number, cut in enumerate(chosen, 1):
        usual += [Variation(cut), against(cut, number)] if number < 2 * TAILS else [Variation(cut)]
    # Where there is little time, these three tell the most: the second for what is reckoned over everything.
    over_all = Variation(ordered[len(ordered) // 8]) if len(ordered) >= FEW_ORDERS else against(last // 2, 3, along=-1)
    plan = [against(best, 0), over_all, Variation(best)]
    plan += special[:2]
    plan += [each for two in zip_longest(usual, special[2:]) for each in two if each is not None]
    plan = [each for each in plan if each.cut <= last]
    return list(dict.fromkeys(plan))


def _rarest(base: Sequence[Decision], last: int, otherwise: int) -> int:
    """A bar with an order of the kind that is given least often."""
    kinds = Counter((decision.kind, decision.size > 0) for decision in base if decision.bar <= last)
    if not kinds:
        return otherwise
    rarest = min(kinds, key=lambda kind: kinds[kind])
    bars = [decision.bar for decision in base if decision.bar <= last and (decision.kind, decision.size > 0) == rarest]
    return bars[len(bars) // 2]


def _mixed(best: list[int], others: list[int]) -> list[int]:
    """Each once: one of the best, one of the others, and from then on two of the best for one of the others."""
    mixed, waiting = best[:1], others[:]
    for at in range(1, len(best) + 2, 2):
        mixed += [*waiting[:1], *best[at : at + 2]]
        del waiting[:1]
    return list(dict.fromkeys(mixed + waiting))


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


@dataclass
class _Test:
    subject: Subject
    base: Sequence[Decision]
    seen: Seen
    clock: Clock
    run_seconds: float
    slowest: float = 0.0  # of the runs so far
    last: tuple[Variation, Sequence[Decision]] = (Variation(0), ())  # that was tried, and what it gave
    again: Sequence[Decision] = ()  # over the same bars

    @property
    def passed(self) -> float:
        return self.clock.passed

    def expected(self, variation: Variation) -> float:
        """Seconds that a run takes."""
        whole = variation.tail and self.subject.tails_are_whole
        expected = self.run_seconds * (1.0 if whole else (variation.cut + 1) / self.subject.count)
        if self.slowest:  # the first run of a program does what later ones find done
            expected = min(expected, 1.5 * self.slowest)
        return expected

    def has_time(self, variation: Variation, seconds: float) -> bool:
        return self.passed + self.expected(variation) <= seconds

    def decide(self, variation: Variation) -> Sequence[Decision]:
        clock = Clock(self.clock.slowness)
        try:
            return self.subject.decide(variation, variation.cut)
        finally:
            self.slowest = max(self.slowest, clock.passed)

    def first_difference(self, variation: Variation, seconds: float) -> int | None:
        """The first bar that is decided otherwise; a run that fails on fewer bars says nothing."""
        try:
            decided = self.decide(variation)
        except Exception as error:
            self.seen.failures.append(error_text(error))
            return None if variation.tail else self._over_as_many_bars(variation.cut, seconds)
        if variation.tail:
            self.seen.tails += 1
        else:
            self.seen.cuts += 1
        self.last = variation, decided
        return first_difference(self.base, decided, variation.cut)

    def _over_as_many_bars(self, cut: int, seconds: float) -> int | None:
        side = self._against(cut)
        for tail in (side, -side):
            variation = Variation(cut, tail, cut)
            if self.seen.tried and not self.has_time(variation, seconds):
                return None
            bar = self.first_difference(variation, seconds)
            if bar is not None:
                return bar
        return None

    def _against(self, bar: int) -> int:
        """The side to which prices have to go to make the order of this bar a mistake."""
        return next((-1 if decision.size > 0 else 1 for decision in self.base if decision.bar == bar), -1)

    def along(self, cut: int) -> Variation:
        """Prices that go on as the order of this bar hopes; instead of a cut, where those say nothing."""
        return Variation(cut, -self._against(cut), 3)

    def is_repeated(self, seconds: float) -> bool:
        """Whether the same bars gave the same decisions, all of them, and what was tried the same others again. Some
        times, where there is time: what is drawn on one bar alone is often the same twice.
        """
        variation, decided = self.last
        for turn in range(TWICE):
            if turn and not self.has_time(Variation(self.subject.count - 1), seconds):
                break
            self.again = self._again()
            if first_difference(self.base, self.again, self.subject.count - 1) is not None:
                return False
            try:
                if first_difference(decided, self.decide(variation), variation.cut) is not None:
                    return False
            except Exception:
                return False
        return True

    def _again(self) -> Sequence[Decision]:
        try:
            return self.subject.decide(None, self.subject.count - 1)
        except Exception as error:
            raise NotRepeatable(f"run again it fails: {str(error)[:200]}") from None

    def follow(self, variation: Variation, seconds: float) -> bool:
        """Whether something that is the same each time changes with later prices; that data end is no reason here."""
        cut = variation.cut
        if not variation.tail:
            variation = Variation(cut, self._against(cut), 1)

        def until(decisions: Sequence[Decision]) -> list[Decision]:
            return [decision for decision in decisions if decision.bar <= cut]

        def run(on: Variation | None) -> list[Decision] | None:
            if not self.has_time(on or Variation(self.subject.count - 1), seconds):
                return None
            return until(self._again() if on is None else self.decide(on))

        try:
            other = run(variation)
            if other is not None:
                known = until(self.base), until(self.again), other
                self.seen.lasting = lasting(*known, lambda: run(None), lambda: run(variation))
        except NotRepeatable:
            raise
        except Exception:  # on other prices it fails at times
            return False
        if self.seen.lasting:
            self.seen.bar, self.seen.variation = min(each.bar for each in self.seen.lasting), variation
        return bool(self.seen.lasting)

    def is_confirmed(self, variation: Variation) -> bool:
        """Whether other prices change it, too. That data end is known to a program which closes on the last bar, or
        trains on the first half of them; that is no knowledge of prices.
        """
        if variation.tail:
            return True
        side, tried = self._against(variation.cut), 0
        for tail, seed in ((side, 1), (-side, 3), (side, 2)):
            other = Variation(variation.cut, tail, seed)
            try:
                decided = self.decide(other)
            except Exception:  # noqa: S112  it says nothing
                continue
            tried += 1
            if first_difference(self.base, decided, variation.cut) is not None:
                return True
        return not tried

    def find_first(self, seconds: float) -> None:
        """Earlier bars are cut at, too: those with orders, the earliest first, then as many others as time allows."""
        ordered = sorted({decision.bar for decision in self.base})
        for bar in ordered:
            if bar >= self._first or self._look_at(bar, seconds, against=True):
                break
        far = 1
        while far < self._first and not self._look_at(far, seconds):
            far *= 2
        for bar in range(far // 2 + 1, self._first):
            if bar >= self._first or self._look_at(bar, seconds):
                break

    @property
    def _first(self) -> int:
        assert self.seen.bar is not None
        return self.seen.bar

    def _look_at(self, bar: int, seconds: float, against: bool = False) -> bool:
        """Whether a cut there shows the leak, or time is over."""
        tail = Variation(bar, self._against(bar), bar)
        cut = Variation(bar) if self.seen.cuts_tell else self.along(bar)
        for variation in (cut, tail) if against else (cut,):
            if not self.has_time(variation, seconds):
                return True
            try:
                found = first_difference(self.base, self.decide(variation), bar)
            except Exception:  # noqa: S112  too few bars for it
                continue
            if found is not None:
                self.seen.bar, self.seen.variation = found, variation
                return True
        return False
