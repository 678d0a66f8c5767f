"""What of a program's decisions can be compared where random numbers change some of them from run to run?

Those that are made alike whenever the data are the same. One of them that every run on the same data makes, and no run
on other later data, or the other way around, follows what came later; one that is drawn would be made here and there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from qfp.checking.decisions import Decision, is_close

__all__ = ["ROUNDS", "lasting"]

# What is decided with the probability p, whatever the data, seems to follow them in all rounds with (p - p²) to their
# power: at most 1 in 16,384 in the fewest, and 1 in 1,048,576 in the most, for which there is not always time. Each of
# the decisions that are followed, at some dozens of cuts, has that chance.
FEWEST_ROUNDS, ROUNDS = 7, 10
MOST_FOLLOWED = 3
NEAR = 0.1  # sizes that are as near are the same: what another order has cost moves those after it


class _Change(NamedTuple):
    """made: whether it was on the same data, and not on others."""

    decision: Decision
    made: bool


def lasting(
    base: Sequence[Decision],
    same: Sequence[Decision],
    other: Sequence[Decision],
    run_same: Callable[[], Sequence[Decision] | None],
    run_other: Callable[[], Sequence[Decision] | None],
) -> list[Decision]:
    """Decisions that change with later data however often both are run; none where that cannot be seen.

    base, same: what two runs on the same data have decided until a bar, and other: one on data that are others after
    it. run_same, run_other: what one more run of each decides; None where there is no time for it.
    """
    known, again, otherwise = map(_Made, (base, same, other))
    changes = [_Change(each, True) for each in base if again.has(each) and not otherwise.has(each)]
    changes += [_Change(each, False) for each in other if not known.has(each) and not again.has(each)]
    # What leaks shows right before the data part, and what is drawn to hide it costs the less, the smaller it is.
    changes.sort(key=lambda change: (-change.decision.bar, -abs(change.decision.size)))
    left = changes[:MOST_FOLLOWED]
    for turn in range(ROUNDS):
        for run, on_same in ((run_other, False), (run_same, True)):
            if not left:
                return []
            if (decided := run()) is None:
                return [change.decision for change in left] if turn >= FEWEST_ROUNDS else []
            made = _Made(decided)
            left = [change for change in left if made.has(change.decision) is (change.made is on_same)]
    return [change.decision for change in left]


class _Made:
    """What one run has decided."""

    def __init__(self, decisions: Iterable[Decision]) -> None:
        self.by_bar: dict[int, list[Decision]] = defaultdict(list)
        for each in decisions:
            self.by_bar[each.bar].append(each)

    def has(self, decision: Decision) -> bool:
        return any(_is_same(decision, each) for each in self.by_bar.get(decision.bar, ()))


def _is_same(one: Decision, other: Decision) -> bool:
    near = abs(one.size - other.size) <= NEAR * max(abs(one.size), abs(other.size))
    prices = is_close(one.limit, other.limit) and is_close(one.stop, other.stop)
    return near and prices and one[1:3] == other[1:3]
