"""What does a strategy ask for on every bar? It is run again with its orders written down, up to a bar."""

from __future__ import annotations

import ast
import copy
import linecache
import math
import numbers
import sys
import types
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import pandas as pd

from qfp.backtesting import Backtest
from qfp.backtesting.core import Ruined
from qfp.backtesting.orders import Order
from qfp.backtesting.running import _adapted
from qfp.backtesting.strategy import Strategy
from qfp.checking.clock import Clock
from qfp.checking.decisions import Decision
from qfp.checking.variations import Variation, varied

__all__ = ["Recorded", "StrategyRuns", "source_line", "where_kept", "where_picked"]

CLOCK_EVERY = 16  # bars
LIBRARIES = ("qfp.", "backtesting.")


class Recorded:
    """One run: its decisions, where in the code they were made, and its indicators with the code that made them.

    until: the last bar to be decided. seconds: a run that has not come to it after them ends there, and `until`
    says where.
    """

    def __init__(self, until: int, seconds: float = math.inf) -> None:
        self.until, self.seconds, self.clock = until, seconds, Clock()
        self.decisions: list[Decision] = []
        self.lines: dict[int, tuple[str, int]] = {}  # bar -> file and line of its first order
        self.indicators: list[tuple[Any, tuple[str, int]]] = []
        self.strategy: Strategy | None = None
        self.numbers: dict[str, Any] = {}  # that the strategy kept when init() had ended
        self.final = 0.0  # what the account was worth on the last close


class StrategyRuns:
    """A strategy over bars that can be varied after a bar.

    options: of the backtest, such as cash and commission. state: what the class kept before its first run.
    """

    def __init__(
        self, strategy: type, frame: pd.DataFrame, options: dict[str, Any], params: dict[str, Any], state: Any = None
    ) -> None:
        self.strategy, self.frame, self.options, self.params = _adapted(strategy), frame, options, params
        self.count = len(frame)
        self.state = class_state(strategy) if state is None else state

    def decide(self, variation: Variation | None, until: int) -> list[Decision]:
        frame = self.frame if variation is None else varied(self.frame, variation)
        return self.recorded(frame, until).decisions

    def recorded(
        self, frame: pd.DataFrame, until: int, seconds: float = math.inf, options: dict[str, Any] | None = None
    ) -> Recorded:
        recorded = Recorded(until, seconds)
        restore(self.state)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            test = Backtest(frame, _recording(self.strategy, recorded), **{**self.options, **(options or {})})
            test.run_once(dict(self.params))
        return recorded


def _recording(strategy: type[Strategy], recorded: Recorded) -> type[Strategy]:
    """The strategy with its orders written down; it ends after the bar `recorded.until`."""

    def indicator(self: Any, *args: Any, **kwargs: Any) -> Any:
        line = strategy.I(self, *args, **kwargs)
        recorded.indicators.append((line, _caller()))
        return line

    def begin(self: Any) -> None:
        strategy.init(self)
        recorded.numbers = {name: value for name, value in vars(self).items() if isinstance(value, numbers.Real)}

    def decide(self: Any) -> None:
        account = self._account
        bar = account.bar
        recorded.strategy = self
        if bar % CLOCK_EVERY == 0 and recorded.clock.passed > recorded.seconds:
            recorded.until = min(recorded.until, bar - 1)
        if bar > recorded.until:
            raise Ruined
        recorded.final = account.equity()
        before = list(account.orders)
        strategy.next(self)
        if account.orders != before:
            _write_down(recorded, bar, before, account.orders)

    def ordering(name: str) -> Any:
        def order(self: Any, **kwargs: Any) -> Any:
            recorded.lines.setdefault(self._account.bar, _caller())
            return getattr(strategy, name)(self, **kwargs)

        return order

    names: dict[str, Any] = {
        "I": indicator,
        "init": begin,
        "next": decide,
        "buy": ordering("buy"),
        "sell": ordering("sell"),
    }
    made = types.new_class(strategy.__name__, (strategy,), {}, lambda body: body.update(names))
    made.__module__, made.__qualname__ = strategy.__module__, strategy.__qualname__
    return made


