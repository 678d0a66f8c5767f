"""A program with what it names written out: constants, locals and helpers stand where they are used."""

from __future__ import annotations

import ast
from collections import Counter
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
from runner.likeness.spelling import blanked
from runner.likeness.work import Work

__all__ = ["Constants", "Inlined", "Without", "changing_in", "put_in_place"]

BEGINNINGS = {"init", "__init__", "start", "prenext", "initialize"}


class Constants(ast.NodeTransformer):
    """What has one literal for a value, or is another word for something, by that itself. Of a module these are names,
    and of a class attributes.
    """

    def __init__(self, tree: ast.Module | ast.ClassDef, work: Work) -> None:
        self.work = work
        names, attributes = stored_in(tree)
        written = set(written_into(tree))
        self.names: dict[str, ast.expr] = {}
        self.attributes: dict[str, ast.expr] = {}
        of_class = isinstance(tree, ast.ClassDef)
        for node in tree.body if of_class else ast.walk(tree):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if (
                    names[name] == 1 and is_literal(value) and name not in written
                ):
                    if not of_class:
                        self.names[name] = value
                    elif not attributes[name]:
                        self.attributes[name] = value
        members = {member_of(each) for each in tree.body}
        for node in ast.walk(tree) if of_class else ():
            match node:
                case ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"), attr=name)], value=value) if (
                    attributes[name] == 1
                    and name not in members
                    and (is_literal(value) or _is_chain(value, attributes))
                ):
                    self.attributes[name] = value

    def visit_Name(self, node: ast.Name) -> Any:
        own = isinstance(node.ctx, ast.Load) and node.id in self.names
        return blanked(self.work.copied(self.names[node.id])) if own else node

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        own = isinstance(node.value, ast.Name) and node.value.id == "self" and isinstance(node.ctx, ast.Load)
        if own and node.attr in self.attributes:
            return blanked(self.work.copied(self.attributes[node.attr]))
        return self.generic_visit(node)


def _is_chain(value: ast.expr, stored: Counter[str]) -> bool:
    """Such as self.data.Close, of which nothing is changed."""
    if not isinstance(value, ast.Attribute):
        return False
    while isinstance(value, ast.Attribute):
        if stored[value.attr]:
            return False
        value = value.value
    return isinstance(value, ast.Name) and value.id == "self"


def put_in_place(function: Function | ast.Module, work: Work, changing: set[str], written: set[str]) -> None:
    """Locals that have one value go where they are read: once, or as often as computing it does nothing. changing:
    attributes that get values while it runs. written: names of what is written into.
    """
    stored, loads = stored_in(function)[0], Counter(read_in(function))
    values: dict[str, ast.expr] = {}
    for block in _blocks(function):
        for stmt in list(block):
            if not isinstance(stmt, ast.Assign) or len(stmt.targets) > 1 or not isinstance(stmt.targets[0], ast.Name):
                continue
            name, value = stmt.targets[0].id, stmt.value
            nodes = list(ast.walk(value))
            still = all(
                stored[node.id] <= 1 if isinstance(node, ast.Name) else node.attr not in changing
                for node in nodes
                if isinstance(node, ast.Name | ast.Attribute)
            )
            calls = any(isinstance(node, ast.Call | ast.Yield | ast.Await | ast.Lambda) for node in nodes)
            reads_itself = any(isinstance(node, ast.Name) and node.id == name for node in nodes)
            once = stored[name] == 1 and name not in written and not reads_itself
            if once and still and (loads[name] == 1 or (loads[name] and not calls)):
                values[name] = value
                block.remove(stmt)
        if not block:
            block.append(ast.Pass())
    for _ in range(len(values)):
        put = _Put(values, work)
        values = {name: put.visit(value) for name, value in values.items()}
        nodes = [node for value in values.values() for node in ast.walk(value)]
        work.spend(len(nodes))
        if not any(isinstance(node, ast.Name) and node.id in values for node in nodes):
            break
    if values:
        _Put(values, work).visit(function)


