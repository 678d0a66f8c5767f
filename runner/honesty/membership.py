"""Does a program choose among the members of a day that was still to come? Read from its text, as far as that says it.

A day that is only known when the program runs is left to the look-ahead test, which gives membership other dates.
"""

from __future__ import annotations

import ast
import datetime
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from runner.honesty.value_use import Uses

__all__ = ["noted"]

CALL, NAME, DAY = "universe", "name", "asof"
MOST_TEXT = 200_000
MOST_PARTS = 3  # year, month and day; hours do not matter


def noted(
    conventions: Mapping[str, Any], files: Mapping[str, str], dates: Sequence[str], fills: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The conventions of a backtest, with a sentence of survivorship where its program asks for members as of a day
    after the first one that it traded on, and makes use of none before: who asks year by year asks for later ones, too.
    """
    traded = dates[min((int(fill["bar"]) for fill in fills), default=0)][:10]
    asked = [each for name, text in files.items() if name.endswith(".py") for each in _asked(text)]
    if not all(each.universe for each in asked):  # any of them may be of the same one
        asked = [each._replace(universe="") for each in asked]
    in_time = {each.universe for each in asked if each.used and each.day <= traded}
    later = [each.day for each in asked if each.day > traded and each.universe not in in_time]
    if not later:
        return dict(conventions)
    said = f"The program asks who belonged to a universe as of {max(later)}, after the first day traded, {traded}."
    before = conventions.get("survivorship", "")
    return {**conventions, "survivorship": f"{said} {before or 'What failed may be missing from the choice.'}"}


class _Asked(NamedTuple):
    """universe: its name; empty where the text does not say it. used: whether use is made of the members."""

    universe: str
    day: str
    used: bool


@lru_cache(maxsize=64)
def _asked(text: str) -> tuple[_Asked, ...]:
    """For which days a text asks who belonged to a universe, where they stand in it."""
    if CALL not in text or len(text) > MOST_TEXT:
        return ()
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    known, uses = _constants(tree), Uses(tree)
    nodes = list(ast.walk(tree))
    imported = [alias for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names]
    called = {alias.asname or CALL for alias in imported if alias.name in (CALL, "*")}
    found = []
    for call in _calls(tree, called):
        given = _given(call, DAY, 1)
        if given is not None and (day := _day(given, known)):
            found.append(_Asked(_text(_given(call, NAME, 0), known), day, uses.is_used(call)))
    return tuple(dict.fromkeys(found))


def _calls(tree: ast.Module, called: set[str]) -> Iterator[ast.Call]:
    """Of a module's function, or of one that was imported from it; a program may have another of that name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                is_it = node.func.attr == CALL
            else:
                is_it = getattr(node.func, "id", None) in called
            if is_it:
                yield node


def _given(call: ast.Call, name: str, place: int) -> ast.expr | None:
    named = next((word.value for word in call.keywords if word.arg == name), None)
    return named if named is not None else call.args[place] if len(call.args) > place else None


def _text(given: ast.expr | None, known: Mapping[str, ast.expr]) -> str:
    if isinstance(given, ast.Name):
        given = known.get(given.id)
    return given.value.casefold() if isinstance(given, ast.Constant) and isinstance(given.value, str) else ""


def _constants(tree: ast.Module) -> dict[str, ast.expr]:
    """Names that the program gives a value once, and never another."""
    found: dict[str, ast.expr] = {}
    names = (node for node in ast.walk(tree) if isinstance(node, ast.Name))
    stored = Counter(node.id for node in names if isinstance(node.ctx, ast.Store))
    for node in tree.body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                pairs = [(target, node.value)]
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = list(zip(target.elts, node.value.elts, strict=False))
                found |= {at.id: value for at, value in pairs if isinstance(at, ast.Name) and stored[at.id] == 1}
    return found


def _day(given: ast.expr, known: Mapping[str, ast.expr]) -> str:
    """As 2018-12-31, whether it is a text, a name for one, or such as date(2018, 12, 31); empty where it is neither."""
    if isinstance(given, ast.Name):
        given = known.get(given.id, given)
    parts: list[ast.expr] = [given]
    if isinstance(given, ast.Call) and not given.keywords:
        parts = given.args[:MOST_PARTS]
    values = [part.value for part in parts if isinstance(part, ast.Constant)]
    if len(values) < len(parts):
        return ""
    try:
        match values:
            case [str(text)]:
                return datetime.datetime.fromisoformat(text.strip()).date().isoformat()
            case [int(year), int(month), int(day)]:
                return datetime.date(year, month, day).isoformat()
    except (ValueError, OverflowError):
        pass
    return ""
