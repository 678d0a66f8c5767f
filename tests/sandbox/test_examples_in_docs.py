"""Do the examples of the manual run as they are written there?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.sandbox.conftest import Engine

PAGE = Path(__file__).resolve().parents[2] / "docs" / "parallel.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("source", EXAMPLES)
def test_an_example_of_parallel_work_runs_and_shows_something(engine: Engine, source: str) -> None:
    result = engine.run(source, cpu_seconds=120, wall_seconds=120)
    assert result.outcome == "succeeded", result.stderr
    assert result.stdout
