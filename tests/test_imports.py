"""Who may import whom: an app imports only what stands below it, and the sandbox knows nothing of the site."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
APPS = ("accounts", "marketdata", "runner", "community", "playground")
# app -> the apps it may import, besides itself
BELOW = {
    "accounts": set(),
    "marketdata": set(),
    "runner": {"accounts", "marketdata"},
    "community": {"accounts", "marketdata", "runner"},
    "playground": {"accounts", "marketdata", "runner", "community"},
    "sandbox": set(),
}
# The doors of the sandbox, and the modules of the SDK that compute without a box; data reads a snapshot for both.
SANDBOX_DOORS = {"sandbox.client", "sandbox.protocol"}
# Packages are brought in outside of boxes, by the workers: one module of the site, and one door.
PACKAGES_DOOR = ("runner/packages.py", "sandbox.host.packages")
PURE_SDK = {
    "cells",
    "metrics",
    "conventions",
    "replay",
    "adjustment",
    "data",
    "starter",
    "objects",
    "periods",
    "panels",
    "packing",
    "portfolio",
    "synthetic",
    "checking",
    "publication",
    "significance",
    "regression",
    "resampling",
    "windows",
    "models",
    "figures",
    "tearsheet",
    "sweeps",
}
# Modules that may be looked at for documentation or run as programs, never for their behaviour in a request.
SDK_READERS = {"playground/reference.py"}
CHECKS = {"runner/management/commands/check_sandbox.py"}
# Sent into a box and run there.
IN_A_BOX = {"marketdata/reading/program.py"}


def modules(folder: str) -> Iterator[Path]:
    """The files of an app or of the sandbox. Samples are programs of users: they run in a box, not here."""
    samples = ROOT / "runner" / "samples"
    for path in sorted((ROOT / folder).rglob("*.py")):
        if path.parent.parent != samples:
            yield path


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import in the file, also those inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = path.relative_to(ROOT).with_suffix("").parts[: -node.level]
                base = ".".join([*package, *([base] if base else [])])
            yield node.lineno, base
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def complaints(folder: str, allowed) -> list[str]:
    found = []
    for path in modules(folder):
        name = path.relative_to(ROOT).as_posix()
        for line, module in imported(path):
            if not allowed(name, module):
                found.append(f"{name}:{line} imports {module}")
    return found


@pytest.mark.parametrize("app", APPS)
def test_app_imports_only_apps_below_it(app):
    def allowed(name: str, module: str) -> bool:
        top = module.partition(".")[0]
        return top not in APPS or top == app or top in BELOW[app]

    assert complaints(app, allowed) == []


@pytest.mark.parametrize("app", APPS)
def test_site_uses_the_sandbox_through_its_doors(app):
    def allowed(name: str, module: str) -> bool:
        if name in SDK_READERS | CHECKS | IN_A_BOX:
            return True
        top, _, rest = module.partition(".")
        if top == "qfp":
            return not rest or rest.partition(".")[0] in PURE_SDK
        if top == "sandbox":
            if name == PACKAGES_DOOR[0] and module.startswith(PACKAGES_DOOR[1]):
                return True
            return module == "sandbox" or ".".join(module.split(".")[:2]) in SANDBOX_DOORS
        return True

    assert complaints(app, allowed) == []


def test_sandbox_imports_neither_django_nor_the_site():
    foreign = {"django", "channels", "rq", "django_rq", "redis", "psycopg", *APPS}
    assert complaints("sandbox", lambda name, module: module.partition(".")[0] not in foreign) == []


def test_nobody_imports_the_wiring():
    for app in ("accounts", "marketdata", "runner", "community", "sandbox"):
        assert complaints(app, lambda name, module: module.partition(".")[0] != "playground") == []
