"""Where does a program say what its parameters are by default, and how does it read with others? Only plain values in
param() calls are read and written; the rest of the text stays as it is, letter for letter.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["declared_in", "defaults_of", "names_of", "with_defaults"]

KINDS = {bool: "boolean", int: "number", float: "number", str: "text"}
LONGEST_NAME = 60
MOST_DECLARED = 50


def defaults_of(source: str) -> dict[str, Any]:
    """Default by parameter, of those that are written as a plain value."""
    return {name: ast.literal_eval(node) for name, node in _defaults(source)}


def declared_in(source: str) -> list[dict[str, Any]]:
    """What a run of it would declare, as far as its text alone tells: name, label, kind, default, value, minimum,
    maximum, step, choices. One whose choices are no plain values is left out, and bounds that are none are.
    """
    declared: dict[str, dict[str, Any]] = {}
    for call, name, default in _calls(source):
        value, listed = ast.literal_eval(default), _argument(call, None, "choices")
        choices = _choices(listed)
        if not name.isidentifier() or len(name) > LONGEST_NAME or (listed is not None and value not in choices):
            continue
        label = _argument(call, None, "label")
        said = label.value if isinstance(label, ast.Constant) and isinstance(label.value, str) else ""
        bounds = {"minimum": 2, "maximum": 3, "step": None}
        declared.setdefault(
            name,
            {
                "name": name,
                "label": said or name.replace("_", " "),
                "kind": "choice" if choices else KINDS[type(value)],
                "default": value,
                "value": value,
                **{key: _number(_argument(call, place, key)) for key, place in bounds.items()},
                "choices": choices,
            },
        )
    return list(declared.values())[:MOST_DECLARED]


def _choices(node: ast.expr | None) -> list[Any]:
    plain = isinstance(node, (ast.List, ast.Tuple)) and all(_is_plain(each) for each in node.elts)
    return list(ast.literal_eval(node)) if plain and node is not None else []


def _number(node: ast.expr | None) -> float | None:
    value = ast.literal_eval(node) if node is not None and _is_plain(node) else None
    return value if type(value) in (int, float) else None


def names_of(files: Mapping[str, str]) -> set[str] | None:
    """All parameters of a program; None where its text alone does not tell, as with names that are put together."""
    names: set[str] = set()
    for path, text in files.items():
        found = _names(text) if path.endswith(".py") else set()
        if found is None:
            return None
        names |= found
    return names


def _names(source: str) -> set[str] | None:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    names, called = set(), set()
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or _called(call) != "param":
            continue
        called.add(call.func)
        name = _argument(call, 0, "name")
        if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
            return None
        names.add(name.value)
    hidden = any(_mentions_param(node) for node in ast.walk(tree) if node not in called)
    return None if hidden else names


def _mentions_param(node: ast.AST) -> bool:
    """Under another name, or as a value: whoever calls it then does not say param()."""
    match node:
        case ast.alias():
            return node.name == "param" and node.asname is not None
        case ast.Name():
            return node.id in ("param", "exec", "eval", "getattr") and isinstance(node.ctx, ast.Load)
        case ast.Attribute():
            return node.attr == "param"
    return False


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
    for _, name, default in _calls(source):
        yield name, default


def _calls(source: str) -> Iterator[tuple[ast.Call, str, ast.expr]]:
    """The calls of param() with a plain default, as ast.walk() meets them: call, name, default."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or _called(call) != "param":
            continue
        name, default = _argument(call, 0, "name"), _argument(call, 1, "default")
        if (
            isinstance(name, ast.Constant)
            and isinstance(name.value, str)
            and default is not None
            and _is_plain(default)
        ):
            yield call, name.value, default


def _argument(call: ast.Call, position: int | None, keyword: str) -> ast.expr | None:
    if position is not None and len(call.args) > position:
        return call.args[position]
    return next((each.value for each in call.keywords if each.arg == keyword), None)


def _called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def _is_plain(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return isinstance(node.operand, ast.Constant) and type(node.operand.value) in (int, float)
    return isinstance(node, ast.Constant) and type(node.value) in (bool, int, float, str)
