"""Which parameters tell the runs of a list apart? Those whose values differ among the runs of a project, or from the
default of the code.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from runner.models import Run

__all__ = ["differing"]

MOST_SHOWN = 8


def differing(runs: Iterable[Run]) -> dict[UUID, dict[str, Any]]:
    """Name and value, by the run's id; runs that have nothing of their own to say are left out."""
    by_project: dict[int, list[Run]] = defaultdict(list)
    for run in runs:
        by_project[run.revision.project_id].append(run)
    found = {}
    for group in by_project.values():
        values: dict[str, set[str]] = defaultdict(set)
        for run in group:
            for name, value in _kept(run).items():
                values[name].add(_same(value))
        for run in group:
            changed = run.changed_params
            told = {name: value for name, value in _kept(run).items() if name in changed or len(values[name]) > 1}
            if told:
                found[run.pk] = dict(list(told.items())[:MOST_SHOWN])
    return found


def _same(value: Any) -> str:
    """Equal for 0 and 0.0, which a form sends for one another."""
    return repr(int(value)) if isinstance(value, float) and value.is_integer() else repr(value)


def _kept(run: Run) -> dict[str, Any]:
    """Its parameters, less those that it varied: the figure of a sweep belongs to values that it chose."""
    varied = run.search.get("space", {})
    return {name: value for name, value in run.all_params.items() if name not in varied}
