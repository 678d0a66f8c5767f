"""What of a project outlives it? The hashes of what was tried in it: deleting it makes no later result any luckier."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Q, QuerySet

from runner.alike import shapes_by_revision
from runner.models import Attempt, Backtest, PastTrial, Project, Trial

__all__ = ["remember"]

MOST_KEPT = 10_000  # of a project


def remember(project: Project) -> None:
    """Before it is deleted: for its author, by the shape of the code, and for its forks."""
    found: set[tuple[str, int | None, str]] = set()  # shape, fork, trial
    if project.owner_id is not None:
        shapes = shapes_by_revision(project)
        for revision, trial in _tried(Q(run__revision__in=list(shapes)), "run__revision"):
            found.add((shapes[revision], None, trial))
    of_it = Q(run__revision__project=project)
    for fork in Project.objects.filter(forked_from__project=project).exclude(pk=project.pk):
        own = project.owner_id is not None and fork.owner_id == project.owner_id
        where = of_it if own else of_it & Q(run__queued__lte=fork.created)
        found.update(("", fork.pk, trial) for _, trial in _tried(where, "run__revision"))
        found.update(("", fork.pk, trial) for trial in project.past_trials.values_list("trial", flat=True))
    rows = [
        PastTrial(owner_id=None if fork else project.owner_id, shape=shape, project_id=fork, trial=trial)
        for shape, fork, trial in sorted(found, key=str)[:MOST_KEPT]
    ]
    PastTrial.objects.bulk_create(rows, batch_size=1_000)


def _tried(where: Q, by: str) -> Iterator[tuple[int, str]]:
    parts: list[tuple[QuerySet, str]] = [
        (Backtest.objects.exclude(trial=""), "trial"),
        (Attempt.objects.all(), "trial"),
        (Trial.objects.all(), "key"),
    ]
    for rows, name in parts:
        yield from rows.filter(where).order_by().values_list(by, name).distinct()
