"""What of a project outlives it? The hashes of what was tried in it: deleting it makes no later result any luckier."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice

from django.db.models import Min, Q, QuerySet

from runner.alike import shapes_by_revision
from runner.models import Attempt, Backtest, PastTrial, Project, Trial

__all__ = ["remember"]

MOST_KEPT = 20_000  # of a project, its author's before those of forks; a sweep can try as many
MOST_REVISIONS = 1_000  # many more than somebody runs to have earlier ones forgotten


def remember(project: Project) -> None:
    """Before it is deleted: for its author, by the shape of the code, and for its forks."""
    PastTrial.objects.bulk_create(islice(_rows(project), MOST_KEPT), batch_size=1_000)


def _rows(project: Project) -> Iterator[PastTrial]:
    tried = list(_tried(Q(run__revision__project=project)))
    if project.owner_id is not None:
        shapes = shapes_by_revision(project, MOST_REVISIONS)
        for shape, trial in dict.fromkeys((shapes[by], trial) for by, trial, _ in tried if by in shapes):
            yield PastTrial(owner_id=project.owner_id, shape=shape, trial=trial)
    forks = list(Project.objects.filter(forked_from__project=project).exclude(pk=project.pk))
    if not forks:
        return
    # They are cut off from what this one was forked from, too.
    older, past = Q(pk__in=[]), Q(project=project)
    for ancestor, forked in project.ancestors():
        older |= Q(run__revision__project=ancestor, run__queued__lte=forked)
        past |= Q(project=ancestor)
    before = [trial for _, trial, _ in _tried(older)]
    before += PastTrial.objects.filter(past).values_list("trial", flat=True)
    for fork in forks:
        own = project.owner_id is not None and fork.owner_id == project.owner_id
        mine = [trial for _, trial, first in tried if own or first <= fork.created]
        for trial in dict.fromkeys(before + mine):
            yield PastTrial(project=fork, trial=trial)


def _tried(where: Q) -> Iterator[tuple[int, str, datetime]]:
    """(revision, what was tried, when first) of runs."""
    parts: list[tuple[QuerySet, str]] = [
        (Backtest.objects.exclude(trial=""), "trial"),
        (Attempt.objects.all(), "trial"),
        (Trial.objects.all(), "key"),
    ]
    for rows, name in parts:
        found = rows.filter(where).order_by().values("run__revision", name).annotate(first=Min("run__queued"))
        yield from found.values_list("run__revision", name, "first")
