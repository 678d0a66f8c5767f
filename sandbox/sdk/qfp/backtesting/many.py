"""What would each of many combinations of parameters have earned? Backtest.run_many(), interpreted or compiled.

Indicators are computed once per function and arguments. Where next() can be compiled and init() says what depends on
what (sharing.py), init() runs only so often that every indicator exists once, and machine code does the rest.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from qfp.backtesting.averages import averages
from qfp.backtesting.lines import Bars, Clock
from qfp.backtesting.products import Product
from qfp.backtesting.purity import exactly, is_library
from qfp.backtesting.sharing import Groups, Recipe, dependencies
from qfp.backtesting.statistics import LABELS
from qfp.backtesting.test import SMA
from qfp.backtesting.tiers import PAYS_FROM, Prepared, missing_before
from qfp.threads import threads_for

if TYPE_CHECKING:
    from qfp.backtesting.compiled.memory import Record
    from qfp.backtesting.compiled.tier import Program
    from qfp.backtesting.running import Backtest, Run

__all__ = ["Many", "Shared", "run_many"]

NAN = float("nan")
KEPT_BYTES = 32 << 20  # of indicators, from one search to the next
MOST_COMPARED = 100  # whose interpreted ends a backtest keeps
COMPARED = 3  # combinations, beside the first and the best, that are given an init() of their own as well
NEAR = 16  # columns of some thousand bars
A_THREADS_BARS = 2_000_000  # of all combinations: so many take longer than a thread takes to start
TRADES = "# Trades"
# What machine code answers for all combinations at once; the value at the end and the cash at the beginning tell it.
AT_ONCE: dict[str, Callable[[Any, Any, float], Any]] = {
    "Equity Final [$]": lambda equity, trades, cash: equity,
    "Return [%]": lambda equity, trades, cash: (equity - cash) / cash * 100,
    TRADES: lambda equity, trades, cash: trades.astype(float),
    "final_equity": lambda equity, trades, cash: equity,
    "total_return": lambda equity, trades, cash: equity / cash - 1,
}


@dataclass
class Many:
    """columns: one value per combination, by figure; NaN where a combination failed. errors: those, by number.

    tier: "compiled" or "interpreted"; reason: why not compiled. runs: those that were made to compare, by number.
    """

    columns: dict[str, np.ndarray]
    errors: dict[int, Exception] = field(default_factory=dict)
    tier: str = "interpreted"
    reason: str | None = None
    runs: dict[int, Run] = field(default_factory=dict)


def drawn(numbers: np.ndarray, combinations: Sequence[Mapping[str, Any]]) -> list[int]:
    """Some of these numbers, always the same ones for the same combinations."""
    seed = f"{len(combinations)} {dict(combinations[0])} {dict(combinations[len(combinations) - 1])}"
    places = random.Random(seed).sample(range(len(numbers)), min(COMPARED, len(numbers)))
    return [int(numbers[place]) for place in places]


def run_many(
    backtest: Backtest, combinations: Sequence[Mapping[str, Any]], figures: Sequence[str], tier: str | None
) -> Many:
    """See Backtest.run_many(), which hands everything on."""
    if tier not in (None, "interpreted", "compiled"):
        raise ValueError(f'tier is "interpreted" or "compiled", not {tier!r}')
    found = Many({name: np.full(len(combinations), NAN) for name in figures})
    memo: dict[Any, Any] = {}
    todo: Sequence[int] = range(len(combinations))
    pays = len(combinations) * len(backtest._data) >= PAYS_FROM
    if combinations and (tier == "compiled" or (tier is None and pays)):
        todo = _compiled(backtest, combinations, found, memo)
    for number in todo:
        try:
            run = backtest.carry_out(backtest.prepare(combinations[number], memo), "interpreted")
            for name in figures:
                found.columns[name][number] = _figure(run, name)
        except Exception as error:
            found.errors[number] = error
    return found


def _figure(run: Run, name: str) -> float:
    if name in AT_ONCE and name not in LABELS:
        return float(AT_ONCE[name](run.equity[-1], np.array(len(run.trades)), run.cash))
    return float(run.figures.one(name)) if name in LABELS else run.metrics[name]


def _compiled(
    backtest: Backtest, combinations: Sequence[Mapping[str, Any]], found: Many, memo: dict[Any, Any]
) -> Sequence[int]:
    """Fill in what the compiled tier answers; the numbers of the combinations it leaves to the interpreted one."""
    from qfp.backtesting.compiled import Refused, Unavailable, program_of

    everything = range(len(combinations))
    if not hasattr(backtest._commission, "share"):
        found.reason = "The commission is a function of the program, so the runs were interpreted."
        return everything
    try:
        first = backtest.prepare(combinations[0], memo)
        program, _ = program_of(first.strategy, len(combinations))
    except Refused as refused:
        found.reason = f"next() {refused}, so the runs were interpreted."
        return everything
    except Unavailable as unavailable:
        found.reason = f"The runs were interpreted: {unavailable}."
        return everything
    except Exception:  # of init(), for these parameters; found again and kept by the interpreted runs
        return everything
    shared = Shared.of(backtest, combinations, program, memo)
    if shared is None:
        found.tier = "compiled"
        return _one_by_one(backtest, combinations, found, memo)
    left = shared.fill(found, first)
    if left is None:
        found.reason = "The compiled tier came to another result; those of the interpreted one count."
        return everything
    found.tier = "compiled"
    return left


def _one_by_one(
    backtest: Backtest, combinations: Sequence[Mapping[str, Any]], found: Many, memo: dict[Any, Any]
) -> Sequence[int]:
    """Each with an init() of its own."""
    left = []
    for number, one in enumerate(combinations):
        try:
            run = backtest.carry_out(backtest.prepare(one, memo), "compiled")
        except Exception:
            left.append(number)
            continue
        for name in found.columns:
            found.columns[name][number] = _figure(run, name)
    return left


@dataclass
class Made:
    """What init() made of some values of the parameters: columns and numbers of the program by place, and the bars
    before the indicators have values.
    """

    columns: dict[int, np.ndarray]
    numbers: dict[int, float]
    warm_up: int


def _lines(recipe: Recipe, bars: Bars, values: list[Any]) -> np.ndarray | list[np.ndarray] | None:
    """The indicator for each of these values; None where Strategy.I() would not take them as they are."""
    column = bars[recipe.column]
    if recipe.function is SMA:
        return averages(column, values)
    found: list[np.ndarray] = []
    for value in values:
        line = recipe.function(column, value)
        plain = type(line) is np.ndarray and line.dtype == float and line.flags.c_contiguous
        if not plain or line.shape != column.shape:
            return None
        found.append(line)
    return found


def _missing_before(lines: np.ndarray | list[np.ndarray]) -> list[int]:
    """Bars before each has a value."""
    if isinstance(lines, np.ndarray):
        begin = lines[:, :1000]
        known = begin == begin
        if known.any(axis=1).all():
            return known.argmax(axis=1).tolist()
    return [missing_before(line)[0] for line in lines]


class Shared:
    """Combinations whose indicators come from the strategies of some of them."""

    def __init__(self, backtest: Backtest, combinations: Sequence[Mapping[str, Any]], program: Program) -> None:
        self.backtest, self.combinations, self.program = backtest, combinations, program
        # Per series of the program: its columns by code, and every combination's code.
        self.series: list[tuple[list[np.ndarray], np.ndarray]] = []
        count = len(combinations)
        self.numbers = np.empty((count, len(program.translation.arguments)))
        self.places = np.empty((count, len(program.translation.series)), dtype=np.int64)  # where the columns begin
        self.warm_ups = np.zeros(count, dtype=np.int64)
        self.records: list[Record] = []  # of program.many(), one for each thread

    @classmethod
    def of(
        cls,
        backtest: Backtest,
        combinations: Sequence[Mapping[str, Any]],
        program: Program,
        memo: dict[Any, Any],
        made: dict[Any, Made] | None = None,
    ) -> Shared | None:
        """None where combinations cannot be told apart by what their indicators depend on.

        made: what init() made for other combinations of the same program.
        """
        known, names = dependencies(backtest._strategy), combinations[0].keys()
        if known is None or names & known[0].keys():
            return None
        depends, recipes = known
        if not isinstance(combinations, Product) and any(one.keys() != names for one in combinations):
            return None
        self = cls(backtest, combinations, program)
        of_attribute = {name: tuple(sorted(found & names)) for name, found in depends.items()}
        of_attribute |= {name: (name,) for name in names}
        try:
            return self if self._bind(of_attribute, recipes, memo, {} if made is None else made) else None
        except Exception:  # an unhashable value, or an init() that fails for some of them
            return None

    def _bind(
        self,
        of_attribute: dict[str, tuple[str, ...]],
        recipes: dict[str, Recipe],
        memo: dict[Any, Any],
        made: dict[Any, Made],
    ) -> bool:
        """Run init() for as many combinations as it takes, and put together what it made."""
        translation, groups = self.program.translation, Groups(self.combinations, [(), *of_attribute.values()])
        of_series = [of_attribute.get(str(path[0]), ()) for path, _ in translation.series]
        of_number = [of_attribute.get(name, ()) for name, _ in translation.arguments]

        def key(group: tuple[str, ...], combination: Mapping[str, Any]) -> Any:
            return group, *[(*exactly(combination[name]), combination[name]) for name in group]

        keys = {
            group: [key(group, self.combinations[first]) for first in firsts] for group, firsts in groups.firsts.items()
        }
        self._make(of_attribute, recipes, keys, made)
        known = {group: {code for code, one in enumerate(each) if one in made} for group, each in keys.items()}
        for chosen in groups.cover(known):
            prepared = self.backtest.prepare(self.combinations[chosen], memo)
            bound = translation.bind(prepared.strategy)
            if bound is None:
                return False
            waits: dict[tuple[str, ...], int] = {}
            attributes = {id(value): name for name, value in vars(prepared.strategy).items()}
            for line in prepared.strategy._indicators:
                name = attributes.get(id(line), "")
                if name not in of_attribute:
                    return False
                if not line.options.get("scatter"):
                    group = of_attribute[name]
                    waits[group] = max(waits.get(group, 0), missing_before(line)[0])
            for group in groups.codes:
                one = Made(
                    {at: bound.columns[at] for at, its in enumerate(of_series) if its == group},
                    {at: bound.numbers[at] for at, its in enumerate(of_number) if its == group},
                    waits.get(group, 0),
                )
                made.setdefault(key(group, self.combinations[chosen]), one)
        everything = {group: [made[one] for one in each] for group, each in keys.items()}
        for at, group in enumerate(of_series):
            columns, codes = [one.columns[at] for one in everything[group]], groups.codes[group]
            self.series.append((columns, codes))
            self.places[:, at] = np.array([column.ctypes.data for column in columns], dtype=np.int64)[codes]
        for at, group in enumerate(of_number):
            self.numbers[:, at] = np.array([one.numbers[at] for one in everything[group]])[groups.codes[group]]
        for group, each in everything.items():
            np.maximum(self.warm_ups, np.array([one.warm_up for one in each])[groups.codes[group]], out=self.warm_ups)
        return True

    def _make(
        self,
        of_attribute: dict[str, tuple[str, ...]],
        recipes: dict[str, Recipe],
        keys: dict[tuple[str, ...], list[Any]],
        made: dict[Any, Made],
    ) -> None:
        """Make the indicators of one parameter without init(), where all that depends on it is made so."""
        from qfp.backtesting.compiled.values import fits

        translation, frame = self.program.translation, self.backtest._data
        bars = Bars(frame, Clock(frame.index), self.backtest._columns)
        for group, each in keys.items():
            mine = [name for name, its in of_attribute.items() if its == group and name not in group]
            if len(group) != 1 or not mine or not all(name in recipes for name in mine):
                continue
            series = [(at, path, kind) for at, (path, kind) in enumerate(translation.series) if path[0] in mine]
            if any(len(path) > 1 or kind != "float" for _, path, kind in series) or any(
                path[0] in (*mine, *group) for path in translation.fixed
            ):
                continue
            arguments = [(at, kind) for at, (name, kind) in enumerate(translation.arguments) if name in group]
            its = tuple([recipes[name] for name in mine])
            kept = self.backtest.indicators.get((self.program, group, its), {})
            made.update((key, kept[key]) for key in each if key in kept and key not in made)
            todo = [key for key in each if key not in made and all(fits(key[1][-1], kind) for _, kind in arguments)]
            if not todo:
                continue
            values = [key[1][-1] for key in todo]
            lines: dict[str, np.ndarray | list[np.ndarray]] = {}
            for name in mine:
                found = _lines(recipes[name], bars, values)
                if found is None:
                    break
                lines[name] = found
            if len(lines) < len(mine):
                continue
            waits = np.max([_missing_before(one) for one in lines.values()], axis=0).tolist()
            of_series = [(at, lines[path[0]]) for at, path, _ in series]
            for number, (one, value, wait) in enumerate(zip(todo, values, waits, strict=True)):
                real = math.nan if value is None else float(value)
                made[one] = Made({at: rows[number] for at, rows in of_series}, {at: real for at, _ in arguments}, wait)
            if all(is_library(recipe.function.__module__) for recipe in its):
                self._keep((self.program, group, its), {one: made[one] for one in todo})

    def _keep(self, key: tuple[Any, tuple[str, ...], tuple[Recipe, ...]], new: dict[Any, Made]) -> None:
        """For later searches of the same backtest, where there is room: what no program changes."""
        everything, most = self.backtest.indicators, KEPT_BYTES // (8 * len(self.backtest._data))
        rows = len(new) * len(key[-1])
        if rows + sum(len(one) * len(its) for (_, _, its), one in everything.items()) > most:
            everything.clear()
        if rows <= most:
            everything.setdefault(key, {}).update(new)

    def ends(self, part: slice = slice(None), curves: np.ndarray | None = None) -> tuple[Any, Any]:
        """(equity at the end, number of trades) of a part of them; -1 trades where machine code cannot tell.

        curves: a row for each, to be filled with its equity by bar.
        """
        starts = 1 + self.warm_ups[part]
        threads = threads_for(len(starts) * len(self.backtest._data) / A_THREADS_BARS)
        while len(self.records) < threads:
            self.records.append(self.program.record_of_many(self.backtest.account(), self.backtest._finalize))
        records, places, numbers = self.records[:threads], self.places[part], self.numbers[part]
        if curves is not None or not self.series:
            return self.program.many(records, places, numbers, starts, curves)
        # Some indicators of each kind at a time with each other: a processor keeps those near, but not all of them.
        order = np.lexsort([codes[part] // NEAR for _, codes in self.series])
        found = self.program.many(records, places[order], numbers[order], starts[order])
        equity, trades = np.empty_like(found[0]), np.empty_like(found[1])
        equity[order], trades[order] = found
        return equity, trades

    def run(self, number: int) -> Run:
        """The whole run of one of those that machine code can tell."""
        from qfp.backtesting.compiled.translation import Bound

        backtest, warm_up = self.backtest, int(self.warm_ups[number])
        bound = Bound([columns[codes[number]] for columns, codes in self.series], self.numbers[number].tolist())
        account = self.program.run(backtest.account(), None, bound, 1 + warm_up, backtest._finalize)
        assert account is not None
        return backtest.run_of(self._prepared, account, warm_up)

    @cached_property
    def _prepared(self) -> Prepared:
        """Of any of them: what all have in common."""
        return self.backtest.prepare(self.combinations[0])

    def fill(self, found: Many, first: Prepared) -> Sequence[int] | None:
        """The figures of all; the numbers of those that are left. None where they are not the interpreted ones.

        first: the strategy of the first one, whose init() has run.
        """
        equity, trades = self.ends()
        left, answered = np.flatnonzero(trades < 0), np.flatnonzero(trades >= 0)
        equity[left] = NAN
        if not self._right(equity, trades, answered, first, found):
            return None
        slow = [name for name in found.columns if name not in AT_ONCE]
        for name in found.columns:
            if name in AT_ONCE:
                found.columns[name][answered] = AT_ONCE[name](equity, trades, self.backtest._cash)[answered]
        for number in answered.tolist() if slow else ():
            run = self.run(number)
            for name in slow:
                found.columns[name][number] = _figure(run, name)
        return left.tolist()

    def _right(
        self, equity: np.ndarray, trades: np.ndarray, answered: np.ndarray, first: Prepared, found: Many
    ) -> bool:
        """Whether the interpreted tier ends the first and the best the same, and an init() of their own makes the same
        of some more: one machine code runs all of them, so only what it is given could differ.
        """
        if not len(answered):
            return True
        known = self.backtest.compared
        for number in {int(answered[0]), int(answered[np.argmax(equity[answered])])}:
            key = self.program, *[(name, *exactly(value)) for name, value in self.combinations[number].items()]
            prepared = first if number == 0 else self.backtest.prepare(self.combinations[number])
            if known.get(key) == (equity[number], trades[number]) and self.is_as_alone(number, prepared):
                found.runs[number] = self.backtest.carry_out(prepared, "compiled", compared=True)
                continue
            found.runs[number] = run = self.backtest.carry_out(prepared, "interpreted")
            if run.equity[-1] != equity[number] or len(run.trades) != trades[number]:
                return False
            if len(known) >= MOST_COMPARED:
                known.clear()
            known[key] = run.equity[-1], len(run.trades)
        return all(map(self.is_as_alone, drawn(answered, self.combinations)))

    def is_as_alone(self, number: int, prepared: Prepared | None = None) -> bool:
        """Whether an init() of its own makes of a combination, bit by bit, what it has here.

        prepared: where that init() has run already.
        """
        prepared = prepared or self.backtest.prepare(self.combinations[number])
        bound = self.program.translation.bind(prepared.strategy)
        if bound is None or len(prepared.account.decisions) or prepared.warm_up != self.warm_ups[number]:
            return False
        columns = [columns[codes[number]] for columns, codes in self.series]
        return np.array_equal(bound.numbers, self.numbers[number], equal_nan=True) and all(
            mine.tobytes() == its.tobytes() for mine, its in zip(bound.columns, columns, strict=True)
        )
