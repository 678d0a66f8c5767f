"""Does a program reckon by hand what a backtest would show and check? Said once, where its text leaves no doubt.

Looked for is a return that is multiplied by what was held (a comparison, or something shifted by a bar), compounded,
and then printed or drawn.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from django.db.models import Exists, OuterRef

from runner.models import Revision, Run

__all__ = ["hint", "line_of_own_return"]

MOST_BEFORE = 20  # earlier revisions of the project that may have been told
MOST_CHARACTERS = 40_000
PASSES = 2  # over the assignments: functions may stand below what they use
MOST_READ = 400_000  # characters of names, and parts of expressions, again and again: a third of a second
KEEPING = {"add", "astype", "clip", "copy", "dropna", "fillna", "mean", "reindex", "round", "sub", "sum", "to_numpy"}
SHOWING = {"print", "display", "show", "plot", "table", "line_chart"}
RETURNS, HELD, EARNED, GROWN = "returns", "held", "earned", "grown"


def hint(run: Run) -> str:
    """A sentence for the notes of a run without backtests; empty where there is none, or it was said before."""
    line = line_of_own_return(run.revision.source)
    if line is None:
        return ""
    before = Run.objects.filter(revision=OuterRef("pk"), queued__lt=run.queued, session=None)
    ran = Revision.objects.filter(Exists(before), project=run.revision.project_id).order_by("-number")
    if any(line_of_own_return(each.source) is not None for each in ran[:MOST_BEFORE]):
        return ""
    return (
        f"Line {line} compounds the return of positions by hand. The same weights in portfolio_backtest(…, weights=…) "
        "of qfp give curve, costs, figures and trades, and are tested for look-ahead: /docs/portfolio."
    )


def line_of_own_return(source: str) -> int | None:
    if len(source) > MOST_CHARACTERS or "prod(" not in source:
        return None
    try:
        tree = ast.parse(source)
        return _Reader(tree).line
    except (SyntaxError, ValueError, RecursionError, MemoryError, _TooLong):
        return None


class _TooLong(Exception):
    """What is nested so deeply that it would have to be read for minutes."""


class _Reader:
    """Follows which names hold returns, positions, what these earned, and that compounded."""

    def __init__(self, tree: ast.Module) -> None:
        self.names: dict[str, set[str]] = {}
        self.grown_at: int | None = None
        self.left = MOST_READ
        for _ in range(PASSES):
            for node in ast.walk(tree):
                if isinstance(node, ast.Assign):
                    for target in node.targets:
                        self.names[self._written(target)] = self.tags(node.value)
        shown = any(GROWN in self.tags(part) for part in _shown(tree))
        self.line = self.grown_at if shown else None

    def _written(self, node: ast.AST) -> str:
        written = ast.unparse(node)
        self._read(len(written))
        return written

    def _read(self, more: int) -> None:
        self.left -= more
        if self.left < 0:
            raise _TooLong

    def tags(self, node: ast.AST) -> set[str]:
        self._read(1)
        match node:
            case ast.Name() | ast.Attribute() | ast.Subscript():
                known = self.names.get(self._written(node))
                if known is None and isinstance(node, (ast.Attribute, ast.Subscript)):
                    known = self.tags(node.value)
                return known or set()
            case ast.Compare():
                return {HELD}
            case ast.BinOp():
                return self._of_operation(node)
            case ast.Call():
                return self._of_call(node)
            case ast.UnaryOp():
                return self.tags(node.operand)
        return set()

    def _of_operation(self, node: ast.BinOp) -> set[str]:
        one, other = self.tags(node.left), self.tags(node.right)
        if isinstance(node.op, ast.Mult):
            return _product(one, other)
        if isinstance(node.op, ast.Div) and isinstance(node.right, ast.Call) and _method(node.right) == "shift":
            return {RETURNS}
        return one | other

    def _of_call(self, node: ast.Call) -> set[str]:
        name = _method(node)
        of = self.tags(node.func.value) if isinstance(node.func, ast.Attribute) else set()
        given = [self.tags(each) for each in node.args]
        match name:
            case "pct_change":
                return {RETURNS}
            case "shift":
                return of if RETURNS in of or EARNED in of else {HELD}
            case "where" | "sign" | "gt" | "lt" | "ge" | "le":
                return {HELD}
            case "mul" | "multiply":
                return _product(of, set().union(*given))
            case "cumprod" | "prod":
                if EARNED in of.union(*given):
                    self.grown_at = self.grown_at or node.lineno
                    return {GROWN}
                return set()
        return of if name in KEEPING else set()


def _product(one: set[str], other: set[str]) -> set[str]:
    if (RETURNS in one and HELD in other) or (HELD in one and RETURNS in other):
        return {EARNED}
    return one | other


def _method(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _shown(tree: ast.Module) -> Iterator[ast.AST]:
    """Every part of what is printed, drawn, or stands alone at the end of a cell."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _method(node) in SHOWING:
            for part in [*node.args, *(each.value for each in node.keywords)]:
                yield from ast.walk(part)
            if isinstance(node.func, ast.Attribute):
                yield from ast.walk(node.func.value)
        elif isinstance(node, ast.Expr) and not isinstance(node.value, ast.Call):
            yield from ast.walk(node.value)
