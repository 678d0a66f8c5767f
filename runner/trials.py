"""How many things were tried before this result? Different backtests along a project's lineage, counted for its author.

A trial is a different combination of code (comments and blank lines do not count), parameters, instruments, period and
conventions that gave a result; the same one run twice is one. A fork begins with what had been tried before it was
made, and what an author tries in a fork of their own counts for the original, too. Every combination that a sweep tried
is one, whatever became of its run, and so is what a run tried in backtests beyond those that are recorded.
"""

from __future__ import annotations

import ast
import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from django.db.models import Q

from runner.models import Attempt, Backtest, Project, Trial

__all__ = ["Code", "Trials", "of_backtest", "of_project"]

MOST_ANCESTORS = 50
MOST_READ = 5_000  # of which the spread of the Sharpe ratios is taken


@dataclass(frozen=True)
class Trials:
    """count: different ones, at least 1. annual_variance: of their Sharpe ratios; None for fewer than two."""

    count: int
    annual_variance: float | None = None


class Code:
    """The code of many trials, hashed once for all of them."""

    def __init__(self, files: dict[str, str]) -> None:
        code = {path: _without_comments(text) for path, text in sorted(files.items()) if path.endswith(".py")}
        self._begun = hashlib.sha256(f"[{json.dumps(code, sort_keys=True)}, ".encode())

    def fingerprint(self, values: dict[str, Any]) -> str:
        """The name of a trial: SHA-256 of its code and of the values that it was made with."""
        digest = self._begun.copy()
        digest.update(f"{json.dumps(values, sort_keys=True, default=str)}]".encode())
        return digest.hexdigest()


def of_backtest(backtest: Backtest, files: dict[str, str], run_params: dict[str, Any]) -> str:
    conventions = {key: value for key, value in backtest.conventions.items() if key not in ("lines", "survivorship")}
    return Code(files).fingerprint(
        {
            "run_params": run_params,
            "strategy": backtest.strategy,
            "params": backtest.params,
            "instruments": [[each["series"] or each["symbol"], each["adjust"]] for each in backtest.instruments],
            "period": [backtest.start.isoformat(), backtest.end.isoformat()],
            "cash": backtest.cash,
            "conventions": conventions,
        }
    )


@lru_cache(maxsize=256)
def _without_comments(text: str) -> str:
    try:
        return ast.unparse(ast.parse(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two for what is nested deeply
        lines = (line.strip() for line in text.splitlines())
        return "\n".join(line for line in lines if line and not line.startswith("#"))


def of_project(project: Project) -> Trials:
    """What was tried in the project, before it was forked, and in its author's forks of it."""
    where = Q(run__revision__project__in=[project.pk, *_own_forks(project)])
    child = project
    for _ in range(MOST_ANCESTORS):
        revision = child.forked_from
        if revision is None:
            break
        where |= Q(run__revision__project=revision.project_id, run__queued__lte=child.created)
        child = revision.project
    tried = Backtest.objects.filter(where).exclude(trial="").order_by("trial")
    swept = Trial.objects.filter(where).order_by("key")
    recorded, further = tried.order_by().values("trial"), Attempt.objects.filter(where).values("trial")
    count = recorded.union(further).count() + swept.values("key").distinct().count()
    sharpes = dict(tried.values_list("trial", "metrics__sharpe")[:MOST_READ])
    sharpes |= dict(swept.values_list("key", "figures__sharpe")[:MOST_READ])
    known = np.array([value for value in sharpes.values() if value is not None], dtype=float)
    return Trials(max(1, count), float(known.var(ddof=1)) if len(known) > 1 else None)


def _own_forks(project: Project) -> list[int]:
    """Projects of the same author that were forked from it, or from such forks."""
    if project.owner_id is None:
        return []
    found: list[int] = []
    level = [project.pk]
    for _ in range(MOST_ANCESTORS):
        forks = Project.objects.filter(owner=project.owner_id, forked_from__project__in=level)
        level = list(forks.exclude(pk__in=[project.pk, *found]).values_list("pk", flat=True))
        if not level:
            break
        found += level
    return found
