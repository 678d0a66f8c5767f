"""What does the qfp library offer? Its public names, signatures and docstrings, read from its source.

The source is parsed, never imported: the web process needs neither the library nor what it depends on.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from django.conf import settings
from django.utils.safestring import SafeString

SLUG = "qfp"
PACKAGE = Path(settings.BASE_DIR) / "sandbox" / "sdk" / "qfp"

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Entry:
    """One public function or class, as it is called by users: name is "data.prices", signature "(symbol, …)"."""

    name: str
    signature: str
    docstring: str
    members: Sequence[Entry] = field(default_factory=tuple)

    @property
    def anchor(self) -> str:
        return self.name.replace(".", "-").lower()

    @cached_property
    def html(self) -> SafeString:
        return docstring_html(self.docstring)


@dataclass(frozen=True)
class Module:
    title: str
    docstring: str
    entries: Sequence[Entry]

    @property
    def anchor(self) -> str:
        return self.title.replace(".", "-").lower()

    @cached_property
    def html(self) -> SafeString:
        return docstring_html(self.docstring)


def docstring_html(docstring: str) -> SafeString:
    """A docstring's paragraphs; lines of the shape "cash: what it is" become a list of definitions."""
    from playground.docs import render_inline  # docs.py shows this module's pages and so imports it first

    return render_inline("\n".join(with_definitions(docstring.splitlines())))


DEFINITION = re.compile(r"(?P<names>[a-z_][\w]*(?:, [a-z_][\w]*)*): (?P<text>\S.*)")


def with_definitions(lines: Sequence[str]) -> Iterator[str]:
    inside = False
    for line in lines:
        match = DEFINITION.fullmatch(line)
        if match:
            if not inside:
                yield ""
            inside = True
            names = ", ".join(f"`{name}`" for name in match["names"].split(", "))
            yield f"- {names} – {match['text']}"
        elif inside and line.startswith("  "):
            yield "  " + line.strip()
        else:
            if inside and line.strip():
                yield ""
            inside = inside and not line.strip()
            yield line


# Reading the source ----------------------------------------------------------------------------------------------


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module_path(name: str) -> Path | None:
    for path in (PACKAGE / f"{name}.py", PACKAGE / name / "__init__.py"):
        if path.is_file():
            return path
    return None


def listed_names(tree: ast.Module) -> list[str]:
    """The names in __all__, in its order; without one, the public definitions in theirs."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            return [str(name) for name in ast.literal_eval(node.value)]  # type: ignore[arg-type, union-attr]
    return [node.name for node in tree.body if is_public(node)]


def is_public(node: ast.AST) -> bool:
    return isinstance(node, Definition) and not node.name.startswith("_")


def definitions(tree: ast.Module | ast.ClassDef) -> dict[str, Definition]:
    """By name; of several with one name (overloads) the last, which has the body."""
    return {node.name: node for node in tree.body if isinstance(node, Definition)}


def signature_of(node: Definition) -> str:
    if isinstance(node, ast.ClassDef):
        init = definitions(node).get("__init__")
        return signature_of(init) if init else ""
    arguments = ast.parse(f"def f({ast.unparse(node.args)}): ...").body[0].args  # type: ignore[attr-defined]
    for group in (arguments.posonlyargs, arguments.args):
        if group and group[0].arg in ("self", "cls"):
            group.pop(0)
            break
    returns = f" -> {ast.unparse(node.returns)}" if node.returns and node.name != "__init__" else ""
    return f"({ast.unparse(arguments)}){returns}"


def entry_of(name: str, node: Definition) -> Entry:
    members: list[Entry] = []
    if isinstance(node, ast.ClassDef):
        for member in node.body:
            if is_public(member) and ast.get_docstring(member):  # type: ignore[arg-type]
                members.append(entry_of(f"{name}.{member.name}", member))  # type: ignore[union-attr, arg-type]
    return Entry(name, signature_of(node), inspect.cleandoc(ast.get_docstring(node) or ""), members)


def module_of(title: str, tree: ast.Module) -> Module:
    found = definitions(tree)
    entries = [entry_of(f"{title}.{name}", found[name]) for name in listed_names(tree) if name in found]
    return Module(title, ast.get_docstring(tree) or "", entries)


def public_modules() -> list[Module]:
    """First qfp itself with what `from qfp import …` gives, then each public module such as data."""
    root = parse(PACKAGE / "__init__.py")
    everywhere: dict[str, Definition] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for name, node in definitions(parse(path)).items():
            everywhere.setdefault(name, node)
    entries: list[Entry] = []
    modules: list[Module] = []
    for name in listed_names(root):
        path = module_path(name)
        own = definitions(parse(path)).get(name) if path else None
        node = own or everywhere.get(name)
        if path and own is None:
            modules.append(module_of(name, parse(path)))
        elif node is not None:
            entries.append(entry_of(name, node))
    return [Module("qfp", ast.get_docstring(root) or "", entries), *modules]
