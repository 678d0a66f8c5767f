"""Does a program make use of what an expression gives? Read from its text, by the names that the value gets.

Used is what is handed to a function, put into an attribute, returned, or tested for what belongs to it where something
hangs on that. To print, count or sort it and to give it a name is no use yet.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator

__all__ = ["Uses"]

TELLING = {"print", "display", "len", "repr", "str", "format", "bool", "type", "id", "hash", "isinstance", "any", "all"}
PASSING = {
    *("list", "tuple", "set", "frozenset", "dict", "sorted", "reversed", "enumerate", "iter", "next", "zip"),
    *("map", "filter", "min", "max", "sum", "join"),
}
OWN = ("self", "cls")  # whose attributes may be names of their class
PARTS = (ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Starred, ast.BinOp, ast.BoolOp, ast.UnaryOp, ast.IfExp)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)
IDLE = (ast.Expr, ast.Assert, ast.Raise, ast.FormattedValue, ast.JoinedStr, ast.Delete)


class Uses:
    """Of the values of one text. A name stands for the same in all of it."""

    def __init__(self, tree: ast.Module) -> None:
        self.parents: dict[ast.AST, ast.AST] = {}
        self.reads: dict[str, list[ast.expr]] = defaultdict(list)
        for node in ast.walk(tree):
            self.parents.update((child, node) for child in ast.iter_child_nodes(node))
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                self.reads[node.id].append(node)
            elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") in OWN:
                self.reads[node.attr].append(node)

    def is_used(self, value: ast.expr) -> bool:
        seen: set[ast.AST] = set()
        following: list[ast.AST] = [value]
        while following:
            node = following.pop()
            if node in seen:
                continue
            seen.add(node)
            further = self._further(node)
            if further is None:
                return True
            following.extend(further)
        return False

    def _further(self, node: ast.AST) -> list[ast.AST] | None:
        """What has the value, or something made of it, after this node; None where it is used."""
        parent = self.parents[node]
        match parent:
            case ast.keyword():
                return [parent]
            case ast.Call(func=func):
                name = getattr(func, "id", getattr(func, "attr", ""))
                if node is func or name in PASSING:  # a method of it, such as copy()
                    return [parent]
                return [] if name in TELLING else None
            case ast.Subscript(value=whole):
                return [parent] if whole is node else None
            case ast.Tuple(elts=parts) | ast.List(elts=parts) if isinstance(at := self.parents[parent], ast.Assign):
                place = next(place for place, part in enumerate(parts) if part is node)
                return self._named([_part(target, place, len(parts)) for target in at.targets])
            case ast.Assign(targets=targets):
                return self._named(targets)
            case ast.AnnAssign(target=target) | ast.AugAssign(target=target):
                return self._named([target])
            case ast.NamedExpr(target=target):
                return [parent, *self.reads[target.id]]
            case ast.For(iter=each, target=target) | ast.AsyncFor(iter=each, target=target) if each is node:
                return self._named([target])
            case ast.comprehension(iter=each, target=target) if each is node:
                return [parent, *(self._named([target]) or [])]
            case ast.If(test=test) | ast.While(test=test) if test is node:
                asks = any(isinstance(part, ast.Compare) for part in ast.walk(test))
                return None if asks and not all(map(_is_idle, [*parent.body, *parent.orelse])) else []
            case ast.Attribute() | ast.Compare():
                return [parent]
        if isinstance(parent, IDLE):
            return []
        return [parent] if isinstance(parent, (*PARTS, *COMPREHENSIONS, ast.comprehension)) else None

    def _named(self, targets: list[ast.expr]) -> list[ast.AST] | None:
        """Where the names that it gets are read; None where it gets into something else than a name."""
        found: list[ast.AST] = []
        for target in targets:
            for name in _names(target):
                if not isinstance(name, ast.Name):
                    return None
                found.extend(self.reads[name.id])
        return found


def _part(target: ast.expr, place: int, of: int) -> ast.expr:
    """The target of one of so many values, where the text says which."""
    if not isinstance(target, (ast.Tuple, ast.List)) or any(isinstance(each, ast.Starred) for each in target.elts):
        return target
    return target.elts[place] if len(target.elts) == of else target


def _names(target: ast.expr) -> Iterator[ast.expr]:
    if isinstance(target, (ast.Tuple, ast.List)):
        for each in target.elts:
            yield from _names(each)
    else:
        yield target.value if isinstance(target, ast.Starred) else target


def _is_idle(statement: ast.stmt) -> bool:
    match statement:
        case ast.Pass() | ast.Expr(value=ast.Constant()):
            return True
        case ast.Expr(value=ast.Call(func=ast.Name(id=name))):
            return name in TELLING
    return False
