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

# A signature longer than this is written with one argument a line.
LINE = 64

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Entry:
    """One public function or class, as it is called by users: for example "data.prices"."""

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


# Reading the source -----------------------------------------------------------------------------------------


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module_path(name: str) -> Path | None:
    inside = PACKAGE / name.replace(".", "/")
    for path in (inside.with_suffix(".py"), inside / "__init__.py"):
        if path.is_file():
            return path
    return None


def listed_names(tree: ast.Module) -> list[str]:
    """The names in __all__, in its order; without one, the public definitions in theirs."""
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
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
    line = f"({ast.unparse(arguments)}){returns}"
    return line if len(line) <= LINE else "(\n" + "".join(f"    {part},\n" for part in parts(arguments)) + f"){returns}"


def parts(arguments: ast.arguments) -> Iterator[str]:
    """The arguments one by one, each with its annotation and default, and the markers / and *."""
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    for index, (argument, default) in enumerate(zip(positional, defaults, strict=True)):
        yield with_default(argument, default)
        if arguments.posonlyargs and index + 1 == len(arguments.posonlyargs):
            yield "/"
    if arguments.vararg:
        yield f"*{ast.unparse(arguments.vararg)}"
    elif arguments.kwonlyargs:
        yield "*"
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield with_default(argument, default)
    if arguments.kwarg:
        yield f"**{ast.unparse(arguments.kwarg)}"


def with_default(argument: ast.arg, default: ast.expr | None) -> str:
    if default is None:
        return ast.unparse(argument)
    return f"{ast.unparse(argument)}{' = ' if argument.annotation else '='}{ast.unparse(default)}"


def entry_of(name: str, node: Definition) -> Entry:
    members: list[Entry] = []
    if isinstance(node, ast.ClassDef):
        for member in node.body:
            if is_public(member) and ast.get_docstring(member):  # type: ignore[arg-type]
                members.append(entry_of(f"{name}.{member.name}", member))  # type: ignore[union-attr, arg-type]
    return Entry(name, signature_of(node), inspect.cleandoc(ast.get_docstring(node) or ""), members)


def module_of(title: str, tree: ast.Module) -> Module:
    found = offered(tree)
    entries = [entry_of(f"{title}.{name}", found[name]) for name in listed_names(tree) if name in found]
    return Module(title, ast.get_docstring(tree) or "", entries)


def offered(tree: ast.Module) -> dict[str, Definition]:
    """What a module defines, and what a package hands on from its modules."""
    found = definitions(tree)
    for name, home in homes(tree).items():
        path = module_path(home.replace(".", "/"))
        if path is not None and name not in found:
            found |= {key: node for key, node in definitions(parse(path)).items() if key == name}
    return found


def homes(tree: ast.Module) -> dict[str, str]:
    """Where the package says each public name lives: "show" in "output", and "" for a module."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE.name:
            for alias in node.names:
                found[alias.name] = node.module.partition(".")[2]
    return found


def public_modules() -> list[Module]:
    """First what `from qfp import …` gives, then each public module such as data, in the order of __all__."""
    root = parse(PACKAGE / "__init__.py")
    home = homes(root)
    entries: list[Entry] = []
    modules: list[Module] = []
    for name in listed_names(root):
        path = module_path(home.get(name) or name)
        if path is None:
            continue
        tree = parse(path)
        if home.get(name):
            node = offered(tree).get(name)
            if node is not None:
                entries.append(entry_of(name, node))
        else:
            modules.append(module_of(name, tree))
            if path.name == "__init__.py":  # the package's own public modules: "models.options"
                for member in listed_names(tree):
                    if inner := module_path(f"{name}/{member}"):
                        modules.append(module_of(f"{name}.{member}", parse(inner)))
    return [Module(PACKAGE.name, ast.get_docstring(root) or "", entries), *modules]
