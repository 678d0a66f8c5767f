"""The code of a program without literals, names and what does nothing, as one hash.

Trials of deleted projects are stored by it, and draws are made by it: what it gives for a program never changes, so
what else is known to be the same is read in shapes.py and spelling.py.
"""

from __future__ import annotations

import ast
import hashlib
import operator
from collections.abc import Callable
from typing import Any

__all__ = ["MOST_CHARACTERS", "shape_of"]

MOST_CHARACTERS = 40_000  # of a file that is compared by its structure; longer ones by their text
ACTING = (ast.Call, ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)
# Calls that change nothing a strategy decides by, where nothing is done with what they give.
IDLE = {
    "print",
    "repr",
    "str",
    "len",
    "int",
    "float",
    "bool",
    "abs",
    "min",
    "max",
    "sum",
    "round",
    "type",
    "isinstance",
}
LOGS = {"logging", "logger", "log", "warnings"}


def shape_of(files: dict[str, str]) -> str:
    """SHA-256 of the code without literals and names."""
    texts = [text for path, text in files.items() if path.endswith(".py") and text.strip()]
    structures = sorted(_structure(text, len(texts) == 1) for text in texts)
    return hashlib.sha256("\0".join(structures).encode("utf-8", "replace")).hexdigest()


class _Own(ast.NodeVisitor):
    """Which names has a program given itself, and by what others does it call what it imports?"""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.read: set[str] = set()
        self.reached: set[str] = set()
        self.imported: dict[str, str] = {}

    def visit(self, node: ast.AST) -> None:
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name):
                self.names.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                self.names.add(name)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                self.names.add(name)
            case ast.MatchMapping(rest=str(name)):
                self.names.add(name)
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                self.names.update(names)
            case ast.alias(name=name, asname=str(other)):
                self.imported[other] = name
            case ast.Name(id=name, ctx=ast.Load()):
                self.read.add(name)
            case ast.Attribute(attr=name, ctx=ast.Load()):
                self.reached.add(name)
        self.generic_visit(node)


class _Busy(ast.NodeTransformer):
    """A program without imports and without what does nothing, and what can be said in two ways in one of them."""

    def __init__(self, own: _Own, alone: bool) -> None:
        self.own, self.alone = own, alone

    def visit(self, node: ast.AST) -> Any:
        self.generic_visit(node)
        if isinstance(node, ast.Module | ast.FunctionDef):
            node.body = [each for each in node.body if not self._is_unused(each)]
        return self._expression(node) if isinstance(node, ast.expr) else self._statement(node)

    def _statement(self, node: ast.AST) -> Any:
        read = self.own.read | self.own.reached  # a class is read by its attributes
        match node:
            case ast.Pass() | ast.Import() | ast.ImportFrom() | ast.Assert():
                return None
            case ast.AnnAssign(target=target, value=value) if value is not None:
                return self._statement(ast.Assign([target], value))
            case ast.AugAssign(target=ast.Name(id=name) as target, op=op, value=value):
                return ast.Assign([target], ast.BinOp(ast.Name(name, ast.Load()), op, value))
            case ast.Expr(value=value) if not self._acts(value):
                return None
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name not in read and not self._acts(value):
                return None
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Name(id=same)) if name == same:
                return None
            case ast.FunctionDef(body=[*_, ast.Return(value=None | ast.Constant(value=None))]):
                del node.body[-1]
            case ast.If(test=ast.Constant(value=value)):
                return node.body if value else node.orelse
            case ast.If(test=test, body=[], orelse=[]) if not self._acts(test):
                return None
            case ast.If(test=ast.UnaryOp(op=ast.Not(), operand=test), body=body, orelse=[_, *_] as other):
                return ast.If(test, other, body)
            case ast.While(test=ast.Constant(value=value), orelse=[]) if not value:
                return None
            case ast.Try(body=body, handlers=[], orelse=other, finalbody=[]):
                return [*body, *other]
        return node

    def _expression(self, node: ast.expr) -> ast.expr:
        match node:
            case ast.BoolOp(op=op, values=values):
                return _joined(op, values)
            case ast.UnaryOp(op=ast.Not(), operand=ast.Constant(value=value)):
                return ast.Constant(not value)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return operand
            case ast.Compare(left=ast.Constant(value=one), ops=[op], comparators=[ast.Constant(value=other)]):
                known = _compared(op, one, other)
                return node if known is None else ast.Constant(known)
            case ast.Compare(left=left, ops=[ast.Gt() | ast.GtE() as op], comparators=[right]):
                return ast.Compare(right, [ast.Lt() if isinstance(op, ast.Gt) else ast.LtE()], [left])
            case ast.IfExp(test=ast.Constant(value=value), body=body, orelse=other):
                return body if value else other
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=ast.Constant(value=0)):
                return left
            case ast.BinOp(left=ast.Constant(value=0), op=ast.Add(), right=right):
                return right
            case ast.BinOp(left=left, op=ast.Mult() | ast.Div() | ast.Pow(), right=ast.Constant(value=1)):
                return left
            case ast.BinOp(left=ast.Constant(value=1), op=ast.Mult(), right=right):
                return right
            case ast.Call(keywords=keywords) if all(each.arg for each in keywords):
                node.keywords = sorted(keywords, key=lambda each: str(each.arg))
        return node

    def _is_unused(self, node: ast.stmt) -> bool:
        """A function that nobody calls; another file may call one of its own."""
        if not self.alone or not isinstance(node, ast.FunctionDef) or node.decorator_list:
            return False
        return node.name not in self.own.read and node.name not in self.own.reached

    def _acts(self, value: ast.AST) -> bool:
        """Whether computing it can do anything."""
        return any(isinstance(node, ACTING) and not self._is_idle(node) for node in ast.walk(value))

    def _is_idle(self, node: ast.AST) -> bool:
        match node:
            case ast.Call(func=ast.Name(id=name)):
                return name in IDLE and name not in self.own.names
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name))):
                return name in LOGS
        return False


