"""Can this strategy's next() become machine code? Translates it into the words of language.py, or says why not.

What a name means is looked up on a strategy whose init() has run: an indicator becomes a column, a number that next()
never sets becomes an argument (so that one translation serves a whole search), one that it sets becomes a variable.
Whatever could raise in Python (an index before the first bar, a division by zero, a price that is none) ends the run
as failed, and the interpreted tier repeats it. So what is translated is never wrong, only sometimes refused.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import numpy as np

from qfp.backtesting.compiled.machine import functions_of
from qfp.backtesting.compiled.outside import Outside, alike
from qfp.backtesting.compiled.quiet import condition_of
from qfp.backtesting.compiled.sieve import Sieve, sieve_of
from qfp.backtesting.compiled.statements import Statements
from qfp.backtesting.compiled.values import (
    NONE,
    Refused,
    Scope,
    column_of,
    fits,
    followed,
    indented,
    parsed,
    stored,
    type_of,
    zero,
)
from qfp.backtesting.strategy import Strategy

__all__ = ["Bound", "Refused", "Translation", "translate"]

PASSES = 6


@dataclass
class Translation:
    """next() as functions of the machine's language, and what they need from a strategy."""

    functions: list[ast.FunctionDef]
    series: list[tuple[tuple[Any, ...], str]]  # path on the strategy, type of the column
    arguments: list[tuple[str, str]]  # attribute, type
    state: list[tuple[int, str, str]]  # number of the argument, attribute, type
    fixed: dict[tuple[Any, ...], Any]  # what else was looked up on it, and has to be the same
    answers: dict[tuple[tuple[Any, ...], Callable[[Any], bool]], bool]  # what was asked about other things of it
    outside: Outside  # what was looked up elsewhere
    tags: list[Any]
    sieve: Sieve | None  # that finds the bars on which next() may do something

    def bind(self, strategy: Strategy) -> Bound | None:
        """The columns and numbers of this strategy; None where something is of another kind."""
        if len(strategy._account.decisions) or not self.outside.same(strategy):
            return None
        columns, numbers = [], []
        for path, kind in self.series:
            found = followed(strategy, path)
            column = column_of(found)
            if column is None or column[1] != kind:
                return None
            columns.append(column[0])
        for name, kind in self.arguments:
            value = getattr(strategy, name, None)
            if not fits(value, kind):
                return None
            numbers.append(math.nan if value is None else float(value))
        try:
            if not all(alike(followed(strategy, path), thing) for path, thing in self.fixed.items()):
                return None
            if any(ask(followed(strategy, path)) != answer for (path, ask), answer in self.answers.items()):
                return None
        except (AttributeError, LookupError, TypeError, ValueError):
            return None
        return Bound(columns, numbers)


@dataclass
class Bound:
    """What one strategy gives a translation."""

    columns: list[np.ndarray]
    numbers: list[float]


def translate(strategy: Strategy) -> Translation:
    """Raises Refused, with the reason."""
    types: dict[str, str] = {}
    for _ in range(PASSES):
        one = _Pass(strategy, types)
        found = one.translation()
        if one.types == types and not one.changed:
            return found
        types = one.types
    raise Refused("sets its names to too many different things")


class _Pass(Statements):
    """One reading of a whole next()."""

    def translation(self) -> Translation:
        cls = type(self.strategy)
        function = self.outside.method(cls, "next")
        if not isinstance(function, FunctionType) or "next" in vars(self.strategy):
            raise Refused("is not a plain function")
        self.outside.function(function)
        for name in ("__getattr__", "__getattribute__", "__setattr__"):
            if getattr(cls, name, None) not in (None, getattr(object, name, None)):
                raise Refused(f"belongs to a class with a {name}() of its own")
        tree = parsed(function)
        self.set_attributes = self._attributes_set(type(self.strategy))
        self.scopes.append(Scope(function, tree.args.args[0].arg))
        state_names = sorted(self.set_attributes)
        for name in state_names:
            self._begin_state(name)
        self.body(tree.body)
        state: list[tuple[int, str, str]] = []
        head, tail = [], []
        for number, (path, kind) in enumerate(self.series):
            cast = "column" if kind == "float" else "column_of_int"
            head.append(f"l{number} = {cast}(a.lines[{number}])  # {path}")
        for name in state_names:
            kind = self.types.get(f"s_{name}", "float")
            if type_of(getattr(self.strategy, name, math.nan)) is not None and hasattr(self.strategy, name):
                number = self._argument(name, kind)
                state.append((number, name, kind))
                tail.append(f"a.params[{number}] = s_{name}")
            else:
                number = len(self.arguments) + sum(one[0] >= len(self.arguments) for one in state)
                head.append(f"s_{name}: {stored(kind)} = {zero(kind)}")
        for number, (name, kind) in enumerate(self.arguments):
            own = f"s_{name}" if name in self.set_attributes else f"p{number}"
            source = f"a.params[{number}]"
            if kind in ("optional", "none"):
                source = f"({source} if {source} == {source} else from_bits({NONE}))"
            code = f"whole({source})" if kind == "int" else (f"{source} != 0.0" if kind == "bool" else source)
            head.append(f"{own}: {stored(kind)} = {code}")
        for name, kind in self.types.items():
            if name.startswith("v"):
                head.append(f"{name}: {stored(kind)} = {zero(kind)}")
        floats = {f"l{number}" for number, (_, kind) in enumerate(self.series) if kind == "float"}
        floats |= {f"p{number}" for number, (_, kind) in enumerate(self.arguments) if kind == "float"}
        bars, sieve = _bars("\n".join(self.lines), {"closes", *floats}, len(self.series))
        head += sieve.fixed() if sieve is not None else []
        text = RUN.format(
            head=indented(head, 1),
            bars=bars,
            body="\n".join(self.lines),
            tail=indented(tail, 1),
        )
        return Translation(
            functions_of(text),
            self.series,
            self.arguments,
            state,
            self.fixed,
            self.answers,
            self.outside,
            self.tags,
            sieve,
        )


def _bars(body: str, floats: set[str], closes: int) -> tuple[str, Sieve | None]:
    """All of them, or with the condition by which machine code finds those on which something may happen; its sieve.

    closes: the line that has them.
    """
    found = condition_of(ast.parse("if True:\n" + body).body[0].body if body.strip() else [], floats)  # type: ignore[attr-defined]
    if found is None:
        return "range(a.start, a.count)", None
    sieve = sieve_of(found, {name: int(name[1:]) if name != "closes" else closes for name in floats if name[0] != "p"})
    if sieve is not None:
        onward = ", ".join([*sieve.changing(), "next_bar(a, bar, below, above)"])
        return f"sifted(a.start, a.count, then({onward}) if quiet else bar)", sieve
    test = f"{ast.unparse(found.test)} or closes[bar] <= below or closes[bar] >= above"
    return f"bars(a.start, a.count, {found.back}, quiet, {test})", None


RUN = """
def run(a: Account) -> int:
    must(begin(a) >= 0)
    aim(a)
    closes = a.closes
{head}
    status = 0
    quiet = True
    below = a.danger_below
    above = a.danger_above
    for bar in {bars}:
        if not quiet or closes[bar] <= below or closes[bar] >= above:
            a.bar = bar
            status = process(a)
            if status != 0:
                break
            quiet = a.waiting == 0
            below = a.danger_below
            above = a.danger_above
{body}
    must(status >= 0)
    if status == 0:
        a.bar = a.count - 1
        must(finish(a) >= 0)
{tail}
    return 0
"""
