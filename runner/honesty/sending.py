"""Which runs does the site make again on data of its own, and which of them next?

What waits stands in the record, and jobs only say that there is something to do, as for the runs themselves: a worker
that has a hand free takes the one whose owner has had least lately. A job that is lost is sent again, and what a worker
had when it died is given to another one.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any
from uuid import uuid4

import django_rq
from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Now
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from redis.exceptions import RedisError

from runner.honesty import held_up
from runner.honesty.examinable import is_shown, why_never
from runner.honesty.held_sweeps import chose_from_all
from runner.models import Backtest, Project, Run

logger = logging.getLogger(__name__)

__all__ = [
    "EXAMINING",
    "PATIENCE",
    "QUEUE",
    "claim",
    "is_recent",
    "look_again_after",
    "outlook",
    "outlook_of_choice",
    "progress",
    "send",
    "send_all",
    "send_missing",
    "send_waiting",
    "settle",
    "under_way",
    "unexamined",
    "wanted",
]

QUEUE = "parallel"
JOB = "examine-"  # with which the names of its jobs begin

EXAMINING = "examining"  # among the checks of a run's first backtest: {since, done, of}, the last two in times
PATIENCE = timedelta(hours=1)  # with a worker that may have died, and with the end of another run
LATELY = timedelta(minutes=10)  # an examination takes up to eight, and mostly less than two
SENT_WITHIN = timedelta(minutes=1)  # of its end
JOB_PATIENCE = timedelta(seconds=15)  # until a job counts as lost
MOST_AT_PUBLISHING = 5  # for the workers are there for everybody; the others when somebody opens them


def wanted(run: Run) -> bool:
    """Whether the site makes this run again: others may see it, and it holds a backtest on our data that was not
    looked at yet.
    """
    return is_shown(run) and _can_be_made_again(run)


def look_again_after(run: Run) -> int:
    """In how many seconds a page that shows it asks what is said of it by then: while it goes on, and seldom where no
    worker has come for long; 0 where its repeats are neither under way nor about to be.
    """
    if not run.is_finished:
        return 2 if timezone.now() - (run.started or run.queued) < LATELY else 10
    if not wanted(run):
        return 0
    last = max(filter(None, [run.finished, run.examination_asked, run.examination_began]))
    waited = timezone.now() - last
    if run.examination_asked is None:
        return 2 if waited < SENT_WITHIN else 0
    if waited < (LATELY if last == run.examination_began else SENT_WITHIN):
        return 2
    return 10 if waited < LATELY else 30


def outlook(run: Run) -> str:
    """What is still to come for a run that was not made again, in sentences; "" where nothing is."""
    if not _can_be_made_again(run):
        return ""
    what = "the site makes the run again on data that it has changed, and compares the decisions."
    if not is_shown(run):
        return f"Once the project is unlisted or public, {what}"
    pending = progress(run)
    return f"Still to come: {what}" + (f" Its repeats {pending}." if pending else "")


def outlook_of_choice(run: Run) -> str:
    """What a private run with a sweep has to expect once others can see it, in a sentence; "" for any other."""
    if not _can_be_made_again(run) or not chose_from_all(run):
        return ""
    return (
        "Once others can see it, the site makes the run again on data that it has changed: its sweep chose values from "
        "all of the data, and where it then chooses otherwise, this line has a doubt."
    )


def progress(run: Run) -> str:
    """Where its repeats are, after "its repeats"; "" where none are sent."""
    if (told := under_way(run)) is not None:
        return f"are under way: {told['done']} of {told['of']} done" if told["of"] else "are under way"
    if run.examination_asked is None:
        return ""
    if _waiting().filter(pk=run.pk).exists():
        return "wait for a worker"
    try:
        if held_up.waits(run.pk):
            return "wait for the end of another run, for which the files that it reads are watched"
    except RedisError:
        return ""
    return "begin"


def under_way(run: Run) -> dict[str, Any] | None:
    """How far its repeats are, as it stands under EXAMINING; None where none are made now."""
    kept = run.backtests.filter(checks__has_key=EXAMINING).order_by("position").values_list(f"checks__{EXAMINING}")
    return next((told for (told,) in kept[:1] if is_recent(told)), None)


def is_recent(told: Any) -> bool:
    """Whether somebody examines it now. told: what stands under EXAMINING."""
    since = parse_datetime(told["since"]) if isinstance(told, dict) else None
    return since is not None and timezone.now() - since < PATIENCE


def _can_be_made_again(run: Run) -> bool:
    return not why_never(run) and unexamined(run.backtests).exists()


def unexamined(backtests: Any) -> Any:
    return backtests.filter(verified=True).exclude(checks__has_key="companion")


def send(run: Run) -> None:
    """Have it made again when it is its turn; called when a run has ended and when somebody opens it."""
    if run.examination_asked is None and wanted(run):
        _ask(Run.objects.filter(pk=run.pk, examination_asked=None))
        run.refresh_from_db(fields=["examination_asked"])


def send_all(project: Project) -> None:
    """The same for what others see once a project is published, which is more than its last run."""
    if project.visibility == Project.Visibility.PRIVATE:
        return
    waiting = unexamined(Backtest.objects.filter(run__revision__project=project)).values("run")
    shown = Run.objects.filter(pk__in=waiting, status=Run.Status.SUCCEEDED, session=None)
    for run in shown.select_related("revision__project").order_by("-queued")[:MOST_AT_PUBLISHING]:
        send(run)


def send_waiting() -> None:
    """Those that had to wait for the end of another run; called at the end of each."""
    for run_id in held_up.take():
        _ask(Run.objects.filter(pk=run_id, examination_asked__isnull=False))


def _ask(runs: QuerySet[Run]) -> None:
    if runs.update(examination_asked=Now()):
        _wake_a_worker()


def _wake_a_worker() -> None:
    """One job for one that waits. One job too many does nothing, and one that cannot be sent is sent later."""
    try:
        name = f"{JOB}{uuid4().hex}"
        django_rq.get_queue(QUEUE).enqueue("runner.jobs.examine_next_run", job_id=name, result_ttl=0, failure_ttl=3600)
    except RedisError as error:
        logger.warning("a job was not sent yet (%s)", type(error).__name__)


def send_missing() -> int:
    """Jobs for those that wait and whose jobs were lost, or whose worker died; how many they are."""
    late = _waiting().filter(examination_asked__lt=Now() - JOB_PATIENCE).count()
    if not late:
        return 0
    sent = sum(name.startswith(JOB) for name in django_rq.get_queue(QUEUE).job_ids)
    missing = max(0, late - sent)
    for _ in range(missing):
        _wake_a_worker()
    return missing


def _waiting() -> QuerySet[Run]:
    """By the database's clock, as all that is compared here."""
    open_ones = Run.objects.filter(examination_asked__isnull=False)
    began = F("examination_began")
    return open_ones.filter(
        Q(examination_began=None) | Q(examination_asked__gt=began) | Q(examination_began__lt=Now() - PATIENCE)
    )


def claim() -> Run | None:
    """The one that is next, from now on in our hands; None when nothing waits. No two workers get the same."""
    lately = Run.objects.filter(owner_key=OuterRef("owner_key"), examination_began__gt=Now() - LATELY)
    had = Subquery(lately.order_by().values("owner_key").annotate(had=Count("pk")).values("had"))
    in_order = _waiting().annotate(had=Coalesce(had, 0)).order_by("had", "examination_asked", "pk")
    while (run := in_order.select_related("revision__project", "lock").first()) is not None:
        if _waiting().filter(pk=run.pk).update(examination_began=Now()):
            return run
    return None


def settle(run: Run) -> None:
    """After it was examined: it waits no longer, unless it was put off or another worker is at it."""
    if not wanted(run):
        Run.objects.filter(pk=run.pk).update(examination_asked=None)
