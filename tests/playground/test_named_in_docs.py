"""What is written for who changes the code names files, modules and tests: each is there."""

import re
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands

from tests.benchmarks.__main__ import AREAS

ROOT = Path(settings.BASE_DIR)
FOLDERS = "accounts community deploy docs marketdata playground runner sandbox static templates tests".split()
MADE = ("static/dist/",)  # by make run
DOCUMENTS = ["README.md", "sandbox/README.md", "tests/vm/README.md", "docs/architecture.md", "docs/security.md"]
PATH = re.compile(rf"[\w./*-]*\w\.(?:py|md|css|ts|js|html|typ|json|toml|txt|sh)\b|\b(?:{'|'.join(FOLDERS)})/[\w/]*")
OF_PYTHON = {"main.py"}  # a program's own


@pytest.fixture(scope="module")
def files() -> set[str]:
    """Names of all files and folders of ours."""
    return {path.name for path in chain(ROOT.iterdir(), *((ROOT / folder).rglob("*") for folder in FOLDERS))}


@pytest.fixture(scope="module")
def tests() -> str:
    return "".join(f"{path.name}\n{path.read_text(encoding='utf-8')}" for path in (ROOT / "tests").rglob("test_*.py"))


def is_there(path: str, beside: Path, files: set[str]) -> bool:
    """path: from the root, from the document, or from what it is about; a name alone may be anywhere."""
    if "/" not in path and "*" not in path:
        return path in files | OF_PYTHON
    return any(any(folder.glob(path.rstrip("/"))) for folder in (ROOT, beside, ROOT / "tests" / beside.name))


def test_every_command_that_is_named_is_there():
    """Of make, manage.py, and programs of ours that are started as modules."""
    pages = [*DOCUMENTS, "deploy/README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
    code = re.compile(r"```.*?```|`[^`\n]+`|^ {4}.*$", re.DOTALL | re.MULTILINE)
    shown = "\n".join(span for page in pages for span in code.findall((ROOT / page).read_text(encoding="utf-8")))
    makefile = (ROOT / "Makefile").read_text()
    targets = {*re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE), *(f"bench-{name}" for name in AREAS)}
    assert set(re.findall(r"(?:^|[`\n]) *make ([a-z][\w-]*)", shown)) <= targets
    assert set(re.findall(r"-([a-z]+)", re.search(r"also (bench-.*)", shown)[1])) == set(AREAS)
    assert set(re.findall(r"manage\.py ([a-z_]+)", shown)) <= set(get_commands())
    modules = set(re.findall(r"python[0-9.]* -m ((?:qfp|sandbox|tests|playground)[\w.]*)", shown))
    assert modules and [name for name in modules if find_spec(name) is None] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_module_and_test_that_is_named_is_there(document, files, tests):
    text = (ROOT / document).read_text(encoding="utf-8")
    spans = re.findall(r"`([^`\n]+)`", text)
    paths = {path for span in spans for path in PATH.findall(span)} - {*MADE}
    beside = (ROOT / document).parent
    assert [path for path in sorted(paths) if not is_there(path, beside, files)] == []
    named = {name for span in spans for name in re.findall(r"\btest_\w+", span)}
    assert [name for name in sorted(named) if name not in tests] == []
    package = ROOT / "sandbox/sdk/qfp"
    known = {path.stem for path in package.iterdir()} | set(re.findall(r"\w+", (package / "__init__.py").read_text()))
    assert {name for span in spans for name in re.findall(r"\bqfp\.(\w+)", span)} <= known
