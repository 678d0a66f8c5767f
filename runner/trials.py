"""How many things were tried before this result? Different backtests along a project's lineage, counted for its author.

A trial is a different combination of code (comments and blank lines do not count), parameters, instruments, period
and conventions that gave a result; the same one run twice is one. A fork begins with what had been tried before it
was made, and what an author tries in a fork of their own, or with the same code but for literals and names in another
project, counts, too, even after that has been deleted. Every combination that a sweep tried is one, whatever became
of its run, and so is what a run tried in backtests beyond those that are recorded.
"""

from __future__ import annotations

import ast
import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from django.db.models import Avg, Count, FloatField, Max, Min, Q, QuerySet, Variance
from django.db.models.fields.json import KT
from django.db.models.functions import Cast
from qfp.significance import expected_maximum

from runner.alike import alike_revisions, shapes_of_project
from runner.models import Attempt, Backtest, PastTrial, Project, Trial

__all__ = ["Code", "Trials", "of_backtest", "of_project"]

MOST_ANCESTORS = 50
SANE = 1_000.0  # annual Sharpe ratios beyond it are told, not earned: they are left out of the spread
ENOUGH = 10  # trials from which on a part of them says how far they spread


@dataclass(frozen=True)
class Trials:
    """count: different ones, at least 1. annual_variance: of their Sharpe ratios; None for fewer than two.

    Most are told by programs, so it is the widest of what all, a run's alone, and the best and the worst of them say:
    whoever tells of thousands of equal ones afterwards makes it no smaller.
    """

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
    forks = _own_forks(project)
    where = Q(run__revision__project__in=[project.pk, *forks])
    alike = alike_revisions(project)
    if alike:
        where |= Q(run__revision__in=alike)
    before = Q(project__in=[project.pk, *forks])
    if project.owner_id is not None and PastTrial.objects.filter(owner=project.owner_id).exists():
        before |= Q(owner=project.owner_id, shape__in=shapes_of_project(project))
    child = project
    for _ in range(MOST_ANCESTORS):
        revision = child.forked_from
        if revision is None:
            break
        where |= Q(run__revision__project=revision.project_id, run__queued__lte=child.created)
        before |= Q(project=revision.project_id)
        child = revision.project
    tried = Backtest.objects.filter(where).exclude(trial="")
    swept = Trial.objects.filter(where)
    further, deleted = Attempt.objects.filter(where), PastTrial.objects.filter(before)
    keys = [swept.order_by().values("key"), *(rows.order_by().values("trial") for rows in (further, deleted))]
    count = tried.order_by().values("trial").union(*keys).count()
    parts = [
        *_spreads(swept, "figures__sharpe", "run"),
        *(part._replace(number=1) for part in _spreads(tried, "metrics__sharpe", "trial")),
    ]
    return Trials(max(1, count), _variance(parts))


class _Spread(NamedTuple):
    """Of the Sharpe ratios of some trials. variance: None for a single one."""

    number: int
    mean: float
    variance: float | None
    low: float
    high: float


def _spreads(rows: QuerySet[Any], figure: str, by: str) -> list[_Spread]:
    known = rows.order_by().annotate(told=Cast(KT(figure), FloatField())).filter(told__range=(-SANE, SANE))
    parts = known.values(by).annotate(
        number=Count("pk"), mean=Avg("told"), variance=Variance("told", sample=True), low=Min("told"), high=Max("told")
    )
    return [_Spread(*row) for row in parts.values_list("number", "mean", "variance", "low", "high")]


def _variance(parts: Iterable[_Spread]) -> float | None:
    parts = list(parts)
    number = sum(part.number for part in parts)
    if number < 2:
        return None
    mean = sum(part.number * part.mean for part in parts) / number
    squares = sum((part.variance or 0.0) * (part.number - 1) + part.number * (part.mean - mean) ** 2 for part in parts)
    found = [squares / (number - 1)]
    found += [part.variance for part in parts if part.variance is not None and part.number >= ENOUGH]
    if number >= ENOUGH:
        # Half of the range is what the best of so many is expected to stand above their mean.
        half = (max(part.high for part in parts) - min(part.low for part in parts)) / 2
        found.append((half / expected_maximum(number)) ** 2)
    return max(found) if all(map(math.isfinite, found)) else None


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
