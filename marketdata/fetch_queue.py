"""How does a fetch get to a worker, and what becomes of one whose worker is lost? The row is what counts: a job that
is missing is sent again, and one too many finds nothing to claim.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

import django_rq
import redis
from django.utils import timezone

from marketdata.models import Fetch

logger = logging.getLogger(__name__)

QUEUE = "fetch"
JOB_SECONDS = 300
KEPT = timedelta(days=90)
QUEUE_PATIENCE = timedelta(seconds=20)
# Longer than anything a fetch does without saying that it lives.
SILENCE_SECONDS = 60
UNFINISHED = (Fetch.Status.QUEUED, Fetch.Status.RUNNING)
LOST = "The site lost the worker that fetched this; nothing was stored. Fetch it again."


def send(fetch_id: UUID, *, at_front: bool = False) -> None:
    """When Redis is away the row stays queued, and the sweep sends the job."""
    try:
        django_rq.get_queue(QUEUE).enqueue(
            "marketdata.jobs.fetch",
            str(fetch_id),
            job_timeout=JOB_SECONDS,
            result_ttl=0,
            failure_ttl=24 * 3600,
            at_front=at_front,
        )
    except redis.RedisError as error:
        logger.warning("a fetch was not sent yet (%s)", type(error).__name__)


def show_life(fetch: Fetch) -> None:
    django_rq.get_connection(QUEUE).set(_life(fetch), "1", ex=SILENCE_SECONDS)


def forget_life(fetch: Fetch) -> None:
    django_rq.get_connection(QUEUE).delete(_life(fetch))


def sweep() -> tuple[int, int]:
    """(fetches given up because their worker was lost, jobs sent again). Safe at any time, by several at once."""
    now, lost = timezone.now(), 0
    connection = django_rq.get_connection(QUEUE)
    silent = now - timedelta(seconds=SILENCE_SECONDS)
    for fetch in Fetch.objects.filter(status=Fetch.Status.RUNNING, started__lt=silent):
        if connection.exists(_life(fetch)):
            continue
        lost += Fetch.objects.filter(pk=fetch.pk, status=Fetch.Status.RUNNING).update(
            status=Fetch.Status.FAILED, error="SiteFault", message=LOST, progress="", finished=now
        )
    late = list(
        Fetch.objects.filter(status=Fetch.Status.QUEUED, created__lt=now - QUEUE_PATIENCE)
        .order_by("created")
        .values_list("pk", flat=True)
    )
    Fetch.objects.filter(finished__lt=now - KEPT).delete()
    # As many jobs as there are rows would do.
    missing = late if not django_rq.get_queue(QUEUE).count else []
    for pk in missing:
        send(pk)
    return lost, len(missing)


def _life(fetch: Fetch) -> str:
    return f"fetch:life:{fetch.pk}"