def _joined(op: ast.boolop, values: list[ast.expr]) -> ast.expr:
    """Without what is always true among what all has to be, or always false among what one of has to be."""
    idle = isinstance(op, ast.And)
    left = [each for each in values if not (isinstance(each, ast.Constant) and each.value is idle)]
    if not left:
        return ast.Constant(idle)
    if isinstance(left[0], ast.Constant) and left[0].value is not idle and isinstance(left[0].value, bool):
        return left[0]
    return left[0] if len(left) == 1 else ast.BoolOp(op, left)


COMPARED: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def _compared(op: ast.cmpop, one: Any, other: Any) -> bool | None:
    """None where that cannot be said."""
    try:
        return bool(COMPARED[type(op)](one, other))
    except (KeyError, TypeError):
        return None


class _Shape(ast.NodeTransformer):
    """A program without literals and annotations; its own names are numbers."""

    def __init__(self, own: _Own) -> None:
        self.own = own
        self.numbers: dict[str, str] = {}

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Constant):
            return ast.Constant(0)
        if isinstance(node, ast.Global | ast.Nonlocal):
            node.names = [self._name(name) for name in node.names]
        for field in ("id", "attr", "arg", "name", "rest"):
            if isinstance(name := getattr(node, field, None), str):
                setattr(node, field, self._name(name))
        for field in ("annotation", "returns"):
            if isinstance(getattr(node, field, None), ast.AST) and not isinstance(node, ast.AnnAssign):
                setattr(node, field, None)
        self.generic_visit(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant):
            return node.operand
        return node

    def _name(self, name: str) -> str:
        if name in self.own.names:
            return self.numbers.setdefault(name, f"_{len(self.numbers)}")
        return self.own.imported.get(name, name)


def _structure(text: str, alone: bool = True) -> str:
    """alone: whether it is all there is of a program."""
    if len(text) > MOST_CHARACTERS:
        return text
    try:
        tree, own = ast.parse(text), _Own()
        own.visit(tree)
        busy = _Busy(own, alone).visit(tree)
        return ast.dump(_Shape(own).visit(busy if busy.body else ast.parse(text)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two for what is nested deeply
        return text
