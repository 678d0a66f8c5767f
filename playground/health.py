"""Is the site alive, and can it do its work? /healthz asks the process only, /readyz everything it depends on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

import django_rq
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from rq import Worker

from sandbox.client import EngineClient, EngineUnavailable

logger = logging.getLogger(__name__)
# A worker renews its mark while it waits and while it runs a job; RQ forgets it after about 7 minutes.
HEARTBEAT_SECONDS = 480


@require_safe
@never_cache
def live(request: HttpRequest) -> JsonResponse:
    """The process answers. Nothing else is asked, so a slow database does not get the web process restarted."""
    return JsonResponse({"alive": True})


@require_safe
@never_cache
def ready(request: HttpRequest) -> JsonResponse:
    """200 when pages and runs both work, 503 otherwise; says for each part whether it works, without details."""
    parts = {name: _works(name, check) for name, check in CHECKS.items()}
    everything = all(parts.values())
    return JsonResponse({"ready": everything, "parts": parts}, status=200 if everything else 503)


def _works(name: str, check: Callable[[], bool]) -> bool:
    try:
        return check()
    except Exception as problem:  # whatever is wrong with a part, the answer is that it does not work
        logger.warning("readyz: %s: %s", name, problem)
        return False


def database_answers() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("select 1")
        return cursor.fetchone() == (1,)


def redis_answers() -> bool:
    return bool(django_rq.get_connection("runs").ping())


def engine_is_ready() -> bool:
    try:
        return bool(EngineClient(settings.ENGINE_SOCKET).status()["ready"])
    except EngineUnavailable:
        return False


def a_worker_listens() -> bool:
    """Some worker of the runs queue was heard of lately."""
    now = datetime.now(UTC)
    for worker in Worker.all(queue=django_rq.get_queue("runs")):
        heard = worker.last_heartbeat
        if heard is not None and (now - heard.replace(tzinfo=heard.tzinfo or UTC)).total_seconds() < HEARTBEAT_SECONDS:
            return True
    return False


CHECKS: dict[str, Callable[[], bool]] = {
    "database": database_answers,
    "redis": redis_answers,
    "engine": engine_is_ready,
    "worker": a_worker_listens,
}
