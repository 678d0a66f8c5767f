"""Find what was left over: runs whose worker died, runs the queue has forgotten, guests' projects whose time is up."""

from __future__ import annotations

import logging
from datetime import timedelta

import django_rq
from django.utils import timezone
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus

from runner.ending import FINISHED_KEYS, end_without_box, publish_finished
from runner.events import Publisher
from runner.models import Project, Run
from runner.outcomes import sentence
from runner.recording import Recording
from runner.starting import QUEUE, enqueue, job_id

logger = logging.getLogger(__name__)

QUEUE_PATIENCE = timedelta(seconds=15)
BELL_WINDOW = timedelta(hours=1)


def sweep_runs() -> tuple[int, int]:
    """(runs marked crashed, runs queued again). Safe to call at any time, by several at once."""
    lost = 0
    for run in Run.objects.abandoned():
        if end_without_box(run, Run.Status.CRASHED, sentence(Run.Status.CRASHED, {})):
            logger.error("run %s: its worker was lost", run.pk)
            lost += 1
    requeued = 0
    connection = django_rq.get_connection(QUEUE)
    for run in Run.objects.filter(status=Run.Status.QUEUED, queued__lt=timezone.now() - QUEUE_PATIENCE):
        if not _is_queued(run, connection) and Run.objects.filter(pk=run.pk, status=Run.Status.QUEUED).exists():
            logger.warning("run %s: the queue had forgotten it", run.pk)
            enqueue(run)
            requeued += 1
    _ring_missing_bells()
    return lost, requeued


def _ring_missing_bells() -> None:
    """A worker that died between storing the end and announcing it left its followers waiting."""
    now = timezone.now()
    for run in Run.objects.filter(finished__gt=now - BELL_WINDOW, finished__lt=now - QUEUE_PATIENCE):
        if Recording(run.pk).path.exists():  # a recording is compressed with its last event
            publish_finished(Publisher(run.pk), {key: getattr(run, key) for key in FINISHED_KEYS})


def _is_queued(run: Run, connection) -> bool:
    try:
        status = Job.fetch(
            job_id(run), connection=connection, serializer=django_rq.get_queue(QUEUE).serializer
        ).get_status()
    except NoSuchJobError:
        return False
    return status in (JobStatus.QUEUED, JobStatus.STARTED, JobStatus.DEFERRED, JobStatus.SCHEDULED)


def expire_guest_projects() -> int:
    """Delete guests' projects after their seven days."""
    expired = Project.objects.filter(owner__isnull=True, expires__lt=timezone.now())
    return expired.delete()[1].get("runner.Project", 0)
