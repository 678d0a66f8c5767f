"""What would each of many combinations of parameters have earned? Backtest.run_many(), interpreted or compiled.

Indicators are computed once per function and arguments. Where next() can be compiled and init() says what depends on
what (sharing.py), init() runs only so often that every indicator exists once, and machine code does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from qfp.backtesting.sharing import Groups, dependencies
from qfp.backtesting.statistics import LABELS
from qfp.backtesting.tiers import PAYS_FROM, Prepared, missing_before

if TYPE_CHECKING:
    from qfp.backtesting.compiled.tier import Program
    from qfp.backtesting.running import Backtest, Run

__all__ = ["Many", "run_many"]

NAN = float("nan")
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

    tier: "compiled" or "interpreted"; reason: why not compiled.
    """

    columns: dict[str, np.ndarray]
    errors: dict[int, Exception] = field(default_factory=dict)
    tier: str = "interpreted"
    reason: str | None = None


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
        program, _ = program_of(first.strategy)
    except Refused as refused:
        found.reason = f"next() {refused}, so the runs were interpreted."
        return everything
    except Unavailable as unavailable:
        found.reason = f"The runs were interpreted: {unavailable}."
        return everything
    except Exception:  # of init(), for these parameters; found again and kept by the interpreted runs
        return everything
    shared = _Shared.of(backtest, combinations, program, memo)
    if shared is None:
        found.tier = "compiled"
        return _one_by_one(backtest, combinations, found, memo)
    left = shared.fill(found)
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


class _Shared:
    """Combinations whose indicators come from the strategies of some of them."""

    def __init__(self, backtest: Backtest, combinations: Sequence[Mapping[str, Any]], program: Program) -> None:
        self.backtest, self.combinations, self.program = backtest, combinations, program
        # Per series of the program: its columns by code, and every combination's code. The numbers likewise.
        self.series: list[tuple[list[np.ndarray], np.ndarray]] = []
        self.numbers: Any = None
        self.warm_ups: Any = None
        self._kept: list[Prepared] = []

    @classmethod
    def of(
        cls, backtest: Backtest, combinations: Sequence[Mapping[str, Any]], program: Program, memo: dict[Any, Any]
    ) -> _Shared | None:
        """None where combinations cannot be told apart by what their indicators depend on."""
        depends = dependencies(backtest._strategy)
        names = combinations[0].keys()
        if depends is None or names & depends.keys() or any(one.keys() != names for one in combinations):
            return None
        self = cls(backtest, combinations, program)
        of_attribute = {name: tuple(sorted(found & names)) for name, found in depends.items()}
        of_attribute |= {name: (name,) for name in names}
        try:
            return self if self._bind(of_attribute, memo) else None
        except Exception:  # an unhashable value, or an init() that fails for some of them
            return None

    def _bind(self, of_attribute: dict[str, tuple[str, ...]], memo: dict[Any, Any]) -> bool:
        """Run init() for as many combinations as it takes, and keep what it made by code."""
        translation, groups = self.program.translation, Groups(self.combinations, [(), *of_attribute.values()])
        columns: list[dict[int, np.ndarray]] = [{} for _ in translation.series]
        numbers: list[dict[int, float]] = [{} for _ in translation.arguments]
        warm: dict[str, dict[int, int]] = {}
        group_of = [of_attribute.get(str(path[0]), ()) for path, _ in translation.series]
        group_of_number = [of_attribute.get(name, ()) for name, _ in translation.arguments]
        for chosen in groups.cover():
            prepared = self.backtest.prepare(self.combinations[chosen], memo)
            bound = translation.bind(prepared.strategy)
            if bound is None:
                return False
            self._kept.append(prepared)
            code = {group: int(codes[chosen]) for group, codes in groups.codes.items()}
            for group, by_code, column in zip(group_of, columns, bound.columns, strict=True):
                by_code.setdefault(code[group], column)
            for group, known, value in zip(group_of_number, numbers, bound.numbers, strict=True):
                known.setdefault(code[group], value)
            attributes = {id(value): name for name, value in vars(prepared.strategy).items()}
            for line in prepared.strategy._indicators:
                name = attributes.get(id(line), "")
                if name not in of_attribute:
                    return False
                if not line.options.get("scatter"):
                    warm.setdefault(name, {}).setdefault(code[of_attribute[name]], missing_before(line)[0])
        self.series = [
            ([by_code[code] for code in range(len(by_code))], groups.codes[group])
            for group, by_code in zip(group_of, columns, strict=True)
        ]
        count = len(self.combinations)
        self.numbers = np.empty((count, len(numbers)))
        for place, (group, known) in enumerate(zip(group_of_number, numbers, strict=True)):
            self.numbers[:, place] = np.array([known[code] for code in range(len(known))])[groups.codes[group]]
        self.warm_ups = np.zeros(count, dtype=np.int64)
        for name, bars in warm.items():
            waits = np.array([bars[code] for code in range(len(bars))])
            np.maximum(self.warm_ups, waits[groups.codes[of_attribute[name]]], out=self.warm_ups)
        return True

    def fill(self, found: Many) -> Sequence[int] | None:
        """The figures of all; the numbers of those that are left. None where they are not the interpreted ones."""
        from qfp.backtesting.compiled.translation import Bound

        backtest, starts = self.backtest, 1 + self.warm_ups
        places = np.empty((len(starts), len(self.series)), dtype=np.int64)
        for at, (columns, codes) in enumerate(self.series):
            places[:, at] = np.array([column.ctypes.data for column in columns])[codes]
        equity, trades = self.program.many(backtest.account(), places, self.numbers, starts, backtest._finalize)
        left, answered = np.flatnonzero(trades < 0), np.flatnonzero(trades >= 0)
        equity[left] = NAN
        if not self._right(equity, trades, answered):
            return None
        slow = [name for name in found.columns if name not in AT_ONCE]
        for name in found.columns:
            if name in AT_ONCE:
                found.columns[name][answered] = AT_ONCE[name](equity, trades, backtest._cash)[answered]
        for number in answered.tolist() if slow else ():
            bound = Bound([columns[codes[number]] for columns, codes in self.series], self.numbers[number].tolist())
            account = self.program.run(backtest.account(), None, bound, int(starts[number]), backtest._finalize)
            assert account is not None
            run = backtest.run_of(self._kept[0], account, int(self.warm_ups[number]))
            for name in slow:
                found.columns[name][number] = _figure(run, name)
        return left.tolist()

    def _right(self, equity: np.ndarray, trades: np.ndarray, answered: np.ndarray) -> bool:
        """Whether the interpreted tier ends the first and the best of them the same."""
        if not len(answered):
            return True
        for number in {int(answered[0]), int(answered[np.argmax(equity[answered])])}:
            run = self.backtest.carry_out(self.backtest.prepare(self.combinations[number]), "interpreted")
            if run.equity[-1] != equity[number] or len(run.trades) != trades[number]:
                return False
        return True
