"""Which waiting run is next? The one whose owner has had least, so that nobody waits behind another one's backlog.

Jobs in the queue of Redis only say that there is a run to do; which one is decided here, in the database, when a worker
has a hand free, and by its clock. Waiting runs stand in this order: those of owners with the fewest runs running now,
then with the fewest started lately, then from network addresses with the fewest, then the oldest. A run that waits
behind others of the same owner counts these as if they ran already, so the order of the first is also the place of all
others. Cells of sessions are not among them: they wait for each other, and then for the machine that has their session.
"""

from __future__ import annotations

import time
from datetime import timedelta
from uuid import UUID

from django.db import connection

from runner.models import Run

# Long enough to remember who had the workers, short enough to count in a moment.
LATELY = timedelta(minutes=2)
# While a program runs, its worker renews the lease twice a second.
LEASE = timedelta(seconds=20)
# The engine may let a run wait for a free box; nobody renews the lease meanwhile.
LEASE_WHILE_WAITING = timedelta(seconds=40)

# A guest has a key in the browser; the address behind it tells one person's many browsers from many people.
_ORDER = """
recent AS (
    SELECT owner_key, CASE WHEN user_id IS NULL AND address_hash <> '' THEN address_hash ELSE owner_key END AS source,
           status = 'running' AS running, coalesce(started > statement_timestamp() - %(lately)s, false) AS lately
    FROM runner_run WHERE status = 'running' OR started > statement_timestamp() - %(lately)s
),
owners AS (
    SELECT owner_key, count(*) FILTER (WHERE running) AS running, count(*) FILTER (WHERE lately) AS lately
    FROM recent GROUP BY owner_key
),
sources AS (SELECT source, count(*) AS had FROM recent GROUP BY source),
waiting AS (
    SELECT id, queued, owner_key, source, queue,
           row_number() OVER (PARTITION BY queue, owner_key ORDER BY queued, id) AS own,
           row_number() OVER (PARTITION BY queue, source ORDER BY queued, id) AS near
    FROM (SELECT *, CASE WHEN user_id IS NULL AND address_hash <> '' THEN address_hash ELSE owner_key END AS source
          FROM runner_run) run
    WHERE status = 'queued' AND session_id IS NULL
),
in_order AS (
    SELECT id, queue, row_number() OVER (
        PARTITION BY queue ORDER BY coalesce(running, 0) + own, coalesce(had, 0) + near, coalesce(lately, 0) + own,
                                    queued, id
    ) AS place
    FROM waiting LEFT JOIN owners USING (owner_key) LEFT JOIN sources USING (source)
)
"""
_CLAIM = f"""
WITH {_ORDER},
next AS (SELECT id FROM in_order WHERE place = 1 AND queue = %(queue)s),
claimed AS (
    UPDATE runner_run SET status = 'running', started = statement_timestamp(),
        lease_expires = statement_timestamp() + %(lease)s
    FROM next WHERE runner_run.id = next.id AND status = 'queued' RETURNING runner_run.id
)
SELECT next.id, claimed.id FROM next LEFT JOIN claimed USING (id)
"""  # noqa: S608
_PLACES = f"WITH {_ORDER} SELECT id, place FROM in_order"  # noqa: S608
PLACES_FRESH_SECONDS = 1.0
_places: tuple[float, dict[UUID, int]] = (0.0, {})


def claim(queue: str = "runs") -> Run | None:
    """The queue's next run, from now on running in our hands; None when nothing waits. No two workers get the same."""
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_CLAIM, {"queue": queue, "lease": LEASE_WHILE_WAITING, "lately": LATELY})
            found = cursor.fetchone()
        if found is None:
            return None
        if found[1] is not None:
            run = Run.objects.select_related("revision__project", "lock").filter(pk=found[1]).first()
            if run is not None:
                return run
        # Another worker was quicker, or it was cancelled or deleted: look again, at what is true now. All workers
        # that look at the same time see the same run first, so an owner cannot be given two for one.


def places_in_queue() -> dict[UUID, int]:
    """1 for the next to start, for every run that waits."""
    with connection.cursor() as cursor:
        cursor.execute(_PLACES, {"lately": LATELY})
        return dict(cursor.fetchall())


def place_in_queue(run_id: UUID) -> int:
    """0 when the run is not waiting. Many pages ask all the time, so one count serves all of a process for a second."""
    global _places
    counted, places = _places
    if run_id not in places or time.monotonic() - counted > PLACES_FRESH_SECONDS:
        now, places = time.monotonic(), places_in_queue()
        _places = now, places
    return places.get(run_id, 0)
