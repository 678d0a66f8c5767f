"""How does a request come by a connection to PostgreSQL? By one that another request has done with.

Django's connections belong to threads, and under ASGI every request has a thread of its own: each would connect anew,
which costs more than its queries. Here a connection that is closed in good order is kept and serves the next thread.
Nothing waits and nothing runs in the background: when none is left, or those that are left were cut, one is made.
"""

from __future__ import annotations

import os
import time
from collections import deque
from contextlib import suppress
from typing import Any

from django.db.backends.postgresql import base
from psycopg import Connection, Error
from psycopg.pq import TransactionStatus

MOST_KEPT = 4  # in each process; more are open while more are used
KEPT_SECONDS = 60.0
# By process: a forked one must not speak on its parent's connections. Each with the moment since when nobody uses it.
_kept: dict[int, deque[tuple[Connection, float]]] = {}


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        kept = _kept.get(os.getpid())
        while kept:
            try:
                connection, _ = kept.pop()
            except IndexError:  # another thread was quicker
                break
            if connection.info.dbname == conn_params["dbname"] and _answers(connection):
                self.isolation_level = connection.isolation_level or base.IsolationLevel.READ_COMMITTED
                return connection
            connection.close()
        return super().get_new_connection(conn_params)

    def _close(self) -> None:
        connection = self.connection
        kept = _kept.setdefault(os.getpid(), deque())
        if self.errors_occurred or connection is None or not _is_clean(connection) or len(kept) >= MOST_KEPT:
            super()._close()
        else:
            kept.append((connection, time.monotonic()))
        # The one used last is taken first, so the others grow old.
        with suppress(IndexError):  # another thread may take the last one meanwhile
            while time.monotonic() - kept[0][1] > KEPT_SECONDS:
                kept.popleft()[0].close()


def _is_clean(connection: Connection) -> bool:
    return not connection.closed and connection.info.transaction_status == TransactionStatus.IDLE


def _answers(connection: Connection) -> bool:
    try:
        connection.set_autocommit(True)
        connection.execute("SELECT 1")
    except Error:
        return False
    return True
