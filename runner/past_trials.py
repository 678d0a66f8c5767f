"""What of a project outlives it? The hashes of what was tried in it: deleting it makes no later result any luckier."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import Q, QuerySet

from runner.alike import shapes_by_revision
from runner.models import Attempt, Backtest, PastTrial, Project, Trial
from runner.trials import before_forking

__all__ = ["delete_one_by_one", "remember", "remember_for_others"]

MOST_KEPT = 10_000  # of a project

Kept = tuple[str, int | None, str]  # shape, fork, trial


def remember(project: Project) -> None:
    """Before it is deleted: for its author, by the shape of the code, and for its forks."""
    found: set[Kept] = set()
    if project.owner_id is not None:
        shapes = shapes_by_revision(project)
        for revision, trial in _tried(Q(run__revision__in=list(shapes)), "run__revision"):
            found.add((shapes[revision], None, trial))
    _keep(project, found | _of_forks(project, _forks_of(project)))


def delete_one_by_one(projects: QuerySet[Project]) -> int:
    """How many were deleted. Each leaves what was tried in it to its forks, which may be among the next."""
    deleted = 0
    for number in list(projects.order_by("pk").values_list("pk", flat=True)):
        # Read again: what it was forked from may just have been deleted, and it may have found an owner.
        if (project := projects.filter(pk=number).first()) is not None:
            project.delete()
            deleted += 1
    return deleted


def remember_for_others(project: Project, leaving: QuerySet[Any]) -> None:
    """Before it is deleted with its owner: for forks of those who stay. leaving: the accounts that are deleted."""
    _keep(project, _of_forks(project, _forks_of(project).exclude(owner__in=leaving)))


def _forks_of(project: Project) -> QuerySet[Project]:
    return Project.objects.filter(forked_from__project=project).exclude(pk=project.pk)


def _of_forks(project: Project, forks: QuerySet[Project]) -> set[Kept]:
    """What was tried in it, and in what it was forked from itself: a fork is led there by nothing else."""
    found: set[Kept] = set()
    of_it = Q(run__revision__project=project)
    inherited, long_gone = before_forking(project)
    for fork in forks:
        own = project.owner_id is not None and fork.owner_id == project.owner_id
        where = inherited | (of_it if own else of_it & Q(run__queued__lte=fork.created))
        found.update(("", fork.pk, trial) for _, trial in _tried(where, "run__revision"))
        past = PastTrial.objects.filter(Q(project=project) | long_gone)
        found.update(("", fork.pk, trial) for trial in past.values_list("trial", flat=True))
    return found


def _keep(project: Project, found: set[Kept]) -> None:
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
