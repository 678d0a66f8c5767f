"""The sample projects: each .py file beside this one is a program for the box, its docstring's first line the title.

The files are read as text and never imported by the site.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sample:
    slug: str
    title: str
    summary: str
    source: str


def _read(path: Path) -> Sample:
    source = path.read_text(encoding="utf-8")
    title, _, rest = (ast.get_docstring(ast.parse(source)) or path.stem).partition("\n")
    return Sample(path.stem.replace("_", "-"), title.strip().rstrip("."), rest.strip(), source)


SAMPLES = [_read(path) for path in sorted(Path(__file__).parent.glob("*.py")) if path.name != "__init__.py"]
FIRST_SAMPLE = next(sample for sample in SAMPLES if sample.slug == "momentum")