def _caller() -> tuple[str, int]:
    """Where the program called; not the library between."""
    place = frame = sys._getframe(2)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith(LIBRARIES):
        frame = frame.f_back
    if str(frame.f_globals.get("__name__")).startswith(LIBRARIES):
        frame = place
    return frame.f_code.co_filename, frame.f_lineno


def _write_down(recorded: Recorded, bar: int, before: list[Order], after: list[Order]) -> None:
    known, still = set(map(id, before)), set(map(id, after))
    for order in after:
        if id(order) not in known:
            recorded.decisions.append(_decision(bar, order, ""))
    for order in before:
        if id(order) not in still:
            recorded.decisions.append(_decision(bar, order, "cancel "))


def _decision(bar: int, order: Order, verb: str) -> Decision:
    closing = "close " if order._trade is not None else ""
    kind = "-".join(word for word, price in (("stop", order._stop), ("limit", order._limit)) if price) or "market"
    extra = [price for price in (order._sl, order._tp) if price]
    limit, stop = order._limit or math.nan, order._stop or math.nan
    if extra:  # with a stop-loss or target it is another order
        kind, limit, stop = f"{kind} bracket", order._tp or limit, order._sl or stop
    return Decision(bar, 0, verb + closing + kind, float(order._size), limit, stop)


# What a class keeps between runs ----------------------------------------------------------------------------------

PLAIN: tuple[type, ...] = (int, float, complex, str, bytes, bool, type(None), type, property, classmethod, staticmethod)
LARGE = 1 << 24  # bytes; whoever keeps so much in a class fills it once


class State:
    """Attributes of classes that a run may change in place, as they were."""

    unknown: ClassVar[object] = object()

    def __init__(self, values: list[tuple[type, str, Any, Any]]) -> None:
        self.values = values


def class_state(strategy: type) -> State:
    values = []
    for owner in strategy.__mro__:
        if owner in (Strategy, object) or owner.__module__.startswith(("qfp.", "backtesting", "abc")):
            continue
        for name, value in vars(owner).items():
            if name.startswith("__") or name == "_abc_impl" or callable(value):
                continue
            kept = value
            if not isinstance(value, (*PLAIN, pd.DataFrame, pd.Series)) and getattr(value, "nbytes", 0) < LARGE:
                try:
                    kept = copy.deepcopy(value)
                except Exception:  # noqa: S112  such as a lock: it stays as it is
                    continue
            values.append((owner, name, value, kept))
    return State(values)


def restore(state: State) -> None:
    for owner, name, value, kept in state.values:
        if kept is not value:
            setattr(owner, name, copy.deepcopy(kept))
        elif vars(owner).get(name, State.unknown) is not value:
            setattr(owner, name, value)


def where_kept(strategy: type, name: str) -> tuple[str, int] | None:
    """The line in which the program's init() gives this attribute its value."""
    return _where(strategy, "init", lambda node: _is_attribute(node, name, ast.Store))


def where_picked(strategy: type, name: str) -> tuple[str, int] | None:
    """The line in which its next() picks something from this attribute."""

    def is_picked(node: ast.AST) -> bool:
        inner = ast.walk(node.value) if isinstance(node, ast.Subscript) else ()
        return any(_is_attribute(each, name, ast.Load) for each in inner)

    return _where(strategy, "next", is_picked)


def _is_attribute(node: ast.AST, name: str, use: type[ast.expr_context]) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.ctx, use) and node.attr == name


def _where(strategy: type, method: str, is_it: Callable[[ast.AST], bool]) -> tuple[str, int] | None:
    for owner in strategy.__mro__:
        code = getattr(vars(owner).get(method), "__code__", None)
        if code is None or owner.__module__.startswith(LIBRARIES):
            continue
        try:
            tree = ast.parse("".join(linecache.getlines(code.co_filename)))
        except SyntaxError:
            continue
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef) and (function.name, function.lineno) == (
                method,
                code.co_firstlineno,
            ):
                for node in ast.walk(function):
                    if is_it(node):
                        return code.co_filename, node.lineno  # type: ignore[attr-defined]
    return None


def source_line(place: tuple[str, int]) -> str:
    """The line of code, without what is around it."""
    return linecache.getline(*place).strip().rstrip(",").rstrip()
