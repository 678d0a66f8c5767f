"""Where in the functions that a statement calls does it look ahead? By the text of their lines alone: that it does is
known.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator

from qfp.checking.advice import ANYHOW_RANK, OVER_ALL_RANK, rank
from qfp.checking.flow import DEFINITIONS, FUNCTIONS

__all__ = ["telling_line", "text_of"]

WINDOWED = re.compile(r"\b(rolling|expanding|ewm)\b")


def telling_line(source: str, line: int) -> int:
    """The line that most clearly looks ahead: this one, or one of the program's functions that its statement uses,
    themselves or by way of others.
    """
    try:
        if rank(text_of(source, line)) < ANYHOW_RANK:
            return line
        tree = _parsed(source)
    except (IndexError, SyntaxError):  # such as of a session, whose text is elsewhere
        return line
    statements = [each for each in _simple(tree) if each.lineno <= line <= (each.end_lineno or each.lineno)]
    found = [(rank(text), at) for function in _used(statements, tree) for text, at in _lines(function, source)]
    return min(found, default=(ANYHOW_RANK, line))[1]


def text_of(source: str, line: int) -> str:
    """A line of the source without what is around it. The parser ends lines at these only; str.splitlines() at more."""
    return re.split(r"\r\n|\r|\n", source)[line - 1].strip()


@functools.lru_cache(maxsize=2)
def _parsed(source: str) -> ast.Module:
    return ast.parse(source)


def _simple(tree: ast.AST) -> Iterator[ast.stmt]:
    """Statements that hold no others."""
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and not hasattr(node, "body"):
            yield node


def _used(statements: list[ast.stmt], tree: ast.Module) -> list[ast.AST]:
    """Functions of the program that are called or handed on there, and in those in turn; methods by their names."""
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, FUNCTIONS)}
    found: list[ast.AST] = []
    waiting: list[ast.AST] = list(statements)
    while waiting:
        for node in ast.walk(waiting.pop(0)):
            name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
            function = functions.pop(name, None)
            if function is not None:
                found.append(function)
                waiting.append(function)
    return found


def _lines(function: ast.AST, source: str) -> list[tuple[str, int]]:
    """Of its statements, and what stands before those inside them; those that say what to write instead."""
    rows = sorted({at for node in ast.walk(function) if isinstance(node, ast.stmt) for at in _rows(node)})
    texts = [(text_of(source, at), at) for at in rows]
    # The mean of something named before may be one over its window.
    most = OVER_ALL_RANK - any(WINDOWED.search(text) for text, _ in texts)
    return [(text, at) for text, at in texts if rank(text) <= most]


def _rows(statement: ast.stmt) -> range:
    """The lines of its own; a definition has none, and neither has a text that stands alone."""
    if isinstance(statement, DEFINITIONS) or isinstance(getattr(statement, "value", None), ast.Constant):
        return range(0)
    last = statement.lineno if hasattr(statement, "body") else statement.end_lineno or statement.lineno
    return range(statement.lineno, last + 1)
