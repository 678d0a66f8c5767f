"""Is the site alive, can it do its work, and how much of it? /healthz asks the process only, /readyz everything that
it depends on, /metrics gives figures to a monitoring system.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable

import django_rq
from django.conf import settings
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from runner.sandbox_state import a_worker_listens
from sandbox.client import EngineClient, EngineUnavailable

logger = logging.getLogger(__name__)


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


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """The engine's figures and the queues' lengths for Prometheus; only with METRICS_TOKEN, as a bearer token."""
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not settings.METRICS_TOKEN or not secrets.compare_digest(given.encode(), settings.METRICS_TOKEN.encode()):
        raise Http404
    try:
        text = EngineClient(settings.ENGINE_SOCKET).metrics()
    except EngineUnavailable:
        text = (
            "# HELP playground_engine_ready Ready.\n# TYPE playground_engine_ready gauge\nplayground_engine_ready 0\n"
        )
    text += "# HELP playground_queue_jobs Jobs that wait.\n# TYPE playground_queue_jobs gauge\n"
    for name in settings.RQ_QUEUES:
        text += f'playground_queue_jobs{{queue="{name}"}} {django_rq.get_queue(name).count}\n'
    return HttpResponse(text, content_type="text/plain; version=0.0.4; charset=utf-8")


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


CHECKS: dict[str, Callable[[], bool]] = {
    "database": database_answers,
    "redis": redis_answers,
    "engine": engine_is_ready,
    "worker": a_worker_listens,
}
