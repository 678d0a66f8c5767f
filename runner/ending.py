"""How a run ends: the last event, runs that end without a box, and what goes when a run is deleted."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import redis
from django.utils import timezone

from runner.events import Publisher, lines_key, redis_connection, stream_key
from runner.models import Run
from runner.outcomes import sentence
from runner.recording import Recording

FINISHED_KEYS = ("status", "message", "limit", "cpu_seconds", "gpu_seconds", "wall_seconds", "peak_memory_bytes")


def publish_finished(publisher: Publisher, values: dict[str, Any], t: float | None = None) -> None:
    """The last event of a run; after it the recording is closed."""
    event = {key: values.get(key) for key in FINISHED_KEYS}
    publisher.publish({"type": "finished", **event, "t": t if t is not None else values.get("wall_seconds") or 0.0})
    publisher.recording.compress()
    publisher.recording.forget_parallel_work()
    publisher.close()


def end_without_box(run: Run, status: Any, message: str, gpu_seconds: float | None = None) -> bool:
    """End a run no worker holds: cancelled while it waited, or abandoned by a worker that died."""
    values: dict[str, Any] = {
        "status": status,
        "message": message,
        "finished": timezone.now(),
        "lease_expires": None,
        "gpu_seconds": gpu_seconds,
    }
    if run.started:
        values["wall_seconds"] = (timezone.now() - run.started).total_seconds()
    same_state = Run.objects.filter(pk=run.pk, status=run.status, lease_expires=run.lease_expires)
    if not same_state.update(**values):
        return False
    publish_finished(Publisher(run.pk), values)
    return True


def request_cancel(run: Run) -> None:
    """End a waiting run now; ask the worker of a running one to stop it."""
    if run.status == Run.Status.QUEUED and end_without_box(
        run, Run.Status.CANCELLED, sentence(Run.Status.CANCELLED, {"wall_seconds": 0.0})
    ):
        return
    Run.objects.filter(pk=run.pk, status=Run.Status.RUNNING, cancel_requested__isnull=True).update(
        cancel_requested=timezone.now()
    )


def forget_stored_output(run_id: UUID | str) -> None:
    """Remove what a deleted run left on disk and on the wire."""
    Recording(run_id).delete()
    try:
        with redis_connection() as connection:
            connection.delete(stream_key(run_id), lines_key(run_id))
    except redis.RedisError:
        pass  # both keys expire by themselves
