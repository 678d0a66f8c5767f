"""What is a result worth? Right after it, its strategy is run again on varied bars, in a copy of the program.

This is the quick look: it varies the bars that the strategy is given. What the program computed before, outside the
class, stays as it was; qfp.checking.programs varies that as well.
"""

from __future__ import annotations

import datetime
import dis
import inspect
import random
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qfp import checking
from qfp.checking import amnesia, apart, lookahead
from qfp.checking.boundary import DAY, boundary, published
from qfp.checking.clock import Clock
from qfp.checking.decisions import Decision
from qfp.checking.literals import LONG, longest_table
from qfp.checking.lookahead import NotRepeatable, Seen
from qfp.checking.statements import is_table
from qfp.checking.suspects import suspect
from qfp.checking.telling import largest_moves, of_account
from qfp.checking.variations import Variation, varied

if TYPE_CHECKING:
    from qfp.checking.recording import Recorded, StrategyRuns

__all__ = ["NO_SEED", "Before", "look_at", "looks_up_days", "moment", "patience", "time_for", "untested", "uses_tables"]

LEAST_SECONDS = 0.15
MOST_SECONDS = 4.0
SHARE = 0.5  # of the time of the run; the test of the whole program has the rest
# Of that, for what the other runs are compared with: it goes on to the bar that it has reached by then.
BASE_SHARE = 0.4
WHOLE_SECONDS = 0.2  # a run over all bars that is as short is never cut off
START_SECONDS = 3.0  # until the copy has begun, on a busy machine
LIBRARIES = ("qfp.", "backtesting.")
OF_DAYS = (dict, set, frozenset, list, tuple, pd.DatetimeIndex)
GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)
NO_SEED = "the same bars gave other decisions: random numbers without a seed, or something outside the bars"


@dataclass(frozen=True)
class Before:
    """What a run may change, as it was before: global random numbers and what the strategy's class keeps."""

    numpy_state: Any
    python_state: Any
    class_state: Any
    clock: Clock

    @classmethod
    def of(cls, strategy: Any) -> Before:
        from qfp.checking.recording import class_state

        kept = class_state(strategy) if isinstance(strategy, type) else None
        return cls(np.random.get_state(), random.getstate(), kept, Clock())

    @property
    def seeded(self) -> bool:
        """Whether the program gives the global generators a seed."""
        main = sys.modules.get("__main__")
        name = getattr(main, "__file__", None)
        try:
            source = Path(name).read_text(encoding="utf-8", errors="replace") if name else ""
        except OSError:
            source = ""
        return bool(re.search(r"\bseed\s*\(|set_state\s*\(|setstate\s*\(", source))

    def restore(self) -> None:
        np.random.set_state(self.numpy_state)
        random.setstate(self.python_state)

    def random_used(self) -> bool:
        """Whether anything was drawn from the global generators since they were restored."""
        now = np.random.get_state()
        same = all(np.array_equal(one, other) for one, other in zip(now, self.numpy_state, strict=True))
        return not same or random.getstate() != self.python_state


def look_at(
    strategy: type, frame: pd.DataFrame, options: dict[str, Any], params: dict[str, Any], before: Before
) -> dict[str, Any]:
    """{"lookahead": finding, "amnesia": finding} for a strategy that has just been run over these bars."""
    if not apart.can_fork():
        return untested("a copy of the program cannot be made on this system")
    seconds = time_for(before)
    if seconds is None:
        return untested("the time limit of the run left no time for it")
    from qfp.checking.recording import StrategyRuns

    runs = StrategyRuns(strategy, frame, options, params, before.class_state)

    def act(say: Any) -> dict[str, Any]:
        return _Look(runs, before, seconds, say).findings()

    answer = apart.tried_apart(act, patience(seconds))
    if "value" in answer:
        return answer["value"]
    if answer["said"]:
        return answer["said"][-1]
    return untested(apart.why_failed(answer["failed"]))


def time_for(before: Before) -> float | None:
    """Seconds for the look: half of what the run has taken, within bounds; None where there is no time for it."""
    seconds = min(MOST_SECONDS, max(LEAST_SECONDS, SHARE * before.clock.passed))
    spare = checking.spare()
    if spare is None:
        return seconds
    seconds = min(seconds, spare / 6)  # nothing of this may cost the run its own end
    return seconds if seconds >= LEAST_SECONDS / 2 else None


