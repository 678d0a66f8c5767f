"""How is a condition over columns asked of 64 bars at once? As steps over words of 64 bits, a bit for each bar.

A step compares two operands (columns, or a number 64 times), or joins the words of earlier steps. What a condition asks
of earlier bars is what it asks of this one, some bits on: a crossing takes two comparisons, not four. The steps are
data for sifting.py, so nothing has to be compiled for them.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any

from qfp.backtesting.compiled.quiet import Condition
from qfp.backtesting.compiled.sifting import BOTH, EITHER, SHIFT, WORDS

__all__ = ["WATCHED", "WORDS", "Sieve", "sieve_of"]

BITS = 64
MOST = 24  # steps: more take longer than the bars they save
WATCHED = 2  # numbers before those of the condition: closes between which the account cannot be ruined
COMPARISONS: dict[type, tuple[int, bool]] = {  # step, and whether the sides are exchanged
    ast.Lt: (0, False),
    ast.LtE: (1, False),
    ast.Eq: (2, False),
    ast.NotEq: (3, False),
    ast.Gt: (0, True),
    ast.GtE: (1, True),
}
NOT = 7  # beside the steps of sifting.py


class _Beyond(Exception):
    """A condition that steps cannot say."""


@dataclass
class Sieve:
    """steps: (what, of which, and which). operands: (number of the line or -1, bars back, number of the number).
    numbers: their code. back: the most that two columns of a comparison are apart. begin: first bar to ask about.
    """

    steps: list[tuple[int, int, int]] = field(default_factory=list)
    operands: list[tuple[int, int, int]] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    back: int = 0
    begin: int = 0

    @property
    def block(self) -> int:
        """Words at a time: few where they are soon out of date."""
        return 4 if self.changing() else 16

    def rows(self) -> list[tuple[int, int, int, int, int]]:
        """The steps, each with its twin: the same comparison with its sides exchanged, which it tells as well. -1 where
        there is none, as of a column with itself, -2 where it is told itself. Last, 1 where a twin may be told to be
        true where the values are equal or missing: then the whole is true on more bars, but where there is a NOT.
        """
        loose = int(all(what != NOT for what, _, _ in self.steps))
        found = []
        for at, (what, one, other) in enumerate(self.steps):
            exchanged = (what, other, one)
            both_ways = what < SHIFT and one != other and exchanged in self.steps
            twin = self.steps.index(exchanged) if both_ways else -1
            found.append((what, one, other, twin if twin > at or twin < 0 else -2, loose))
        return found

    def fixed(self) -> list[str]:
        """Calls that set the numbers that stay."""
        return [call for call, code in self._calls() if not may_change(code)]

    def changing(self) -> list[str]:
        """Calls that set the others."""
        return [call for call, code in self._calls() if may_change(code)]

    def _calls(self) -> list[tuple[str, str]]:
        return [(f"set_number(a, {at + WATCHED}, float({code}))", code) for at, code in enumerate(self.numbers)]


def may_change(code: str) -> bool:
    return any(isinstance(one, ast.Name) and one.id[:1] in "as" for one in ast.walk(ast.parse(code)))


def sieve_of(condition: Condition, lines: dict[str, int]) -> Sieve | None:
    """None where steps cannot say it. lines: numbers of the columns of floats, by name."""
    builder = _Builder(lines)
    try:
        builder.truth(condition.test)
    except _Beyond:
        return None
    found = builder.sieve
    if len(found.steps) > MOST or condition.back >= BITS:
        return None
    found.begin = condition.back + (2 * BITS if found.back else 0)
    return found


class _Builder:
    def __init__(self, lines: dict[str, int]) -> None:
        self.lines = lines
        self.sieve = Sieve()

    def step(self, what: int, one: int, other: int = 0) -> int:
        return place_of(self.sieve.steps, (what, one, other))

    def truth(self, node: ast.expr) -> int:
        """The step that says when it is true; the last of all for the whole condition."""
        if isinstance(node, ast.BoolOp):
            how = BOTH if isinstance(node.op, ast.And) else EITHER
            found = self.truth(node.values[0])
            for one in node.values[1:]:
                found = self.step(how, found, self.truth(one))
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            found = self.step(NOT, self.truth(node.operand))
        elif isinstance(node, ast.Compare):
            found = self.comparison(node)
        else:
            found = self.comparison(ast.Compare(node, [ast.NotEq()], [ast.Constant(0.0)]))
        return found

    def comparison(self, node: ast.Compare) -> int:
        sides = [self.side(one) for one in (node.left, node.comparators[0])]
        what, exchanged = COMPARISONS[type(node.ops[0])]
        if exchanged:
            sides.reverse()
        later = min((back for line, back, _ in sides if line >= 0), default=0)
        operands = []
        for line, back, number in sides:
            if line >= 0:
                back -= later
                self.sieve.back = max(self.sieve.back, back)
            operands.append(place_of(self.sieve.operands, (line, back, number)))
        found = self.step(what, *operands)
        return self.step(SHIFT, found, later) if later else found

    def side(self, node: ast.expr) -> tuple[int, int, int]:
        if isinstance(node, ast.Call):  # float()
            node = node.args[0]
        if isinstance(node, ast.Subscript):
            name = ast.unparse(node.value)
            if name not in self.lines:
                raise _Beyond
            back = node.slice.right.value if isinstance(node.slice, ast.BinOp) else 0  # type: ignore[attr-defined]
            return self.lines[name], back, 0
        if any(isinstance(one, ast.Subscript) for one in ast.walk(node)):
            raise _Beyond
        return -1, 0, place_of(self.sieve.numbers, ast.unparse(node)) + WATCHED


def place_of(known: list[Any], one: Any) -> int:
    if one not in known:
        known.append(one)
    return known.index(one)
