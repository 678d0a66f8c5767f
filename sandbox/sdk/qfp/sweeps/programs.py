"""What does a whole program give with other values of its param()s? It is run again for every combination.

This is what a sweep from the site's form does in the box: the program stays as it is written, and its last backtest is
what a combination gave.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qfp import channel, checking, results
from qfp.backtests import BacktestResult
from qfp.checking.clock import Clock
from qfp.results import Result
from qfp.sweeps.expressions import condition
from qfp.sweeps.space import Between, Parameters
from qfp.sweeps.stretches import places_of, windows_of
from qfp.sweeps.sweeping import sweep
from qfp.sweeps.walking import WalkForward, walk

__all__ = ["Asked", "Program", "carry_out", "space_of"]


@dataclass(frozen=True)
class Asked:
    """What a program asked backtest() for."""

    strategy: type
    bars: Any
    options: dict[str, Any]
    params: dict[str, Any]


class _Heard(BaseException):
    """The program has asked for the backtest that counts; the rest of it is not needed."""


class Program:
    """path: of its file. given: values of its parameters that stay as they are."""

    def __init__(self, path: str, given: Mapping[str, Any]) -> None:
        self.path, self.given = str(Path(path).resolve()), dict(given)
        self.source = Path(path).read_text(encoding="utf-8")
        try:
            self.code = compile(self.source, path, "exec", dont_inherit=True)
        except SyntaxError as error:
            raise SyntaxError(
                f"line {error.lineno} of {path} is no plain Python, so the program cannot be run again and again"
            ) from None
        self.names = dict(sys.modules["__main__"].__dict__)
        self.backtests, self.plain = 0, False
        self._asked: dict[str, Asked] = {}

    def run(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The program in a fresh namespace, which is returned, heard and seen like any other."""
        kept = os.environ.get("QFP_PARAMS"), sys.modules["__main__"]
        main = types.ModuleType("__main__")
        main.__dict__.update(self.names)
        main.__dict__["__file__"] = self.path
        os.environ["QFP_PARAMS"] = json.dumps({**self.given, **values})
        sys.modules["__main__"] = main
        try:
            exec(self.code, main.__dict__)  # noqa: S102  the program that was asked for
        except SystemExit as end:
            if end.code not in (None, 0):
                raise RuntimeError(f"the program ended itself: {end.code}") from None
        finally:
            sys.modules["__main__"] = kept[1]
            if kept[0] is None:
                del os.environ["QFP_PARAMS"]
            else:
                os.environ["QFP_PARAMS"] = kept[0]
        return main.__dict__

    def result(self, values: Mapping[str, Any], hear: tuple[str, ...] = ()) -> Result:
        """Its last backtest with these values. hear: kinds of messages to pass on; all else is dropped."""
        found: list[Result] = []
        with _unheard(hear), _taking(found.append, None):
            self.run(values)
        if not found:
            raise ValueError("the program makes no backtest, so there is nothing to compare")
        last = found[-1]
        self.backtests = len(found)
        # A result books fills at the close that decides where they are dated to, which its run does not.
        self.plain = isinstance(last, BacktestResult) and not getattr(last.conventions, "trade_on_close", False)
        return last

    def outcome(self, values: Mapping[str, Any]) -> Any:
        """Equity and metrics of its last backtest with these values, without what only a page needs."""
        if not self.plain:
            return self.result(values)
        from qfp.sweeps.evaluation import test_of

        asked = self._ask(values)
        return test_of(asked.strategy, asked.bars, asked.options).run_once(asked.params)

    def asked(self, values: Mapping[str, Any]) -> Asked:
        """What it would run for its last backtest with these values; it is stopped there."""
        key = json.dumps(values, sort_keys=True)
        if key not in self._asked:
            asked = self._ask(values)
            first = next(iter(self._asked.values()), asked)
            if not asked.bars.equals(first.bars):
                raise ValueError("with other values the program takes other bars; leave that parameter as it is")
            # One table for all of them.
            self._asked[key] = Asked(asked.strategy, first.bars, asked.options, asked.params)
        return self._asked[key]

    def _ask(self, values: Mapping[str, Any]) -> Asked:
        found: list[Asked] = []

        def take(strategy: type, bars: Any, options: dict[str, Any], params: dict[str, Any]) -> None:
            found.append(Asked(strategy, bars, options, params))
            if len(found) == self.backtests:
                raise _Heard

        with _unheard(()), _taking(lambda result: None, take), contextlib.suppress(_Heard):
            self.run(values)
        if not found:
            raise ValueError("walk-forward works for programs whose last result is backtest(Strategy, bars, ...)")
        return found[-1]


@contextlib.contextmanager
def _taking(take: Callable[[Result], None] | None, instead: Any) -> Iterator[None]:
    results.taker, results.instead = take, instead
    try:
        yield
    finally:
        results.taker = results.instead = None


