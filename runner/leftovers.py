"""Find what was left over: runs whose worker died, runs the queue has forgotten, guests' projects whose time is up."""

from __future__ import annotations

import logging
from datetime import timedelta
from itertools import chain

from django.db.models import Count
from django.utils import timezone
from rq.timeouts import JobTimeoutException

from runner import gpu
from runner.cells import JOB, advance, is_sent, next_cell
from runner.ending import FINISHED_KEYS, end_without_box, publish_finished
from runner.events import Publisher
from runner.honesty import sending
from runner.likeness import compared
from runner.models import Backtest, Project, Run, Session
from runner.outcomes import sentence
from runner.past_trials import delete_one_by_one
from runner.recording import Recording
from runner.reports import making
from runner.sessions import sweep_sessions
from runner.starting import queue, wake_a_worker

logger = logging.getLogger(__name__)

QUEUE_PATIENCE = timedelta(seconds=15)
CELL_LOST = (
    "The system lost this cell; it was not your code, and it does not count. The session goes on: what the cell had "
    "changed by then is changed. Run it again."
)
BELL_WINDOW = timedelta(hours=1)


def end_lost_runs() -> tuple[int, int]:
    """(runs marked crashed, jobs sent again). Safe to call at any time, by several at once."""
    lost = 0
    for run in Run.objects.abandoned():
        message = sentence(Run.Status.CRASHED, {}) if run.session_id is None else CELL_LOST
        used = gpu.seconds_of_lost(run)
        try:
            compared.compare_later(Run.objects.filter(pk=run.pk))  # what it has traded until then
        except JobTimeoutException:
            raise
        except Exception:
            logger.exception("run %s: its trades are not compared", run.pk)
        if end_without_box(run, Run.Status.CRASHED, message + gpu.note(used), used):
            logger.error("run %s: its worker was lost", run.pk)
            lost += 1
    sweep_sessions()
    sent = _send_missing_jobs() + _send_missing_cells()
    _ring_missing_bells()
    if late := sending.send_missing():
        logger.warning("the queue had forgotten %d runs that are to be examined", late)
    if compared.send_missing():
        logger.warning("the queue had forgotten that trades are to be compared")
    if late := making.send_missing():
        logger.warning("%d reports were sent again", late)
    return lost, sent


def _send_missing_jobs() -> int:
    """A queue that was flushed, or could not be reached, holds fewer jobs than runs wait."""
    late = Run.objects.whole().filter(status=Run.Status.QUEUED, queued__lt=timezone.now() - QUEUE_PATIENCE)
    sent = 0
    for name, waiting in late.order_by().values_list("queue").annotate(waiting=Count("pk")):
        missing = max(0, waiting - queue(name).count - _at_hand(name))
        for _ in range(missing):
            wake_a_worker(name)
        if missing:
            logger.warning("the queue %s had forgotten %d of %d waiting runs", name, missing, waiting)
        sent += missing
    return sent


def _at_hand(name: str) -> int:
    """Jobs that a worker has taken and not yet made a claim for: on a site that has just started that takes a while.
    First cells of sessions, whose jobs come by the same queue, are none of them.
    """
    running = Run.objects.filter(queue=name, status=Run.Status.RUNNING, session__isnull=True).count()
    started = queue(name).started_job_registry.get_job_ids()
    return max(0, sum(not job.startswith(JOB) for job in started) - running)


def _send_missing_cells() -> int:
    """The same for the cells of sessions, each of which has a job of its own."""
    sent = 0
    for session in Session.objects.filter(cells__status=Run.Status.QUEUED).distinct():
        head = next_cell(session)
        if head is not None and head.queued < timezone.now() - QUEUE_PATIENCE and not is_sent(head):
            advance(session)
            sent += 1
    return sent


def _ring_missing_bells() -> None:
    """A worker that died between storing the end and announcing it left its followers waiting."""
    now = timezone.now()
    for run in Run.objects.filter(finished__gt=now - BELL_WINDOW, finished__lt=now - QUEUE_PATIENCE):
        if Recording(run.pk).path.exists():  # a recording is compressed with its last event
            publish_finished(Publisher(run.pk), {key: getattr(run, key) for key in FINISHED_KEYS})


def expire_guest_projects() -> int:
    """Delete guests' projects after their seven days."""
    expired = Project.objects.filter(owner__isnull=True, expires__lt=timezone.now())
    return delete_one_by_one(expired)


def pinned_snapshots() -> set[str]:
    """The snapshots of market data that runs, sessions and backtests read; these are never collected."""
    kinds = (Run, Session, Backtest)
    return set(chain.from_iterable(kind.objects.values_list("snapshot", flat=True).distinct() for kind in kinds))
