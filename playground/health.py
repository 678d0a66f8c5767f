"""Is the process alive (healthz), and can it do its work (readyz)?"""

from __future__ import annotations

from collections.abc import Callable

import django_rq
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from rq import Worker

from runner.events import redis_connection
from sandbox.client import EngineClient

HEARTBEAT_SECONDS = 120


@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")


@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    """503 with the parts that fail. Says no more than a name and a short reason: anybody may ask."""
    checks = {name: _ask(question) for name, question in CHECKS.items()}
    ready = all(answer == "ok" for answer in checks.values())
    return JsonResponse({"ready": ready, "checks": checks}, status=200 if ready else 503)


def _ask(question: Callable[[], str]) -> str:
    try:
        return question()
    except Exception as error:  # whatever it is, it is this check's answer
        return f"failed: {type(error).__name__}"


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return "ok"


def _redis() -> str:
    with redis_connection() as redis:
        redis.ping()
    return "ok"


def _engine() -> str:
    status = EngineClient(settings.ENGINE_SOCKET).status()
    return "ok" if status["ready"] else "not ready: this machine cannot sandbox"


def _workers() -> str:
    queue = django_rq.get_queue("runs")
    now = timezone.now().replace(tzinfo=None)
    for worker in Worker.all(queue=queue):
        seen = worker.last_heartbeat
        if seen and abs((now - seen.replace(tzinfo=None)).total_seconds()) < HEARTBEAT_SECONDS * 5:
            return "ok"
    return "no worker has reported lately"


CHECKS = {"database": _database, "redis": _redis, "engine": _engine, "workers": _workers}
