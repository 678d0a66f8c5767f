"""Is there a long table of numbers or days in the code of a strategy? What happened can be written down in one.

Only what stands in the text of a program is counted, in its strategy or under a name that it reads: what is computed is
the business of the look-ahead test.
"""

from __future__ import annotations

import ast
import linecache
import re
from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["LONG", "longest_table"]

LONG = 20
NUMBER = re.compile(r"\d[\d.:-]*")
TABLES = (ast.List, ast.Tuple, ast.Set, ast.Dict)


def longest_table(parts: Iterable[Any]) -> int:
    """How many numbers and days the longest table has that these classes and functions hold or read."""
    longest = 0
    for part in parts:
        for table in _read_by(part):
            longest = max(longest, _count(table))
    return longest


def _read_by(part: Any) -> Iterator[ast.AST]:
    """What is written in a class or function, and what the program's names stand for that it reads."""
    code = next((code for code in map(_code, (part, *vars(part).values())) if code), None) if part else None
    if code is None or not getattr(part, "__name__", ""):
        return
    try:
        tree = ast.parse("".join(linecache.getlines(code.co_filename)))
    except (SyntaxError, ValueError, RecursionError):
        return
    kinds = (ast.ClassDef,) if isinstance(part, type) else (ast.FunctionDef, ast.Lambda)
    own = [node for node in ast.walk(tree) if isinstance(node, kinds) and _is(node, part, code)]
    names = {node.id for one in own for node in ast.walk(one) if isinstance(node, ast.Name)}
    yield from own
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id in names for to in node.targets):
            yield node.value


def _code(value: Any) -> Any:
    return getattr(getattr(value, "__func__", value), "__code__", None)


def _is(node: ast.AST, part: Any, code: Any) -> bool:
    if isinstance(node, ast.ClassDef):
        return node.name == part.__name__
    return getattr(node, "lineno", 0) == code.co_firstlineno


def _count(tree: ast.AST) -> int:
    """The most numbers and days in one list, dictionary, set or text of it."""
    longest = 0
    notes = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, TABLES):
            longest = max(longest, sum(map(_is_value, ast.walk(node))))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in notes:
            longest = max(longest, len(NUMBER.findall(node.value)))
    return longest


def _is_value(node: ast.AST) -> bool:
    if not isinstance(node, ast.Constant) or isinstance(node.value, bool):
        return False
    return isinstance(node.value, (int, float)) or (isinstance(node.value, str) and bool(NUMBER.match(node.value)))
