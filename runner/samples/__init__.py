"""The templates: each folder beside this file is a project for the box, with its metadata and what it must find.

    <slug>/about.toml   title, sentence, level, tags
    <slug>/main.py      the program, in cells that explain themselves
    <slug>/tests.py     its reference values: run in the same namespace after it, never part of a copy
    <slug>/picture.svg  what it drew when `manage.py run_templates --pictures` was last given: shown until it runs here

The files are read as text and never imported by the site.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER, PICTURE = Path(__file__).parent, "picture.svg"
CHECKED = "\n# %% Reference values\n"  # between a program and its tests
LEVELS = {"start": "To start with", "intermediate": "Intermediate", "advanced": "Advanced"}


@dataclass(frozen=True)
class Sample:
    slug: str
    title: str
    sentence: str
    level: str
    tags: tuple[str, ...]
    source: str
    tests: str
    picture: str

    @property
    def checked_source(self) -> str:
        """The program with its reference values as a last cell: what the site itself runs."""
        return f"{self.source}{CHECKED}{self.tests}" if self.tests else self.source


def _read(folder: Path) -> Sample:
    about = tomllib.loads((folder / "about.toml").read_text(encoding="utf-8"))
    if about["level"] not in LEVELS:
        raise ValueError(f"{folder.name}/about.toml: level must be one of {', '.join(LEVELS)}")
    tests, picture = folder / "tests.py", folder / PICTURE
    return Sample(
        folder.name,
        about["title"],
        about["sentence"],
        about["level"],
        tuple(about["tags"]),
        (folder / "main.py").read_text(encoding="utf-8"),
        tests.read_text(encoding="utf-8") if tests.exists() else "",
        picture.read_text(encoding="utf-8") if picture.exists() else "",
    )


def _order(sample: Sample) -> tuple[int, str]:
    return list(LEVELS).index(sample.level), sample.title


SAMPLES = sorted((_read(path.parent) for path in FOLDER.glob("*/about.toml")), key=_order)
FIRST_SAMPLE = next(sample for sample in SAMPLES if sample.slug == "momentum")
