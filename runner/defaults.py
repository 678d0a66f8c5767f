"""Where does a program say what its parameters are by default, and how does it read with others? Only plain values in
param() calls are read and written; the rest of the text stays as it is, letter for letter.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["defaults_of", "with_defaults"]


def defaults_of(source: str) -> dict[str, Any]:
    """Default by parameter, of those that are written as a plain value."""
    return {name: ast.literal_eval(node) for name, node in _defaults(source)}


def with_defaults(source: str, values: Mapping[str, Any]) -> tuple[str, list[str]]:
    """(the program with these defaults, parameters whose default is not written as a plain value)."""
    found = dict(_defaults(source))
    lines = source.encode("utf-8", "surrogatepass").split(b"\n")
    chosen = [(node, values[name]) for name, node in found.items() if name in values]
    for node, value in sorted(chosen, key=lambda each: (-each[0].lineno, -each[0].col_offset)):
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        written = repr(value).encode()
        lines[first : last + 1] = [lines[first][: node.col_offset] + written + lines[last][node.end_col_offset :]]
    return b"\n".join(lines).decode("utf-8", "surrogatepass"), [name for name in values if name not in found]


def _defaults(source: str) -> Iterator[tuple[str, ast.expr]]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or _called(call) != "param":
            continue
        keywords = {each.arg: each.value for each in call.keywords}
        name = call.args[0] if call.args else keywords.get("name")
        default = call.args[1] if len(call.args) > 1 else keywords.get("default")
        if (
            isinstance(name, ast.Constant)
            and isinstance(name.value, str)
            and default is not None
            and _is_plain(default)
        ):
            yield name.value, default


def _called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def _is_plain(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return isinstance(node.operand, ast.Constant) and type(node.operand.value) in (int, float)
    return isinstance(node, ast.Constant) and type(node.value) in (bool, int, float, str)