def changing_in(body: ast.Module) -> set[str]:
    """Attributes that are given a value while it runs."""
    running = [f for f in functions_in(body) if f.name not in BEGINNINGS]
    return {name for function in running for name in stored_in(function)[1]}


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """The lists of statements of a function or module, without those of other functions and classes in it."""
    for field in ("body", "orelse", "finalbody"):
        block = getattr(node, field, None)
        if isinstance(block, list):
            yield block
            for stmt in block:
                if not isinstance(stmt, Function | ast.ClassDef):
                    yield from _blocks(stmt)
    for handler in getattr(node, "handlers", ()):
        yield from _blocks(handler)


class _Put(ast.NodeTransformer):
    def __init__(self, values: Mapping[str, ast.expr], work: Work) -> None:
        self.values, self.work = values, work

    def visit_Name(self, node: ast.Name) -> Any:
        own = isinstance(node.ctx, ast.Load) and node.id in self.values
        return blanked(self.work.copied(self.values[node.id])) if own else node


class Inlined(ast.NodeTransformer):
    """Calls of own functions by what those do: an expression, or statements that return nothing."""

    def __init__(self, body: ast.Module, work: Work) -> None:
        self.work = work
        self.functions: dict[str, Function] = {}
        names = Counter(function.name for function in functions_in(body))
        for function in functions_in(body):
            takes = function.args
            plain = not (
                takes.vararg or takes.kwarg or takes.kwonlyargs or takes.posonlyargs or function.decorator_list
            )
            if plain and names[function.name] == 1 and function.name not in set(_called(function)):
                self.functions[function.name] = function
        self.left = 300  # calls
        self.done: set[int] = set()  # functions that were put where they were called

    def visit_Call(self, node: ast.Call) -> Any:
        self.generic_visit(node)
        found = self._called(node)
        if found is None:
            return node
        function, values = found
        match function.body:
            case [ast.Return(value=value)] if value is not None:
                self.done.add(id(function))
                return _Put(values, self.work).visit(self.work.copied(value))
        return node

    def visit_Expr(self, node: ast.Expr) -> Any:
        self.generic_visit(node)
        if isinstance(node.value, ast.Call) and (found := self._called(node.value)) is not None:
            function, values = found
            self.work.look(function)
            stored = stored_in(ast.Module(function.body, []))[0]
            if not stored.keys() & values.keys() and not any(
                isinstance(each, ast.Return | ast.Yield) for each in ast.walk(function)
            ):
                self.done.add(id(function))
                inner = _Put(values, self.work).visit(self.work.copied(ast.Module(function.body, [])))
                # Those of the caller may have the same names.
                rename(inner, {name: f"{name}~{self.left}" for name in stored})
                return inner.body
        return node

    def _called(self, call: ast.Call) -> tuple[Function, dict[str, ast.expr]] | None:
        match call.func:
            case ast.Name(id=name):
                given: list[ast.expr] = []
            case ast.Attribute(value=ast.Name() as owner, attr=name):
                given = [owner]
            case _:
                return None
        function = self.functions.get(name)
        if function is None or self.left <= 0 or any(isinstance(each, ast.Starred) for each in call.args):
            return None
        takes = [each.arg for each in function.args.args]
        if bool(given) != bool(takes and takes[0] == "self"):
            return None
        self.left -= 1
        defaults = function.args.defaults
        values = dict(zip(takes[len(takes) - len(defaults) :], defaults, strict=True))
        given += call.args
        values |= dict(zip(takes, given, strict=False))
        values |= {word.arg: word.value for word in call.keywords if word.arg}
        return (function, values) if values.keys() == set(takes) and len(given) <= len(takes) else None


class Without(ast.NodeTransformer):
    """Without these functions, where nobody names them any more."""

    def __init__(self, done: set[int]) -> None:
        self.done = done

    def visit_Module(self, node: ast.Module) -> Any:
        self.read = {getattr(each, "id", None) or getattr(each, "attr", None) for each in ast.walk(node)}
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        return None if id(node) in self.done and node.name not in self.read else node


def _called(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield getattr(node.func, "id", None) or getattr(node.func, "attr", None) or ""
