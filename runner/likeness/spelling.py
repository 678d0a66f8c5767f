"""One spelling for what can be written in many ways: a program without what does nothing in it."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable
from typing import Any

from runner.likeness.work import Work

__all__ = ["CALLED", "Busy", "Own", "Reached", "blanked", "is_strategy", "ordered"]

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


BY_VALUE = {"getattr", "attrgetter", "methodcaller", "vars", "__dict__", "globals", "locals", "eval", "exec"}
# What an engine calls is not the program's own name.
CALLED = {
    "init",
    "next",
    "self",
    "initialize",
    "handle_data",
    "before_trading_start",
    "analyze",
    "notify_order",
    "notify_trade",
    "notify_data",
    "notify_store",
    "notify_timer",
    "notify_cashvalue",
    "notify_fund",
    "start",
    "stop",
    "prenext",
    "nextstart",
    "prenext_open",
    "nextstart_open",
    "next_open",
}


def is_strategy(node: ast.ClassDef) -> bool:
    bases = (getattr(base, "attr", getattr(base, "id", "")) for base in node.bases)
    return any(name.endswith(("Strategy", "Algorithm")) for name in bases)


class Reached(ast.NodeTransformer):
    """What is reached by getattr() and a text is reached by its name."""

    def visit_Call(self, node: ast.Call) -> Any:
        self.generic_visit(node)
        match node:
            case ast.Call(func=ast.Name(id="getattr"), args=[value, ast.Constant(value=str(name))], keywords=[]):
                return ast.Attribute(value, name, ast.Load())
        return node


class Own(ast.NodeVisitor):
    """Which names has a program given itself, and which does it read?"""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.read: set[str] = set()
        self.reached: set[str] = set()
        self.of_names: set[str] = set()  # reached right at a name, as self.fast is
        self.by_value = False  # whether it reaches what it computes the name of

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
            case ast.Name(id=name, ctx=ast.Load()):
                self.read.add(name)
                self.by_value |= name in BY_VALUE
            case ast.Attribute(value=whose, attr=name, ctx=ast.Load()):
                self.reached.add(name)
                self.by_value |= name in BY_VALUE
                if isinstance(whose, ast.Name):
                    self.of_names.add(name)
        self.generic_visit(node)


class Busy(ast.NodeTransformer):
    """A program without imports and without what does nothing, and what can be said in two ways in one of them."""

    def __init__(self, own: Own) -> None:
        self.own = own

    def visit(self, node: ast.AST) -> Any:
        self.generic_visit(node)
        if isinstance(node, ast.Module | ast.FunctionDef) or (isinstance(node, ast.ClassDef) and is_strategy(node)):
            node.body = [each for each in node.body if not self._is_unused(each)]
        if isinstance(node, ast.FunctionDef):
            node.body = _guarded(node.body, ast.Return)
        elif isinstance(node, ast.For | ast.While):
            node.body = _guarded(node.body, ast.Continue)
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
            case ast.AugAssign(
                target=ast.Attribute(value=ast.Name() as whose, attr=name) as target, op=op, value=value
            ):
                return ast.Assign([target], ast.BinOp(ast.Attribute(whose, name, ast.Load()), op, value))
            case ast.Assign(targets=[ast.Tuple(elts=ours)], value=ast.Tuple(elts=theirs)) if _is_each(ours, theirs):
                pairs = zip(ours, theirs, strict=True)
                return _all(self._statement(ast.Assign([target], value)) for target, value in pairs)
            case ast.Assign(targets=[_, _, *_] as targets, value=ast.Constant() as value):
                return _all(self._statement(ast.Assign([target], value)) for target in targets)
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda(args=args, body=body)):
                return ast.FunctionDef(name, args, [ast.Return(body)], [])
            case ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"), attr=name)], value=value) if (
                name not in self.own.of_names and not self.own.by_value and not self._acts(value)
            ):
                return None
            case ast.Expr(value=value) if not self._acts(value):
                return None
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name not in read and not self._acts(value):
                return None
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Name(id=same)) if name == same:
                return None
            case ast.FunctionDef(body=[*_, ast.Return(value=None | ast.Constant(value=None))]):
                del node.body[-1]
            case ast.If(test=ast.Constant(value=value)) if value is not ...:
                return node.body if value else node.orelse
            case ast.If(test=test, body=[], orelse=[]) if not self._acts(test):
                return None
            case ast.If(test=test, body=[], orelse=[_, *_] as other):
                return self._statement(ast.If(negated(test), other, []))
            case ast.If(test=test, body=body, orelse=[_, *_] as other) if _is_turned(test):
                return ast.If(negated(test), other, body)
            case ast.If(test=test, body=[ast.If(test=inner, body=body, orelse=[])], orelse=[]):
                return ast.If(_joined(ast.And(), [*_parts(test), *_parts(inner)]), body, [])
            case ast.For(iter=ast.Call(func=ast.Name(id="range"), args=[ast.Constant(value=1)]), body=body, orelse=[]):
                return body
            case ast.While(test=ast.Constant(value=value), orelse=[]) if not value:
                return None
            case ast.Try(body=body, handlers=handlers, orelse=other, finalbody=[]) if not any(map(_handles, handlers)):
                return [*body, *other]
        return node

    def _expression(self, node: ast.expr) -> ast.expr:
        match node:
            case ast.BoolOp(op=op, values=values):
                return _joined(op, values)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return negated(operand)
            case ast.UnaryOp(op=ast.USub(), operand=ast.UnaryOp(op=ast.USub(), operand=operand)):
                return operand
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return ast.Constant(-value)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return operand
            case ast.Compare(left=ast.Constant(value=one), ops=[op], comparators=[ast.Constant(value=other)]):
                known = _compared(op, one, other)
                return node if known is None else ast.Constant(known)
            case ast.Compare(left=left, ops=[_, _, *_] as ops, comparators=several):
                sides = zip([left, *several[:-1]], ops, several, strict=True)
                parts = [self._expression(ast.Compare(one, [op], [other])) for one, op, other in sides]
                return _joined(ast.And(), parts)
            case ast.Compare(left=left, ops=[ast.Eq() | ast.Is()], comparators=[ast.Constant(value=True)]):
                return left
            case ast.Compare(left=left, ops=[ast.Eq() | ast.Is()], comparators=[ast.Constant(value=False)]):
                return negated(left)
            case ast.Compare(left=left, ops=[ast.Gt() | ast.GtE() as op], comparators=[right]):
                return ast.Compare(right, [ast.Lt() if isinstance(op, ast.Gt) else ast.LtE()], [left])
            case ast.IfExp(test=ast.Constant(value=value), body=body, orelse=other) if value is not ...:
                return body if value else other
            case ast.IfExp(test=test, body=body, orelse=other) if _is_turned(test):
                return ast.IfExp(negated(test), other, body)
            case ast.IfExp(test=test, body=ast.Constant(value=True), orelse=ast.Constant(value=False)):
                return test
            case ast.BinOp(left=ast.Constant(value=one), op=op, right=ast.Constant(value=other)):
                known = _reckoned(op, one, other)
                return node if known is None else ast.Constant(known)
            case ast.Compare(left=ast.BinOp(op=ast.Mod()) as left, ops=[op], comparators=[ast.Constant(value=0)]):
                return left if isinstance(op, ast.NotEq) else negated(left) if isinstance(op, ast.Eq) else node
            case ast.Call(func=ast.Name(id="dict"), args=[], keywords=[]):
                return ast.Dict([], [])
            case ast.Call(func=ast.Name(id="list"), args=[], keywords=[]):
                return ast.List([], ast.Load())
            case ast.Call(func=ast.Name(id="float" | "bool"), args=[value], keywords=[]):
                return value
            case ast.Call(keywords=keywords) if all(each.arg for each in keywords):
                node.keywords = sorted(keywords, key=lambda each: str(each.arg))
        return node

    def _is_unused(self, node: ast.stmt) -> bool:
        """A function, or method of a strategy, that nobody calls, neither the program nor an engine."""
        if not isinstance(node, ast.FunctionDef) or node.decorator_list or node.name in CALLED:
            return False
        return not (node.name.startswith("__") or self.own.by_value or node.name in self.own.read | self.own.reached)

    def _acts(self, value: ast.AST) -> bool:
        """Whether computing it can do anything."""
        return any(isinstance(node, ACTING) and not self._is_idle(node) for node in ast.walk(value))

    def _is_idle(self, node: ast.AST) -> bool:
        match node:
            case ast.Call(func=ast.Name(id=name)):
                return name in IDLE and name not in self.own.names
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=called)):
                return name in LOGS or (name, called) == ("self", "I")
        return False


def blanked(value: ast.expr) -> ast.expr:
    """A number or truth that has a name is whatever somebody sets it to, so it decides nothing here."""
    match value:
        case ast.Constant(value=int() | float()):
            return ast.Constant(...)
    return value


def _is_number(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and (value.value is ... or isinstance(value.value, int | float))


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
    if one is ... or other is ...:
        return None
    try:
        return bool(COMPARED[type(op)](one, other))
    except (KeyError, TypeError):
        return None


RECKONED: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def _reckoned(op: ast.operator, one: Any, other: Any) -> Any:
    """None where that cannot be said, as of what are no numbers."""
    if not all(isinstance(each, (int, float)) and abs(each) < 1e100 for each in (one, other)):
        return None
    try:
        return RECKONED[type(op)](one, other)
    except (KeyError, ArithmeticError):
        return None


OPPOSITE: dict[type, type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}


def negated(test: ast.expr) -> ast.expr:
    """What is true where the test is not."""
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return operand
        case ast.Constant(value=value):
            return test if value is ... else ast.Constant(not value)
        case ast.BoolOp(op=op, values=values):
            return _joined(ast.Or() if isinstance(op, ast.And) else ast.And(), [negated(each) for each in values])
        case ast.Compare(left=left, ops=[ast.Lt() | ast.Gt() as op], comparators=[right]):
            left, right = (right, left) if isinstance(op, ast.Lt) else (left, right)
            return ast.Compare(left, [ast.LtE()], [right])
        case ast.Compare(left=left, ops=[ast.LtE() | ast.GtE() as op], comparators=[right]):
            left, right = (right, left) if isinstance(op, ast.LtE) else (left, right)
            return ast.Compare(left, [ast.Lt()], [right])
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in OPPOSITE:
            return ast.Compare(left, [OPPOSITE[type(op)]()], [right])
    return ast.UnaryOp(ast.Not(), test)


def _is_turned(test: ast.expr) -> bool:
    """Whether it is the other way around than it is written here where both ways lead somewhere."""
    match test:
        case ast.UnaryOp(op=ast.Not()):
            return True
        case ast.Compare(ops=[ast.LtE() | ast.NotEq() | ast.IsNot() | ast.NotIn()]):
            return True
    return False


def _parts(test: ast.expr) -> list[ast.expr]:
    return test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]


def _all(found: Iterable[Any]) -> list[Any]:
    several = (each if isinstance(each, list) else [each] for each in found if each is not None)
    return [each for some in several for each in some]


def _is_each(ours: list[ast.expr], theirs: list[ast.expr]) -> bool:
    """Whether a, b = c, d is a = c and then b = d."""
    if len(ours) != len(theirs) or any(isinstance(each, ast.Starred) for each in (*ours, *theirs)):
        return False
    given = {ast.unparse(each) for each in ours}
    return not any(ast.unparse(node) in given for value in theirs for node in ast.walk(value)
                   if isinstance(node, ast.Name | ast.Attribute))  # fmt: skip


def _handles(handler: ast.ExceptHandler) -> bool:
    return not all(isinstance(each, ast.Raise | ast.Pass | ast.Continue) for each in handler.body)


def _guarded(block: list[ast.stmt], end: type[ast.Return | ast.Continue]) -> list[ast.stmt]:
    """Where an end stands in an if, what follows that is its other branch; an end at the end is none."""
    for at, stmt in enumerate(block):
        if (
            isinstance(stmt, ast.If)
            and stmt.body
            and isinstance(stmt.body[-1], end)
            and not stmt.orelse
            and block[at + 1 :]
        ):
            stmt = ast.If(stmt.test, stmt.body, block[at + 1 :])
            block = [*block[:at], stmt]
            break
    if not block:
        return block
    last = block[-1]
    if isinstance(last, ast.Continue) or (isinstance(last, ast.Return) and _is_none(last.value)):
        return _guarded(block[:-1], end)
    if isinstance(last, ast.If):
        body, other = _guarded(last.body, end), _guarded(last.orelse, end)
        if not body:
            return [*block[:-1], *([ast.If(negated(last.test), other, [])] if other else [])]
        if other and _is_turned(last.test):
            return [*block[:-1], ast.If(negated(last.test), other, body)]
        return [*block[:-1], ast.If(last.test, body, other)]
    return block


def _is_none(value: ast.expr | None) -> bool:
    return value is None or (isinstance(value, ast.Constant) and value.value is None)


def ordered(node: Any, own: set[str], work: Work) -> Any:
    """With members of classes, and sides that can be exchanged, in an order that no name decides, and without numbers
    that are added, multiplied, or part of a condition: they could be 0, 1, or true.
    """
    return _Ordered(own, work).visit(node)


class _Ordered(ast.NodeTransformer):
    def __init__(self, own: set[str], work: Work) -> None:
        self.own, self.work = own, work

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        self.generic_visit(node)
        node.body.sort(key=self._key)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        self.generic_visit(node)
        flat = (each.values if isinstance(each, ast.BoolOp) and type(each.op) is type(node.op) else [each]
                for each in node.values)  # fmt: skip
        values = [each for some in flat for each in some]
        values = [each for each in values if not _is_number(each)] or values[:1]
        node.values = sorted(values, key=self._key)
        return node if len(values) > 1 else values[0]

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        self.generic_visit(node)
        if _is_number(node.right) and isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div | ast.Pow):
            return node.left
        if _is_number(node.left) and isinstance(node.op, ast.Add | ast.Mult):
            return node.right
        if isinstance(node.op, ast.Add | ast.Mult):
            node.left, node.right = sorted((node.left, node.right), key=self._key)
        return node

    def visit_Compare(self, node: ast.Compare) -> Any:
        self.generic_visit(node)
        if isinstance(node.ops[0], ast.Eq | ast.NotEq) and len(node.ops) == 1:
            node.left, node.comparators[0] = sorted((node.left, node.comparators[0]), key=self._key)
        return node

    def _key(self, node: ast.AST) -> str:
        parts = []
        for each in ast.walk(node):
            self.work.spend(1)
            name = getattr(each, "id", None) or getattr(each, "attr", None) or getattr(each, "name", None) or ""
            parts.append(f"{type(each).__name__} {'' if name in self.own else name}")
        return "\n".join(parts)
