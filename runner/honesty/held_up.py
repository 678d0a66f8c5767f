"""Which runs does the site make again once others have ended? Kept in Redis, by when they began to wait."""

from __future__ import annotations

import time
from datetime import timedelta
from uuid import UUID

from runner.events import redis_connection

__all__ = ["MOST", "take", "wait", "waits"]

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
