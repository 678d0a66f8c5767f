"""How does a compiled run go? Binds a strategy to its machine code, runs it, and makes an account of what came out."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from qfp.backtesting.compiled import machine
from qfp.backtesting.compiled.account import CompiledAccount
from qfp.backtesting.compiled.memory import Record
from qfp.backtesting.compiled.translation import Bound, Refused, Translation, translate
from qfp.backtesting.core import Account
from qfp.backtesting.strategy import Strategy
from qfp.threads import at_once

__all__ = ["Program", "program_of"]

ONE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
LONG = 1_000_000  # calls of next() from which on it pays to compile it with more effort
LONG_SIFTED = 50_000_000  # where most bars are left out
MOST_PROGRAMS = 8  # of a class: for attributes of other kinds, and for other things that its names stand for


class Program:
    """A strategy's next() as machine code. Serves every strategy of the class whose things are of the same kinds."""

    def __init__(self, translation: Translation, calls: float) -> None:
        """calls: of next(), about so many are to come."""
        self.translation = translation
        self.enough = LONG if translation.sieve is None else LONG_SIFTED
        self.effort = 2 if calls >= self.enough else 0 if translation.sieve is not None else 1
        self._engine, addresses = machine.load(translation.functions, self.effort)
        self._address = addresses["run"]
        self._run = ONE(self._address)

    def serves(self, calls: float) -> bool:
        """Whether it is quick enough for so many calls."""
        return self.effort == 2 or calls < self.enough

    def run(
        self, account: Account, strategy: Strategy | None, bound: Bound, start: int, finalize: bool
    ) -> CompiledAccount | None:
        """The account after the run; None where the interpreted tier has to repeat it.

        strategy: is given the attributes that next() sets.
        """
        record = Record(account, bound, start, finalize, self.translation.sieve)
        if self._run(record.address) != 0:
            return None
        for number, name, kind in self.translation.state if strategy is not None else ():
            value = float(record.numbers[number])
            none = value != value and kind in ("optional", "none")
            setattr(strategy, name, None if none else _plain(value, kind))
        return CompiledAccount(account, record, self.translation.tags)

    def record_of_many(self, account: Account, finalize: bool) -> Record:
        """What many() works in; one record does for one call after the other."""
        translation = self.translation
        nothing = Bound([np.empty(0)] * len(translation.series), [0.0] * len(translation.arguments))
        return Record(account, nothing, 1, finalize, translation.sieve)

    def many(
        self,
        records: Sequence[Record],
        places: np.ndarray,
        numbers: np.ndarray,
        starts: np.ndarray,
        curves: np.ndarray | None = None,
    ) -> tuple[Any, Any]:
        """(equity at the end, number of trades) for each; -1 trades where the interpreted tier has to repeat it.

        records: of record_of_many(), each for a part of the rows and a thread of its own. places: where the columns
        begin, a row for each. numbers: the arguments, a row for each. curves: a row for each, to be filled with its
        equity by bar.
        """
        count, parts = len(places), len(records)
        lines, params = np.ascontiguousarray(places), np.ascontiguousarray(numbers)
        begin = np.ascontiguousarray(starts, dtype=np.int64)
        equity, trades = np.zeros(count), np.zeros(count, dtype=np.int64)

        def some(record: Record, first: int, last: int) -> None:
            at = [table[first:].ctypes.data for table in (lines, params, begin, equity, trades)]
            its_curves = 0 if curves is None else curves[first:].ctypes.data
            rows = [at[0], lines.shape[1], at[1], params.shape[1], *at[2:], its_curves]
            machine.call("many", record.address, self._address, last - first, *rows)

        bounds = [count * part // parts for part in range(parts + 1)]
        at_once([partial(some, *one) for one in zip(records, bounds[:-1], bounds[1:], strict=True)])
        return equity, trades


def _plain(value: float, kind: str) -> Any:
    return {"int": int, "bool": bool}.get(kind, float)(value)


_programs: dict[Any, list[Program] | Refused | machine.Unavailable] = {}


def program_of(strategy: Strategy, runs: int = 1) -> tuple[Program, Bound]:
    """The machine code for a strategy whose init() has run. Raises Refused or Unavailable, with the reason.

    runs: over all bars, that it is wanted for.
    """
    if len(strategy._account.decisions):  # which the record of an account that has not begun has no place for
        raise Refused("follows what init() has ordered")
    key = type(strategy)
    known = _programs.get(key)
    if isinstance(known, Exception):
        raise known
    calls = runs * len(strategy._clock.index)
    for one in known or ():
        bound = one.translation.bind(strategy) if one.serves(calls) else None
        if bound is not None:
            return one, bound
    try:
        program = Program(translate(strategy), calls)
    except (Refused, machine.Unavailable) as error:
        found: Refused | machine.Unavailable = error
    except Exception as error:  # a program is never worse off than without this tier
        found = Refused(f"is beyond the compiled tier ({type(error).__name__}: {error})")
    else:
        bound = program.translation.bind(strategy)
        if bound is not None:
            _programs[key] = [*(known or ())[1 - MOST_PROGRAMS :], program]
            return program, bound
        found = Refused("sets what it also reads as something else")
    if known is None:
        _programs[key] = found
    raise found


def forget(strategy: type) -> None:
    """Let go of the machine code of a class."""
    _programs.pop(strategy, None)