@contextlib.contextmanager
def _unheard(hear: tuple[str, ...]) -> Iterator[None]:
    """What is printed, shown and handed over goes nowhere, and nothing is tested."""
    kept = channel.relay, checking.active, checking.backtests

    def pass_on(message: dict[str, Any]) -> None:
        if message.get("type") in hear:
            channel.relay = kept[0]
            try:
                channel.emit(message)
            finally:
                channel.relay = pass_on

    channel.relay, checking.active = pass_on, False
    nowhere = io.StringIO()
    try:
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            yield
    finally:
        channel.relay, checking.active, checking.backtests = kept


def space_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """{"fast": {"values": [5, 10]}, "slow": {"low": 20, "high": 90, "step": 10}} as sweep() takes it."""
    return {
        name: list(part["values"])
        if "values" in part
        else Between(part["low"], part["high"], part.get("step"), bool(part.get("log")))
        for name, part in given.items()
    }


def carry_out(path: str, given: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
    """A sweep, or a walk-forward, of the program at this path.

    given: values of its parameters that are not tried. plan: space, method, constraint, trials, early_stop, objective,
    seed; for a walk-forward also walk: train, test, purge, embargo, anchored, choose.
    """
    program = Program(path, given)
    clock = Clock()
    # Its data are read and its libraries loaded before copies of this process work with them.
    base = program.result({}, ("param", "ask"))
    if plan.get("walk"):
        _walk(program, plan, base)
    else:
        _sweep(program, plan, base, clock)


def _searching(plan: Mapping[str, Any]) -> dict[str, Any]:
    text = plan.get("constraint") or ""
    return {
        "method": plan["method"],
        "constraint": condition(text, plan["space"]) if text else None,
        "trials": plan.get("trials"),
        "early_stop": plan.get("early_stop"),
        "objective": plan["objective"],
        "seed": plan["seed"],
        "where": "box",  # what has been read and loaded is here
        "show": False,
    }


def _read(base: Result) -> dict[str, Any]:
    """What the trials stand on: the same sweep over other data is another one."""
    claim = base.claim
    bars = [[each.get("series") or each["symbol"], each.get("object")] for each in claim["instruments"]]
    return {"bars": bars, "period": claim["period"]}


def _sweep(program: Program, plan: Mapping[str, Any], base: Result, clock: Clock) -> None:
    def tried(**values: Any) -> Any:
        return program.outcome(values)

    tried.__name__, tried.reads = Path(program.path).name, _read(base)  # type: ignore[attr-defined]
    found = sweep(tried, space_of(plan["space"]), **_searching(plan))
    print(found.stopped + (f" {found.resumed:,} had been tried before." if found.resumed else ""))
    if found.neighbourhood is None:
        raise ValueError("no combination has a score; the page of the sweep lists why each one failed")
    found.show()
    print(f"The program with the values of the plateau, {_words(found.plateau)}:")
    _openly(program, found.plateau, clock)


def _openly(program: Program, values: Mapping[str, Any], clock: Clock) -> None:
    """Run it as Run does, with every test of honesty."""
    from qfp.checking.programs import run_source

    names = program.run(values)
    if checking.whole_program:
        os.environ["QFP_PARAMS"] = json.dumps({**program.given, **values})
        folder = str(Path(program.path).parent)
        again = lambda: run_source(program.source, program.path, program.names)  # noqa: E731
        checking.examine_program(again, names, program.source, folder, clock)
        checking.forget()  # or what is around this call would be tested once more, with the sweep in it


def _walk(program: Program, plan: Mapping[str, Any], base: Result) -> None:
    from qfp.sweeps.evaluation import test_of

    how = dict(plan["walk"])
    choose = how.pop("choose", "plateau")
    bars = program.asked({}).bars
    windows = windows_of(len(bars), **how)
    reads, name = _read(base), Path(program.path).name

    def chosen(window: Any) -> Any:
        def tried(**values: Any) -> Any:
            asked = program.asked(values)
            seen = asked.bars.iloc[window.train_start : window.train_stop]
            return test_of(asked.strategy, seen, asked.options).run_once(asked.params, tier="interpreted")

        tried.__name__ = name
        tried.reads = {**reads, **places_of(bars.index, window)}  # type: ignore[attr-defined]
        return sweep(tried, space_of(plan["space"]), **_searching(plan))

    def test(values: Parameters) -> tuple[type, Any, dict[str, Any], dict[str, Any]]:
        asked = program.asked(values)
        return asked.strategy, asked.bars, asked.options, asked.params

    walked: WalkForward = walk(base.strategy, bars, windows, chosen, test, choose)
    walked.show()
    walked.hand_over()
    checking.forget()


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in values.items())