def patience(seconds: float) -> float:
    """How long a copy may take in all that has so much time for what it tries."""
    limit, spare = START_SECONDS + 6 * seconds, checking.spare()
    return limit if spare is None else min(limit, spare / 2)


def untested(why: str) -> dict[str, Any]:
    return {"lookahead": {"state": "untested", "why": why}, "amnesia": {"state": "untested", "why": why}}


class _Look:
    """The look itself, in the copy."""

    tails_are_whole = False

    def __init__(self, runs: StrategyRuns, before: Before, seconds: float, say: Any) -> None:
        self.runs, self.before, self.seconds, self.say = runs, before, seconds, say
        self.count, self.frame = runs.count, runs.frame
        self.random_used = False

    def decide(self, variation: Any, until: int) -> list[Decision]:
        self.before.restore()
        return self.runs.decide(variation, until)

    def findings(self) -> dict[str, Any]:
        self.before.restore()
        clock = Clock()
        base = self.runs.recorded(self.frame, self.count, max(WHOLE_SECONDS, BASE_SHARE * self.seconds))
        run_seconds = clock.passed
        self.count = min(self.count, base.until + 1)
        self.random_used = self.before.random_used()
        found = self.lookahead(base, run_seconds)
        if found["state"] == "leak" or found.get("why") == NO_SEED:
            why = "it knows the future" if found["state"] == "leak" else NO_SEED
            return {"lookahead": found, "amnesia": {"state": "untested", "why": why}}
        self.say({"lookahead": found, "amnesia": {"state": "untested", "why": apart.TOOK_TOO_LONG}})
        return {"lookahead": found, "amnesia": self.amnesia(base)}

    def lookahead(self, base: Recorded, run_seconds: float) -> dict[str, Any]:
        if self.random_used and not self.before.seeded:
            return {"state": "untested", "why": NO_SEED}
        try:
            left = (1 - 2 * BASE_SHARE) * self.seconds  # the test of memory takes one more run
            moves = largest_moves(self.frame["Close"].to_numpy()[: self.count])
            telling = of_account(base.strategy._account, moves) if base.strategy is not None else None
            seen = lookahead.examine(self, base.decisions, max(left, LEAST_SECONDS), run_seconds, telling=telling)
        except NotRepeatable as error:
            return {"state": "untested", "why": str(error) or NO_SEED}
        return self.in_words(seen, base)

    def in_words(self, seen: Seen, base: Recorded) -> dict[str, Any]:
        tried = {"cuts": seen.cuts, "tails": seen.tails, "orders": len(base.decisions), **self.within}
        if seen.bar is not None and seen.variation is not None:
            at = min(seen.bar, self.count - 1)
            self.before.restore()
            found = suspect(self.runs, base, seen.variation, at) if seen.repeats else {}
            return {"state": "leak", "bar": at, "date": moment(self.frame.index, at), **found, **tried}
        if not seen.tried:
            why = seen.failures[0] if seen.failures else "there are too few bars"
            return {"state": "untested", "why": f"on other bars it fails: {why}" if seen.failures else why}
        return {"state": "clean", **tried}

    def amnesia(self, base: Recorded) -> dict[str, Any]:
        cash = self.runs.options.get("cash", 10_000)
        last: list[Recorded] = []

        def decide(frame: pd.DataFrame, factor: float) -> list[Decision]:
            self.before.restore()
            options = amnesia.on_another_level(self.runs.options, factor)
            last[:] = [self.runs.recorded(frame, self.count - 1, options=options)]
            return last[0].decisions

        found = amnesia.remembers(decide, self.frame, base.decisions, self.count)
        if found.untested:
            return {"state": "untested", "why": found.untested, "but_dates": found.but_dates}
        beside = found.prices is not None and bool(amnesia.own_columns(self.frame))
        otherwise = found.dates is not None or found.prices is not None
        if beside or (otherwise and (self.uses_tables(base) or looks_up_days(self.parts))):
            return {"state": "untested", "why": "it looks up other data, which stay on their dates and prices"}
        if found.dates is not None:
            first = {"date": moment(self.frame.index, found.dates), "bar": found.dates}
            parts = [*(each for owner in self.runs.strategy.__mro__ for each in vars(owner).values()), self.runs.params]
            if (days := published(parts, base.final / cash, last[0].final / cash)) is not None:
                return {"state": "remembers", "what": "days", "count": days, **first}
            day = boundary(
                parts,
                base.decisions,
                lambda: decide(varied(self.frame, Variation(0, 1)), 1.0),
            )
            if day is not None:
                return {"state": "remembers", "what": "boundary", "day": day, **first}
            return {"state": "remembers", "what": "dates", **first}
        if found.prices is not None:
            return {"state": "remembers", "what": "prices", "date": moment(self.frame.index, found.prices)}
        count = longest_table(self.runs.strategy.__mro__[:-1])
        if amnesia.follows_numbers(self.decide_over, self.frame, base.decisions, may_count=count < LONG):
            if self.uses_tables(base):
                return {"state": "untested", "why": "its orders are looked up in a table by the number of the bar"}
            if self.random_used or self.draws(base):
                return {"state": "untested", "why": "its orders follow random numbers with a seed, whatever the bars"}
            return {"state": "remembers", "what": "numbers"}
        if count >= LONG:
            return {"state": "remembers", "what": "table", "count": count}
        return {"state": "clean", **self.within}

    def draws(self, base: Recorded) -> bool:
        """Whether the strategy keeps a generator of random numbers of its own."""
        kept = vars(base.strategy) if base.strategy is not None else {}
        owners = (vars(owner) for owner in self.runs.strategy.__mro__)
        values = (value for names in (kept, *owners) for value in names.values())
        return any(isinstance(value, GENERATORS) for value in values)

    def decide_over(self, frame: pd.DataFrame, until: int) -> list[Decision]:
        self.before.restore()
        return self.runs.recorded(frame, until).decisions

    @property
    def within(self) -> dict[str, int]:
        """How many bars there was time for, where that is not all."""
        return {"bars": self.count} if self.count < self.runs.count else {}

    def uses_tables(self, base: Recorded) -> bool:
        kept = list(vars(base.strategy).values()) if base.strategy is not None else []
        return uses_tables(self.parts, [*kept, *(each for each in self.parts if is_table(each))])

    @property
    def parts(self) -> list[Any]:
        """What its classes hold."""
        return [each for owner in self.runs.strategy.__mro__ for each in vars(owner).values()]


