"""What do the workers of the queue "fetch" call, and the clock? Jobs carry ids alone."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.conf import settings

from marketdata import archiving, fetch_queue, fetching, issues, key_test, refresh, store

logger = logging.getLogger(__name__)


def fetch(fetch_id: str) -> None:
    fetching.perform(fetch_id)


def check_key(credential_id: int) -> None:
    key_test.perform(credential_id)


def sweep_fetches() -> None:
    fetch_queue.sweep()


def refresh_data() -> None:
    refresh.work()


def look_after_data() -> None:
    issues.check_snapshot()
    refresh.forget_old_rounds()


def archive_data() -> None:
    try:
        logger.info("archive: %s", archiving.archive_data(timedelta(days=settings.ARCHIVE_DAYS)))
    except store.StoreBusy as busy:
        logger.warning("archive: %s", busy)
