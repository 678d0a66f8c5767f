"""How is something done with a database that may be away for a moment?"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import OperationalError, connection

logger = logging.getLogger(__name__)


def when_database_answers(run_id: UUID, action: Callable[[], Any]) -> Any:
    """Do something with the database, waiting up to a minute for one that is away. Raises its last OperationalError."""
    for attempt in range(60):
        try:
            return action()
        except OperationalError:
            logger.warning("run %s: the database does not answer (attempt %d)", run_id, attempt + 1)
            connection.close()
            time.sleep(1)
    return action()
