"""Find what was left over: runs whose worker died, runs the queue has forgotten, guests' projects whose time is up."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.utils import timezone

from runner.ending import FINISHED_KEYS, end_without_box, publish_finished
from runner.events import Publisher
from runner.models import Project, Run
from runner.outcomes import sentence
from runner.recording import Recording
from runner.starting import queue, wake_a_worker

logger = logging.getLogger(__name__)

QUEUE_PATIENCE = timedelta(seconds=15)
BELL_WINDOW = timedelta(hours=1)


def sweep_runs() -> tuple[int, int]:
    """(runs marked crashed, jobs sent again). Safe to call at any time, by several at once."""
    lost = 0
    for run in Run.objects.abandoned():
        if end_without_box(run, Run.Status.CRASHED, sentence(Run.Status.CRASHED, {})):
            logger.error("run %s: its worker was lost", run.pk)
            lost += 1
    sent = _send_missing_jobs()
    _ring_missing_bells()
    return lost, sent


def _send_missing_jobs() -> int:
    """A queue that was flushed, or could not be reached, holds fewer jobs than runs wait."""
    waiting = Run.objects.filter(status=Run.Status.QUEUED, queued__lt=timezone.now() - QUEUE_PATIENCE).count()
    missing = max(0, waiting - queue().count) if waiting else 0
    for _ in range(missing):
        wake_a_worker()
    if missing:
        logger.warning("the queue had forgotten %d of %d waiting runs", missing, waiting)
    return missing


def _ring_missing_bells() -> None:
    """A worker that died between storing the end and announcing it left its followers waiting."""
    now = timezone.now()
    for run in Run.objects.filter(finished__gt=now - BELL_WINDOW, finished__lt=now - QUEUE_PATIENCE):
        if Recording(run.pk).path.exists():  # a recording is compressed with its last event
            publish_finished(Publisher(run.pk), {key: getattr(run, key) for key in FINISHED_KEYS})


def expire_guest_projects() -> int:
    """Delete guests' projects after their seven days."""
    expired = Project.objects.filter(owner__isnull=True, expires__lt=timezone.now())
    return expired.delete()[1].get("runner.Project", 0)
