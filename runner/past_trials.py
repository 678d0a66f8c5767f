"""What of a project outlives it? The hashes of what was tried in it: deleting it makes no later result any luckier."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain, islice
from typing import Any

from django.db.models import Min, Q, QuerySet

from runner.likeness.alike import Program, are_alike, programs_by_revision, programs_of_revisions
from runner.likeness.traded import hashes_by_revision, pairs_of
from runner.models import Attempt, Backtest, PastProgram, PastTrial, Project, Trial

__all__ = ["alike_shapes", "delete_one_by_one", "remember", "remember_for_others"]

MOST_KEPT = 20_000  # of a project, its author's before those of forks; a sweep can try as many
MOST_REVISIONS = 1_000  # many more than somebody runs to have earlier ones forgotten
MOST_WORK = 10_000_000  # that is done for those of them that are not known yet

Tried = list[tuple[int, str, datetime]]


def remember(project: Project) -> None:
    """Before it is deleted: for its author, by the shape of the code, and for its forks."""
    tried = list(_tried(Q(run__revision__project=project)))
    _keep(chain(_of_author(project, tried), _of_forks(project, _forks_of(project), tried)))


def remember_for_others(project: Project, leaving: QuerySet[Any]) -> None:
    """Before it is deleted with its owner: for forks of those who stay. leaving: the accounts that are deleted."""
    tried = list(_tried(Q(run__revision__project=project)))
    _keep(_of_forks(project, _forks_of(project).exclude(owner__in=leaving), tried))


def delete_one_by_one(projects: QuerySet[Project]) -> int:
    """How many were deleted. Each leaves what was tried in it to its forks, which may be among the next."""
    deleted = 0
    for number in list(projects.order_by("pk").values_list("pk", flat=True)):
        # Read again: what it was forked from may just have been deleted, and it may have found an owner.
        if (project := projects.filter(pk=number).first()) is not None:
            project.remove()  # a worker may be storing something of it
            deleted += 1
    return deleted


def _keep(rows: Iterable[PastTrial]) -> None:
    PastTrial.objects.bulk_create(islice(rows, MOST_KEPT), batch_size=1_000)


def _forks_of(project: Project) -> QuerySet[Project]:
    found = Project.objects.filter(forked_from__project=project).exclude(pk=project.pk)
    return found.defer("draft")  # thousands of programs, of which nothing is read


def _of_author(project: Project, tried: Tried) -> Iterator[PastTrial]:
    if project.owner_id is None:
        return
    programs = programs_by_revision(project, MOST_REVISIONS, MOST_WORK)
    traded = hashes_by_revision(project)
    told = {Program(hashes, programs[by].shape) for by in traded.keys() & programs.keys() for hashes in traded[by]}
    _keep_programs(project, {*programs.values(), *told})
    kept = ((programs[by].shape, trial) for by, trial, _ in tried if by in programs)
    seen: set[tuple[str, str]] = set()
    for shape, trial in chain(kept, _of_traded_alike(project, programs, tried)):
        if (shape, trial) not in seen:
            seen.add((shape, trial))
            yield PastTrial(owner_id=project.owner_id, shape=shape, trial=trial)


def _of_traded_alike(project: Project, programs: dict[int, Program], tried: Tried) -> Iterator[tuple[str, str]]:
    """What has traded nearly the same goes on counting what it was alike to, by its own shape."""
    for one, shape in _traded_alike(project, programs):
        alike = {by for by, program in programs.items() if are_alike(program, one)}
        yield from ((shape, trial) for by, trial, _ in tried if by in alike)


def _traded_alike(project: Project, programs: dict[int, Program]) -> set[tuple[Program, str]]:
    """Programs of the project, and shapes of its owner's others that have traded nearly the same."""
    found = sorted(pairs_of(project), key=max, reverse=True)[:MOST_REVISIONS]
    others = programs_of_revisions({other for _, other in found})
    return {(programs[one], others[other].shape) for one, other in found if one in programs and other in others}


def _keep_programs(project: Project, programs: set[Program]) -> None:
    kept = PastProgram.objects.filter(owner=project.owner_id, shape__in={program.shape for program in programs})
    before = {Program(frozenset(told), shape) for told, shape in kept.values_list("strategies", "shape")}
    PastProgram.objects.bulk_create(
        PastProgram(owner_id=project.owner_id, shape=program.shape, strategies=sorted(program.strategies))
        for program in programs - before
    )


def alike_shapes(project: Project) -> set[str]:
    """Shapes of what its owner tried in deleted projects, and that runs or has traded the same as this one. Those
    deleted before their strategies were kept are known by their shapes alone.
    """
    own = set(programs_by_revision(project).values())
    shapes = {program.shape for program in own}
    own |= {Program(each, "") for several in hashes_by_revision(project).values() for each in several}
    told = {strategy for program in own for strategy in program.strategies}
    kept = PastProgram.objects.filter(owner=project.owner_id, strategies__has_any_keys=sorted(told))
    past = [Program(frozenset(told), shape) for told, shape in kept.values_list("strategies", "shape")]
    same = {program.shape for program in past if any(are_alike(program, each) for each in own)}
    return same | shapes


def _of_forks(project: Project, forks: QuerySet[Project], tried: Tried) -> Iterator[PastTrial]:
    """What was tried in it, and in what it was forked from itself: a fork is led there by nothing else."""
    if not forks:
        return
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
