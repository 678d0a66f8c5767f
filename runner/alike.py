"""Which programs of the same author are a project's own with other numbers, texts or names in them?

Whoever pastes a strategy into a new project, writes another number into it, or gives its variables other names, has
tried the same thing again.
"""

from __future__ import annotations

import ast
import hashlib
from typing import Any

from runner.models import Project, Revision

__all__ = ["alike_revisions", "shapes_by_revision", "shapes_of_project"]

MOST_OWN = 50  # latest revisions of the project
MOST_OTHERS = 100  # latest revisions of its owner's other projects
MOST_CHARACTERS = 40_000  # of a program that is compared by its structure; longer ones by their text
MOST_KEPT = 10_000
ACTING = (ast.Call, ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)

_shapes: dict[str, str] = {}  # by the SHA-256 of the files, which never change


def alike_revisions(project: Project) -> list[int]:
    """Those of the owner's other projects that have the code of one of this project's, but for literals and names."""
    if project.owner_id is None:
        return []
    others = list(_ran().filter(project__owner=project.owner_id).exclude(project=project)[:MOST_OTHERS])
    if not others:
        return []
    known, shapes = shapes_of_project(project), _shapes_of({digest for _, digest in others})
    return [pk for pk, digest in others if shapes[digest] in known]


def shapes_of_project(project: Project) -> set[str]:
    return set(shapes_by_revision(project).values())


def shapes_by_revision(project: Project, most: int = 0) -> dict[int, str]:
    """The shape of the code of its latest revisions that ran. most: how many, where it is not as many as always."""
    own = list(_ran().filter(project=project)[: most or MOST_OWN])
    shapes = _shapes_of({digest for _, digest in own})
    return {pk: shapes[digest] for pk, digest in own}


def _ran() -> Any:
    return Revision.objects.filter(runs__isnull=False).distinct().order_by("-pk").values_list("pk", "sha256")


def _shapes_of(digests: set[str]) -> dict[str, str]:
    found = {digest: _shapes[digest] for digest in digests if digest in _shapes}
    missing = digests - found.keys()
    if missing:
        rows = Revision.objects.filter(sha256__in=missing).order_by("sha256").distinct("sha256")
        found |= {digest: _shape(files) for digest, files in rows.values_list("sha256", "files")}
        if len(_shapes) > MOST_KEPT:
            _shapes.clear()
        _shapes.update({digest: found[digest] for digest in missing})
    return found


def _shape(files: dict[str, str]) -> str:
    structures = sorted(_structure(text) for path, text in files.items() if path.endswith(".py") and text.strip())
    return hashlib.sha256("\0".join(structures).encode("utf-8", "replace")).hexdigest()


class _Own(ast.NodeVisitor):
    """Which names has a program given itself, and by what others does it call what it imports?"""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.read: set[str] = set()
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
        self.generic_visit(node)


class _Busy(ast.NodeTransformer):
    """A program without imports and without what does nothing."""

    def __init__(self, own: _Own) -> None:
        self.own = own

    def visit(self, node: ast.AST) -> Any:
        self.generic_visit(node)
        match node:
            case ast.Pass() | ast.Import() | ast.ImportFrom() | ast.Assert():
                return None
            case ast.AnnAssign(target=target, value=value) if value is not None:
                return self.visit(ast.Assign([target], value))
            case ast.Expr(value=value) if not _acts(value):
                return None
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name not in self.own.read and not _acts(value):
                return None
            case ast.If(test=ast.Constant(value=value)):
                return node.body if value else node.orelse
            case ast.If(test=test, body=[], orelse=[]) if not _acts(test):
                return None
        return node


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


def _acts(value: ast.AST) -> bool:
    """Whether computing it can do anything."""
    return any(isinstance(node, ACTING) for node in ast.walk(value))


def _structure(text: str) -> str:
    if len(text) > MOST_CHARACTERS:
        return text
    try:
        tree, own = ast.parse(text), _Own()
        own.visit(tree)
        return ast.dump(_Shape(own).visit(_Busy(own).visit(tree)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two for what is nested deeply
        return text
