"""What does a program do, whatever it is written like? Its strategies in one spelling, hashed.

Names, literals, order of members, helpers, locals, constants and what does nothing are taken out. Whoever writes one
strategy in two ways has one; what is left is compared as it stands, so a way that is not known here makes another one.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from runner.likeness.naming import (
    Function,
    functions_in,
    is_literal,
    member_of,
    read_in,
    rename,
    stored_in,
    written_into,
)
from runner.likeness.spelling import CALLED, Busy, Own, Reached, is_strategy, ordered
from runner.likeness.unfolded import unfolded
from runner.likeness.work import Work
from runner.likeness.written_out import Constants, Inlined, Without, changing_in, put_in_place

__all__ = ["strategies_of"]

ROUNDS = 4
# That run what they are given.
RUNS = {
    "backtest",
    "portfolio_backtest",
    "run",
    "Backtest",
    "FractionalBacktest",
    "sweep",
    "walk_forward",
    "addstrategy",
    "optstrategy",
    "run_algorithm",
}
GIVEN = {"weights", "on_bar", "initialize", "handle_data", "before_trading_start"}


def strategies_of(trees: Mapping[str, ast.Module], work: Work) -> frozenset[str]:
    """SHA-256 of each strategy that the program runs; none where that cannot be told. Raises TooLarge. trees: by name
    of the module.
    """
    for tree in trees.values():
        work.look(tree)
    trees = {name: unfolded(tree, work) for name, tree in trees.items()}
    body = _awake(_joined(trees, work), work)
    parts = [_in_one_spelling(work.copied(part), work) for part in _read_by(_roots(body), body, work)]
    return frozenset(hashlib.sha256(ast.dump(part).encode("utf-8", "replace")).hexdigest() for part in parts)


def _awake(body: ast.Module, work: Work) -> ast.Module:
    """Without statements that do nothing: what they alone name is not run."""
    for _ in range(2):  # what only such a statement reads does nothing either
        work.look(body)
        own = Own()
        own.visit(body)
        body = Busy(own).visit(body)
    return body


def _read_by(roots: list[ast.expr], body: ast.Module, work: Work) -> Iterator[ast.Module]:
    """Of the program what each root reads, and a statement that runs it: whatever else there is decides nothing."""
    binding = _binding(body)
    reads = {id(node): set(read_in(node)) for node in (*body.body, *roots)}
    for root in roots:
        waiting: list[ast.AST] = [root]
        seen: set[str] = set()
        needed: set[int] = set()
        while waiting:
            for name in reads[id(waiting.pop())] - seen:
                seen.add(name)
                new = [stmt for stmt in binding.get(name, ()) if id(stmt) not in needed]
                needed |= {id(stmt) for stmt in new}
                waiting += new
        work.spend(len(body.body) + len(seen))
        run = ast.Expr(ast.Call(ast.Name("backtest", ast.Load()), [root], []))
        yield ast.Module([*(stmt for stmt in body.body if id(stmt) in needed), run], [])


def _binding(body: ast.Module) -> dict[str, list[ast.stmt]]:
    """By name the statements that give it a value or write into it."""
    binding: dict[str, list[ast.stmt]] = {}
    for stmt in body.body:
        if isinstance(stmt, Function | ast.ClassDef):
            names = [stmt.name]
        elif isinstance(stmt, ast.Import | ast.ImportFrom):
            continue
        else:
            names = [*dict.fromkeys([*stored_in(stmt)[0], *written_into(stmt)])]
        for name in names:
            binding.setdefault(name, []).append(stmt)
    return binding


def _in_one_spelling(body: ast.Module, work: Work) -> ast.Module:
    for _ in range(ROUNDS):
        work.look(body)
        before = ast.dump(body)
        body = Reached().visit(body)
        own = Own()
        own.visit(body)
        body = Busy(own).visit(body)
        for node in body.body:
            if isinstance(node, ast.ClassDef):
                Constants(node, work).visit(node)
        Constants(body, work).visit(body)
        fixed = changing_in(body), set(written_into(body))
        work.look(body)
        for function in [*functions_in(body), body]:
            put_in_place(function, work, *fixed)
        work.look(body)
        inlined = Inlined(body, work)
        body = Without(inlined.done).visit(inlined.visit(body))
        if ast.dump(body) == before:
            break
    work.look(body)
    return _written(body, work)


def _joined(trees: Mapping[str, ast.Module], work: Work) -> ast.Module:
    """All files as one; what one imports of another has its name there."""
    body: list[ast.stmt] = []
    for name, tree in sorted(trees.items(), key=lambda each: each[0] == "main"):
        body += _Joining(set(trees) - {name}).visit(tree).body
    classes = {stmt.name: stmt for stmt in body if isinstance(stmt, ast.ClassDef)}
    for node in classes.values():
        _take_over(node, classes, work)
        for function in (each for each in node.body if isinstance(each, Function) and each.args.args):
            rename(function, {function.args.args[0].arg: "self"})
    read = {name for stmt in body for name in read_in(stmt)}
    return ast.Module([each for each in body if not isinstance(each, ast.ClassDef) or each.name in read], [])


def _take_over(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef], work: Work) -> None:
    """The members of an own class that it derives from, and that it has none of itself."""
    for _ in range(len(classes)):
        match node.bases:
            case [ast.Name(id=name)] if name in classes and classes[name] is not node:
                base = classes[name]
            case _:
                return
        nodes = list(ast.walk(node))
        work.spend(len(nodes))
        if "super" in {each.id for each in nodes if isinstance(each, ast.Name)}:
            return
        own = {member_of(each) for each in node.body}
        node.body += [work.copied(each) for each in base.body if member_of(each) not in own]
        node.bases = [work.copied(each) for each in base.bases]


class _Joining(ast.NodeTransformer):
    def __init__(self, modules: set[str]) -> None:
        self.modules = modules
        self.names: dict[str, str] = {}

    def visit_alias(self, node: ast.alias) -> Any:
        if node.asname:
            self.names[node.asname] = node.name
        return node

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        if isinstance(node.value, ast.Name) and node.value.id in self.modules:
            return ast.Name(node.attr, node.ctx)
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> Any:
        return ast.Name(self.names.get(node.id, node.id), node.ctx)


def _roots(body: ast.Module) -> list[ast.expr]:
    """What is run: classes of strategies that are named outside of themselves, and what is given to what runs them."""
    classes = {stmt.name: stmt for stmt in body.body if isinstance(stmt, ast.ClassDef)}
    known = {*classes, *(stmt.name for stmt in body.body if isinstance(stmt, Function))}
    reached = _reached(body)
    read = {name for stmt in reached for name in read_in(stmt) if getattr(stmt, "name", "") != name}
    found: dict[str, ast.expr] = {
        name: ast.Name(name, ast.Load()) for name, each in classes.items() if name in read and is_strategy(each)
    }
    more: list[ast.expr] = []
    for call in (node for stmt in reached for node in ast.walk(stmt) if isinstance(node, ast.Call)):
        if not RUNS & {getattr(call.func, "id", ""), getattr(call.func, "attr", "")}:
            continue
        for word, value in [*((None, each) for each in call.args), *((each.arg, each.value) for each in call.keywords)]:
            named = value.func if isinstance(value, ast.Call) else value
            if isinstance(named, ast.Name) and named.id in known:
                found[named.id] = ast.Name(named.id, ast.Load())
            elif isinstance(value, ast.Lambda) or (word in GIVEN and any(read_in(value))):
                more.append(value)
    return [*found.values(), *more]


def _reached(body: ast.Module) -> list[ast.stmt]:
    """What runs when the program does: its statements, and the functions and classes that these read, and so on."""
    named: dict[str, list[ast.stmt]] = {}
    reached: list[ast.stmt] = []
    for stmt in body.body:
        if isinstance(stmt, Function | ast.ClassDef) and not stmt.decorator_list:
            named.setdefault(stmt.name, []).append(stmt)
        else:
            reached.append(stmt)
    for stmt in reached:
        for name in set(read_in(stmt)):
            reached += named.pop(name, ())
    return reached


def _written(body: ast.Module, work: Work) -> ast.Module:
    """What is run by the last statement and all that it reads, in the order in which it does."""
    binding, names = _binding(ast.Module(body.body[:-1], [])), _Names(body)
    waiting: list[ast.stmt] = [body.body[-1]]
    seen: set[int] = set()
    parts = []
    while waiting:
        node = _Scoped().visit(ordered(work.copied(waiting.pop(0)), names.own | names.attributes, work))
        for name in dict.fromkeys(read_in(node)):
            new = [stmt for stmt in binding.pop(name, ()) if id(stmt) not in seen]
            seen |= {id(stmt) for stmt in new}
            waiting += new
        parts.append(names.visit(node))
    return ast.Module(parts, [])


class _Scoped(ast.NodeTransformer):
    """Names of arguments, locals and what a loop goes over are numbers, in the order in which they stand there."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, str]] = []
        self.count = 0

    def _scope(self, node: Any, bound: list[str] | None = None) -> Any:
        shared = _shared(node)
        self.scopes.append({name: "" for name in bound or _bound(node) if name not in shared})
        self.generic_visit(node)
        self.scopes.pop()
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _scope
    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _scope

    def visit_For(self, node: ast.For) -> Any:
        node.iter = self.visit(node.iter)
        names = [each.id for each in ast.walk(node.target) if isinstance(each, ast.Name)]
        return self._scope(node, names) if self.scopes else self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> Any:
        return ast.Name(self._name(node.id), node.ctx)

    def visit_arg(self, node: ast.arg) -> Any:
        return ast.arg(self._name(node.arg))

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> Any:
        self.generic_visit(node)
        node.name = node.name and self._name(node.name)
        return node

    def _name(self, name: str) -> str:
        scope = next((scope for scope in reversed(self.scopes) if name in scope), None)
        if scope is None:
            return name
        if not scope[name]:
            scope[name] = f"#{self.count}"
            self.count += 1
        return scope[name]


