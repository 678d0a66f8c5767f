"""Which imported packages are neither in every box nor asked for? Found by parsing, before anything runs."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sandbox.host.package_rules import normal_name
from sandbox.host.requirements import base_versions

TABLE = Path(__file__).resolve().parent.parent / "policy" / "import_names.toml"
OURS = {"qfp", "yfinance", "pandas_datareader"}  # what a box has from us
MAX_PARSED_CHARACTERS = 32_000
MAX_BRACES = 1_000
_F_STRING = re.compile(r"""\b[rR]?[fF][rR]?["']""")
_IMPORT_LINE = re.compile(r"(?:import|from)[ \t]+([A-Za-z_]\w*)")


@dataclass(frozen=True)
class Missing:
    """An import without its package: the import's name, the distribution that has it, and where it is imported."""

    module: str
    distribution: str
    file: str
    line: int


@lru_cache(maxsize=1)
def _table() -> dict[str, dict[str, Any]]:
    return tomllib.loads(TABLE.read_text())


def distribution_of(module: str) -> str:
    """The distribution that is imported by this name: the table's where the two differ."""
    return _table()["differs"].get(module, normal_name(module))


def import_names() -> dict[str, str]:
    """Import names that differ from their distribution's, both as distributions are written."""
    return {normal_name(module): distribution for module, distribution in _table()["differs"].items()}


def needs_a_network(module: str) -> bool:
    """Whether the package is of no use in a box; what to use instead is said where it is imported."""
    return module in _table()["network"]


def asked_beside(distribution: str) -> list[str]:
    """Requirements without which this package cannot be had, as it needs older versions than every box has."""
    return list(_table()["beside"].get(distribution, ()))


def missing_imports(files: dict[str, str], asked: set[str], provided: frozenset[str] = frozenset()) -> list[Missing]:
    """asked: distributions the project names; provided: import names that its layer is known to hold."""
    own = {path.removesuffix(".py").split("/")[0] for path in files if path.endswith(".py")}
    known = set(sys.stdlib_module_names) | OURS | own | provided
    base = base_versions()
    found: dict[str, Missing] = {}
    for path, source in sorted(files.items()):
        if not path.endswith(".py"):
            continue
        for module, line in _imports(source):
            distribution = distribution_of(module)
            if module in known or distribution in base or distribution in asked:
                continue
            found.setdefault(module, Missing(module, distribution, path, line))
    return list(found.values())


def _imports(source: str) -> list[tuple[str, int]]:
    """The first part of every imported name, with its line; optional imports are left out."""
    if not _is_cheap_to_parse(source):
        return _imports_by_line(source)
    tree = _parse(source)
    if tree is None:
        return []  # the run will tell the mistake
    found: list[tuple[str, int]] = []
    # Statements only, and no recursion: an expression may be nested more deeply than Python likes to descend.
    waiting: list[ast.stmt] = list(reversed(tree.body))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found += [(alias.name.partition(".")[0], node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.append((node.module.partition(".")[0], node.lineno))
        waiting += reversed(_inside(node))
    return found


def _is_cheap_to_parse(source: str) -> bool:
    """Whether Python's parser can be let loose on it while somebody waits for a page.

    It takes seconds for half a megabyte of short statements, and for long f-strings a time that grows with the square.
    """
    if len(source) > MAX_PARSED_CHARACTERS:
        return False
    return not _F_STRING.search(source) or source.count("{") <= MAX_BRACES


def _imports_by_line(source: str) -> list[tuple[str, int]]:
    """What the lines say that begin with an import; those that are indented may be optional, and are left out."""
    found = []
    for number, line in enumerate(source.split("\n"), start=1):
        if match := _IMPORT_LINE.match(line):
            found.append((match.group(1), number))
    return found


def _inside(node: ast.stmt) -> list[ast.stmt]:
    """The statements a statement holds, without those that need not succeed or never run."""
    parts = [getattr(node, name, []) for name in ("body", "orelse", "finalbody")]
    if isinstance(node, ast.Try) and any(_catches_import_errors(handler.type) for handler in node.handlers):
        parts[0] = []
    if isinstance(node, ast.If) and _name(node.test) == "TYPE_CHECKING":
        parts[0] = []
    parts += [handler.body for handler in getattr(node, "handlers", [])]
    parts += [case.body for case in getattr(node, "cases", [])]
    return [statement for part in parts for statement in part]


def _name(node: ast.expr | None) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _parse(source: str) -> ast.Module | None:
    plain = "\n".join("" if line.lstrip().startswith(("%", "!", "?")) else line for line in source.splitlines())
    for text in (source, plain):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return None


def _catches_import_errors(kind: ast.expr | None) -> bool:
    if kind is None:
        return True
    if isinstance(kind, ast.Tuple):
        return any(_catches_import_errors(element) for element in kind.elts)
    return _name(kind) in {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
