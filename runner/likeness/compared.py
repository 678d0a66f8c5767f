"""Which runs are compared with what their authors' others have traded, and which of them next?

A run is compared once, when it ends; what takes longer is left to jobs, a piece each. What is left stands in the
record: a run that is open is named in the row of its revision, and its first backtest says where it goes on. Jobs only
say that there is something to do, so a job that is lost, and a worker that dies, leave nothing uncompared.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from uuid import uuid4

import django_rq
from django.core.cache import cache
from django.db import transaction
from django.db.models import F, Func, JSONField, QuerySet, Value
from django.db.models.fields.json import KT
from redis.exceptions import RedisError

from runner.likeness.traded import MOST_ALIKE, compare_with_some
from runner.models import Backtest, Project, Run, TradedAlike

__all__ = ["NEXT", "compare", "compare_later", "compare_next", "is_counting", "send_missing"]

logger = logging.getLogger(__name__)

MOST_WORK = 200_000  # changes that are compared at the end of a run, in about half a second
MOST_WORK_LATER = 1_000_000  # that a job compares, in two or three: others wait in the same queue

OPEN = 0  # among the others of a revision: some of its runs are open, each by the number of its first backtest below 0
NEXT = "next"  # among the sides of a run's first backtest, while it is open: see Compared; none before the first piece
JOB = "compare-"  # with which the names of its jobs begin
LAST = "compared-last"  # in the cache: the author of whose runs a job has compared one last
OWNER = "run__revision__project__owner"  # of a backtest


def compare(run: Run, whole: bool = False) -> None:
    """What there is time for at the end of the run, or all; jobs compare what is left."""
    first = _first_backtests(Run.objects.filter(pk=run.pk)).values_list("pk", OWNER).first()
    if first is None:
        return
    head, owner = first
    told = compare_with_some(run, owner, 0, MOST_WORK, one_at_least=whole)
    found = told.found
    while whole and told.next:
        told = compare_with_some(run, owner, told.next, MOST_WORK_LATER, one_at_least=True)
        found |= told.found
    with transaction.atomic():
        if found or told.next:
            TradedAlike.objects.get_or_create(one_id=run.revision_id)
        _keep(run.revision_id, head, found, told.next)
    if told.next:
        _wake_a_worker()


def compare_later(runs: QuerySet[Run]) -> None:
    """All of it by jobs."""
    heads = dict(_first_backtests(runs).values_list("pk", "run__revision"))
    with transaction.atomic():
        rows = [TradedAlike(one_id=revision) for revision in set(heads.values())]
        TradedAlike.objects.bulk_create(rows, ignore_conflicts=True)
        rows = list(TradedAlike.objects.select_for_update().filter(one__in=heads.values()).order_by("pk"))
        for row in rows:
            row.others = _ordered([*row.others, *(-head for head, revision in heads.items() if revision == row.one_id)])
        TradedAlike.objects.bulk_update(rows, ["others"], batch_size=100)
    if rows:
        _wake_a_worker()


def compare_next() -> None:
    """What a job does: a piece of one run, of another author than the one before, so that nobody has to wait for all
    that others have left.
    """
    row = _next_row()
    if row is None:
        return
    head = -max(each for each in row.others if each < 0)
    first = Backtest.objects.filter(pk=head).select_related("run__revision").only("run", "sides").first()
    if first is None:
        _settle(row.one_id, head, 0, set(), 0)
    else:
        begin, owner = first.sides.get(NEXT, 0), row.one.project.owner_id
        told = compare_with_some(first.run, owner, begin, MOST_WORK_LATER, one_at_least=True)
        _settle(row.one_id, head, begin, told.found, told.next)
    if _open().exists():
        _wake_a_worker()


def _next_row() -> TradedAlike | None:
    """Of the author who is next by number, whether or not the piece of the one before came to its end: the oldest."""
    owners = _open().order_by("one__project__owner").values_list("one__project__owner", flat=True)
    owner = owners.filter(one__project__owner__gt=cache.get(LAST, 0)).first() or owners.first()
    if owner is None:
        return None
    cache.set(LAST, owner, None)
    return _open().filter(one__project__owner=owner).select_related("one__project").order_by("one").first()


def send_missing() -> bool:
    """Whether the queue had forgotten what is open, and was told again."""
    if not _open().exists() or _is_sent():
        return False
    _wake_a_worker()
    return True


def is_counting(project: Project) -> bool:
    """Whether runs of its owner are open, and more trials may be found to be of one strategy."""
    return project.owner_id is not None and _open().filter(one__project__owner=project.owner_id).exists()


def _open() -> QuerySet[TradedAlike]:
    return TradedAlike.objects.filter(others__contains=[OPEN], one__project__owner__isnull=False)


def _first_backtests(runs: QuerySet[Run]) -> QuerySet[Backtest]:
    """Of a guest's runs none: nobody knows what else is theirs."""
    return Backtest.objects.filter(run__in=runs, position=0, **{f"{OWNER}__isnull": False}).order_by("pk")


def _settle(revision: int, head: int, begin: int, found: set[int], further: int) -> None:
    """What a piece has found. begin: where it began; where somebody else has gone on from there, that counts."""
    with transaction.atomic():
        row = TradedAlike.objects.select_for_update().filter(one=revision).first()
        now = Backtest.objects.filter(pk=head).values_list(KT(f"sides__{NEXT}"), flat=True).first()
        is_ours = row is not None and -head in row.others and int(now or 0) == begin
        _keep(revision, head, found, further if is_ours else None)


def _keep(revision: int, head: int, found: Iterable[int], further: int | None) -> None:
    """further: where the run goes on; 0 where it has ended, None where somebody else knows."""
    row = TradedAlike.objects.select_for_update().filter(one=revision).first()
    if row is None:  # nothing was found, or the revision is deleted
        return
    others = {*row.others, *found}
    if further is not None:
        others = others | {-head} if further else others - {-head}
    row.others = _ordered(others)  # also where that is nothing: another of its runs may just be opened in the row
    row.save(update_fields=["others"])
    if further is None:
        return
    sides = Func(F("sides"), Value(NEXT), template="(%(expressions)s)", arg_joiner=" - ", output_field=JSONField())
    if further:
        told = Value({NEXT: further}, JSONField())
        sides = Func(F("sides"), told, template="(%(expressions)s)", arg_joiner=" || ", output_field=JSONField())
    Backtest.objects.filter(pk=head).update(sides=sides)


def _ordered(others: Iterable[int]) -> list[int]:
    """Open runs, OPEN where there are some, and the latest revisions."""
    heads = sorted({each for each in others if each < 0})
    alike = sorted({each for each in others if each > 0})
    return [*heads, *([OPEN] if heads else []), *alike[-MOST_ALIKE:]]


def _wake_a_worker() -> None:
    """Once what was written is there. One job too many does nothing, and one that cannot be sent is sent later."""
    transaction.on_commit(_send_a_job)


def _send_a_job() -> None:
    """Unless one waits. Its name is new each time: a job sends the next one before its own name is free again."""
    try:
        if not _is_sent():
            name, queue = f"{JOB}{uuid4().hex}", django_rq.get_queue("default")
            queue.enqueue("runner.jobs.compare_trades", job_id=name, result_ttl=0, failure_ttl=3600)
    except RedisError as error:
        logger.warning("trades are not compared yet (%s)", type(error).__name__)


def _is_sent() -> bool:
    return any(name.startswith(JOB) for name in django_rq.get_queue("default").job_ids)
