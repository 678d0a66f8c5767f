"""What names does a part of a program have, and what does it do with them?"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = [
    "Function",
    "copied",
    "functions_in",
    "is_literal",
    "member_of",
    "read_in",
    "rename",
    "stored_in",
    "written_into",
]

Function = ast.FunctionDef | ast.AsyncFunctionDef


def member_of(stmt: ast.stmt) -> str:
    match stmt:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
    return getattr(stmt, "name", "")


def rename(tree: ast.AST, names: Mapping[str, str]) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
        elif isinstance(node, ast.arg):
            node.arg = names.get(node.arg, node.arg)


def functions_in(body: ast.AST) -> list[Function]:
    return [node for node in ast.walk(body) if isinstance(node, Function)]


def stored_in(tree: ast.AST) -> tuple[Counter[str], Counter[str]]:
    """How often names and attributes are given a value in it."""
    names: Counter[str] = Counter()
    attributes: Counter[str] = Counter()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
                names[name] += 1
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.ExceptHandler(name=str(name)):
                names[name] += 1
            case ast.Attribute(attr=name, ctx=ast.Store() | ast.Del()):
                attributes[name] += 1
            case ast.Global(names=several) | ast.Nonlocal(names=several):
                names.update(dict.fromkeys(several, 2))
    return names, attributes


def is_literal(value: ast.AST | None) -> bool:
    """A number, a text, or several in a list or table; an empty one is to be filled."""
    match value:
        case ast.Constant():
            return True
        case ast.List(elts=several) | ast.Tuple(elts=several) | ast.Set(elts=several):
            return bool(several) and all(map(is_literal, several))
        case ast.Dict(keys=keys, values=values):
            return bool(keys) and all(map(is_literal, (*keys, *values)))
    return False


def copied(node: Any) -> Any:
    return copy.deepcopy(node)


def read_in(tree: ast.AST) -> Iterator[str]:
    return (node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load))


def written_into(tree: ast.AST) -> Iterator[str]:
    """Names of what it writes into, such as table in table["a"] = 1 and table.append(1)."""
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Call(func=inner)):
                target = inner
            case ast.Subscript(ctx=ast.Store() | ast.Del()) | ast.Attribute(ctx=ast.Store() | ast.Del()):
                target = inner = node
            case _:
                continue
        while isinstance(inner, ast.Attribute | ast.Subscript | ast.Call):
            inner = inner.func if isinstance(inner, ast.Call) else inner.value
        if isinstance(inner, ast.Name) and inner is not target:
            yield inner.id