def _bound(node: Any) -> list[str]:
    """Names that are bound in this scope, in the order in which they are."""
    found: dict[str, None] = {}

    def look(each: ast.AST) -> None:
        match each:
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()):
                found[name] = None
            case ast.ExceptHandler(name=str(name)) | ast.FunctionDef(name=name):
                found[name] = None
        if not isinstance(each, Function | ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            for inner in ast.iter_child_nodes(each):
                look(inner)

    for inner in ast.iter_child_nodes(node):
        look(inner)
    return list(found)


def _shared(node: ast.AST) -> set[str]:
    return {name for each in ast.walk(node) if isinstance(each, ast.Global | ast.Nonlocal) for name in each.names}


class _Names(ast.NodeTransformer):
    """Without literals and annotations, and with numbers for the program's own names, whatever they are names of."""

    def __init__(self, body: ast.Module) -> None:
        classes = [node for node in ast.walk(body) if isinstance(node, ast.ClassDef)]
        members = {member_of(stmt) for node in classes for stmt in node.body}
        self.attributes = {*stored_in(body)[1], *members} - CALLED
        self.own = {*_binding(body)}
        self.numbers: dict[str, str] = {}

    def visit(self, node: ast.AST) -> Any:
        if is_literal(node):
            return ast.Constant(0)
        match node:
            case ast.Name():
                return ast.Name(self._name(node.id), ast.Load())
            case ast.Attribute():
                self.generic_visit(node)
                return ast.Attribute(node.value, self._attribute(node.attr), ast.Load())
            case ast.arg():
                return ast.arg(self._name(node.arg))
            case ast.keyword() if node.arg in self.attributes:
                node.arg = "="
            case ast.ClassDef():
                for stmt in node.body:
                    if isinstance(stmt, Function):
                        stmt.name = self._attribute(stmt.name)
                    elif isinstance(stmt, ast.Assign) and isinstance(stmt.targets[0], ast.Name):
                        stmt.targets[0].id = self._attribute(stmt.targets[0].id)
                node.name = self._name(node.name)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                node.name, node.returns = self._name(node.name), None
            case ast.Global() | ast.Nonlocal():
                node.names = [self._name(name) for name in node.names]
        return self.generic_visit(node)

    def _name(self, name: str) -> str:
        return self._number(name) if name.startswith("#") or name in self.own else name

    def _attribute(self, name: str) -> str:
        return self._number(f".{name}") if name in self.attributes else name

    def _number(self, name: str) -> str:
        return self.numbers.setdefault(name, f"{name[:1] if name[:1] in '#.' else '='}{len(self.numbers)}")