def uses_tables(functions: Iterable[Any], kept: Iterable[Any]) -> bool:
    """Whether functions, or what was kept, use data beside their bars."""
    values = [*kept, *_read_by(functions)]
    return any(is_table(value) or (type(value) is np.ndarray and value.size > 1) for value in values)


def looks_up_days(parts: Iterable[Any]) -> bool:
    """Whether these are, or read, a list, set or dictionary of many days that is no table in the text of the program:
    it was made of data.
    """
    parts = list(parts)
    found = (value for value in (*parts, *_read_by(parts)) if isinstance(value, OF_DAYS) and len(value) >= LONG)
    return any(all(map(_is_day, value)) for value in found) and longest_table(filter(callable, parts)) < LONG


def _is_day(value: Any) -> bool:
    return isinstance(value, datetime.date) or (isinstance(value, str) and DAY.fullmatch(value) is not None)


def _read_by(functions: Iterable[Any]) -> Iterator[Any]:
    """What functions read of the program, themselves or by way of those beside them."""
    waiting, seen = [_function_in(each) for each in functions], set()
    while waiting:
        function = waiting.pop()
        if not inspect.isfunction(function) or function in seen or function.__module__.startswith(LIBRARIES):
            continue
        seen.add(function)
        values = [function.__globals__.get(name) for name in _names(function.__code__)]
        values += [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
        yield from values
        inner = (_function_in(value) for value in values)
        waiting += [each for each in inner if inspect.isfunction(each) and _folder(each) == _folder(function)]


def _function_in(value: Any) -> Any:
    """The function itself, of one that remembers what it gave."""
    return inspect.unwrap(value) if callable(value) and not isinstance(value, type) else value


def _folder(function: Any) -> Path:
    return Path(function.__code__.co_filename).parent


def _names(code: Any) -> set[str]:
    """Global names that a function reads, and functions within it."""
    found = {each.argval for each in dis.get_instructions(code) if each.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    inner = (each for each in code.co_consts if hasattr(each, "co_names"))
    return found.union(*(_names(each) for each in inner))


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def moment(index: Any, bar: int) -> str:
    when = index[bar]
    if not hasattr(when, "isoformat"):
        return f"bar {when}"
    return when.date().isoformat() if when == when.normalize() else when.isoformat()
