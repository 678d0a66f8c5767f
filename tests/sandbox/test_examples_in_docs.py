"""Do the examples of the manual run as they are written there?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.sandbox.conftest import Engine

FOLDER = Path(__file__).resolve().parents[2] / "docs"


def examples(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (FOLDER / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("source", [*examples("parallel.md"), "\n".join(examples("models.md")), *examples("speed.md")])
def test_an_example_of_parallel_work_models_or_speed_runs_and_shows_something(engine: Engine, source: str) -> None:
    result = engine.run(source, cpu_seconds=120, wall_seconds=120)
    assert result.outcome == "succeeded", result.stderr
    assert result.stdout
