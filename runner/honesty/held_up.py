"""Which runs does the site make again once others have ended? Kept in Redis, by when they began to wait."""

from __future__ import annotations

import time
from datetime import timedelta
from uuid import UUID

from runner.events import redis_connection
from runner.models import Run
from runner.private import brought_series, personal_series

__all__ = ["MOST", "take", "wait", "waits", "would_count_for_others"]

KEY = "companions-waiting"
MOST = 20  # whoever opens one of more sends it again
PATIENCE = timedelta(hours=1)


def wait(run_id: UUID) -> None:
    """Until another run has ended; the latest of too many stay."""
    with redis_connection() as connection, connection.pipeline() as pipe:
        pipe.zadd(KEY, {str(run_id): time.time()})
        pipe.zremrangebyscore(KEY, 0, _too_old())
        pipe.zremrangebyrank(KEY, 0, -MOST - 1)
        pipe.expire(KEY, PATIENCE)
        pipe.execute()


def waits(run_id: UUID) -> bool:
    with redis_connection() as connection:
        began = connection.zscore(KEY, str(run_id))
    return began is not None and began > _too_old()


def _too_old() -> float:
    return time.time() - PATIENCE.total_seconds()


def take() -> list[str]:
    """All of them, which nobody else gets."""
    with redis_connection() as connection:
        return [name.decode() for name, _ in connection.zpopmin(KEY, MOST)]


def would_count_for_others(run: Run) -> bool:
    """Whether the files that it has read are watched for a run that goes on now: reading them here would count as read
    there.
    """
    told = run.manifest.get("data", {})
    read = {*(told.get("private") or ()), *(told.get("brought") or ())}
    if not read:
        return False
    others = Run.objects.in_progress().exclude(pk=run.pk).exclude(snapshot="").order_by()
    snapshots = others.values_list("snapshot", flat=True).distinct()
    return any(read & {*personal_series(each), *brought_series(each)} for each in snapshots)
