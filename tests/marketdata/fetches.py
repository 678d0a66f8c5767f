"""How does a test have a series fetched before it begins?"""

from __future__ import annotations

import time
from typing import Any

from marketdata import fetch_queue, fetching, wanting
from marketdata.models import Fetch

PATIENCE_SECONDS = 60.0


def fetch_now(user: Any, provider: str, symbol: str) -> Fetch:
    """Done here, or by the worker of the queue if that was quicker."""
    fetch = wanting.want(user, provider, symbol)
    fetching.perform(str(fetch.pk))
    deadline = time.monotonic() + PATIENCE_SECONDS
    fetch.refresh_from_db()
    while fetch.status in fetch_queue.UNFINISHED and time.monotonic() < deadline:
        time.sleep(0.05)
        fetch.refresh_from_db()
    assert fetch.status == Fetch.Status.SUCCEEDED, fetch.message
    return fetch
