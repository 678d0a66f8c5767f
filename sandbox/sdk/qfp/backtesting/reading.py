"""What does a function's text say? Its syntax tree, where the text that can be found is still that of the function.

A file may have changed since, and in a live session the cells are one file in which a later cell takes the lines of an
earlier one. So what is read is compiled, and has to give the code that the function has.
"""

from __future__ import annotations
import __future__

import ast
import dis
import inspect
from bisect import bisect_left
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

__all__ = ["tree_of"]

FUTURE = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
SAME = ("co_names", "co_varnames", "co_freevars", "co_cellvars", "co_argcount", "co_kwonlyargcount")
IDLE = {"CACHE", "EXTENDED_ARG", "NOP", "PRECALL", "PUSH_NULL"}


def tree_of(function: FunctionType) -> ast.stmt:
    """The statement that defines the function; its lines count from 1. Raises OSError, TypeError or SyntaxError where
    there is no text of it.
    """
    text = inspect.getsource(function)
    if text[:1].isspace():  # a method: not dedented, which would change texts of several lines in it
        tree = ast.parse(f"if True:\n{text}").body[0].body[0]  # type: ignore[attr-defined]
        ast.increment_lineno(tree, -1)
    else:
        tree = ast.parse(text).body[0]
    if not any(_alike(function.__code__, one) for one in _compiled(tree, function.__code__)):
        raise OSError(f"the text of {function.__qualname__}() is not there any more")
    return tree


def _compiled(tree: ast.stmt, code: CodeType) -> Iterator[CodeType]:
    """Code of the functions that the statement defines, standing where the function of this code stood: in a class of
    its name, and in a function that has the names it takes from there.
    """
    within = code.co_qualname.split(".")[-2:-1]
    if within and within != ["<locals>"]:
        tree = ast.ClassDef(within[0], bases=[], keywords=[], body=[tree], decorator_list=[])
    taken = [name for name in code.co_freevars if name != "__class__"]
    body: list[ast.stmt] = [ast.Assign([ast.Name(name, ast.Store())], ast.Constant(None)) for name in taken]
    if taken:
        nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
        tree = ast.FunctionDef("around", nothing, [*body, tree], decorator_list=[])
    module = ast.fix_missing_locations(ast.Module([tree], type_ignores=[]))
    left = [compile(module, "<text>", "exec", code.co_flags & FUTURE, dont_inherit=True)]
    while left:
        one = left.pop()
        if one.co_name == code.co_name:
            yield one
        left += [each for each in one.co_consts if isinstance(each, CodeType)]


def _alike(one: Any, other: Any) -> bool:
    """Whether two pieces of code do the same, wherever they stand; or two constants are equal, signs of zeros, too."""
    if type(one) is not type(other):
        return False
    if isinstance(one, CodeType):
        if any(getattr(one, name) != getattr(other, name) for name in SAME):
            return False
        return _alike(one.co_consts, other.co_consts) and (one.co_code == other.co_code or _steps(one) == _steps(other))
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(_alike, one, other))
    return bool(one == other) and (isinstance(one, frozenset) or repr(one) == repr(other))


def _steps(code: CodeType) -> list[tuple[str, Any]]:
    """Its instructions, and where they jump to. A method of a name that its file imports is called by others."""
    steps = [step for step in dis.get_instructions(code) if step.opname not in IDLE]
    offsets = [step.offset for step in steps]
    return [
        (
            step.opname.replace("LOAD_METHOD", "LOAD_ATTR"),
            bisect_left(offsets, step.argval)
            if step.opcode in dis.hasjrel or step.opcode in dis.hasjabs
            else step.argval
            if isinstance(step.argval, str)
            else step.arg,
        )
        for step in steps
    ]
