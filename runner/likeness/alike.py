"""Which programs of the same author run a project's own strategies, spelled otherwise?

Whoever pastes a strategy into a new project, writes another number into it, gives its variables other names, or moves
its parts, has tried the same thing again.
"""

from __future__ import annotations

import ast
import hashlib
from contextlib import suppress
from typing import Any

from django.core.cache import cache
from redis.exceptions import RedisError

from runner.likeness.shapes import strategies_of
from runner.likeness.spelling import Busy, Own
from runner.models import Project, Revision

__all__ = ["alike_revisions", "are_alike", "shape_of", "shapes_in", "shapes_by_revision", "shapes_of_project"]

MOST_OWN = 50  # latest revisions of the project
MOST_OTHERS = 100  # latest revisions of its owner's other projects
MOST_CHARACTERS = 40_000  # of a program that is compared by its structure; longer ones by their text
MOST_KEPT = 10_000
SHARED = "shapes-1-"  # in the cache; another number where programs are read otherwise
SECONDS_SHARED = 30 * 24 * 3600

Shapes = frozenset[str]

_shapes: dict[str, Shapes] = {}  # by the SHA-256 of the files, which never change


def alike_revisions(project: Project) -> list[int]:
    """Those of the owner's other projects that run the strategies of one of its own, however they are spelled."""
    if project.owner_id is None:
        return []
    others = list(_ran().filter(project__owner=project.owner_id).exclude(project=project)[:MOST_OTHERS])
    if not others:
        return []
    own = set(_shapes_of({digest for _, digest in _ran().filter(project=project)[:MOST_OWN]}).values())
    shapes = _shapes_of({digest for _, digest in others})
    return [pk for pk, digest in others if any(are_alike(shapes[digest], each) for each in own)]


def are_alike(one: Shapes, other: Shapes) -> bool:
    """Whether all that one of two programs has run is in the other: what both compare with makes them not alike."""
    return one <= other or other <= one


def shapes_of_project(project: Project) -> set[str]:
    return set(shapes_by_revision(project).values())


def shapes_by_revision(project: Project, most: int = 0) -> dict[int, str]:
    """One shape of what its latest revisions that ran have run. most: how many, where it is not as many as always."""
    own = list(_ran().filter(project=project)[: most or MOST_OWN])
    shapes = _shapes_of({digest for _, digest in own})
    return {pk: _hashed(*sorted(shapes[digest])) for pk, digest in own}


def _ran() -> Any:
    return Revision.objects.filter(runs__isnull=False).distinct().order_by("-pk").values_list("pk", "sha256")


def _shapes_of(digests: set[str]) -> dict[str, Shapes]:
    """By the SHA-256 of the files. To find them takes some 10 ms each, so all processes share what one has found."""
    found = {digest: _shapes[digest] for digest in digests if digest in _shapes}
    if not (missing := digests - found.keys()):
        return found
    shared: dict[str, Shapes] = {}
    with suppress(RedisError):
        shared = {key.removeprefix(SHARED): told for key, told in cache.get_many([SHARED + d for d in missing]).items()}
    if unknown := missing - shared.keys():
        rows = Revision.objects.filter(sha256__in=unknown).order_by("sha256").distinct("sha256")
        new = {digest: shapes_in(files) for digest, files in rows.values_list("sha256", "files")}
        with suppress(RedisError):
            cache.set_many({SHARED + digest: shapes for digest, shapes in new.items()}, SECONDS_SHARED)
        shared |= new
    if len(_shapes) > MOST_KEPT:
        _shapes.clear()
    _shapes.update(shared)
    return found | shared


def shape_of(files: dict[str, str]) -> str:
    """SHA-256 of the code without literals and names."""
    texts = [text for path, text in files.items() if path.endswith(".py") and text.strip()]
    return _hashed(*sorted(_structure(text, len(texts) == 1) for text in texts))


def shapes_in(files: dict[str, str]) -> Shapes:
    """Of each strategy that the program runs, or else of all of it."""
    texts = {path[:-3].replace("/", "."): text for path, text in files.items() if path.endswith(".py")}
    found: Shapes = frozenset()
    if sum(map(len, texts.values())) <= MOST_CHARACTERS:
        with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            found = strategies_of({name: ast.parse(text) for name, text in texts.items()})
    return found or frozenset([shape_of(files)])


def _hashed(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "replace")).hexdigest()


class _Shape(ast.NodeTransformer):
    """A program without literals and annotations; its own names are numbers."""

    def __init__(self, own: Own) -> None:
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
        tree, own = ast.parse(text), Own()
        own.visit(tree)
        busy = Busy(own, alone).visit(tree)
        return ast.dump(_Shape(own).visit(busy if busy.body else ast.parse(text)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two for what is nested deeply
        return text
