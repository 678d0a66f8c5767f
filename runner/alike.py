"""Which programs of the same author are a project's own with other numbers or texts in them?

Whoever pastes a strategy into a new project, or writes another number into it, has tried the same thing again.
"""

from __future__ import annotations

import ast
import hashlib

from runner.models import Project, Revision

__all__ = ["alike_revisions"]

MOST_OWN = 50  # latest revisions of the project
MOST_OTHERS = 100  # latest revisions of its owner's other projects
MOST_CHARACTERS = 40_000  # of a program that is compared by its structure; longer ones by their text
MOST_KEPT = 10_000

_shapes: dict[str, str] = {}  # by the SHA-256 of the files, which never change


def alike_revisions(project: Project) -> list[int]:
    """Those of the owner's other projects that have the code of one of this project's, but for literals."""
    if project.owner_id is None:
        return []
    ran = Revision.objects.filter(runs__isnull=False).distinct().order_by("-pk").values_list("pk", "sha256")
    others = list(ran.filter(project__owner=project.owner_id).exclude(project=project)[:MOST_OTHERS])
    if not others:
        return []
    own = list(ran.filter(project=project)[:MOST_OWN])
    shapes = _shapes_of({digest for _, digest in own + others})
    known = {shapes[digest] for _, digest in own}
    return [pk for pk, digest in others if shapes[digest] in known]


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
    digest = hashlib.sha256()
    for path, text in sorted(files.items()):
        if path.endswith(".py"):
            digest.update(f"{path}\0{_structure(text)}\0".encode("utf-8", "replace"))
    return digest.hexdigest()


class _WithoutLiterals(ast.NodeTransformer):
    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant(0)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return node.operand if isinstance(node.operand, ast.Constant) else node


def _structure(text: str) -> str:
    if len(text) > MOST_CHARACTERS:
        return text
    try:
        return ast.dump(_WithoutLiterals().visit(ast.parse(text)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two for what is nested deeply
        return text
