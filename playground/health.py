"""Is the site alive, can it do its work, and how much of it? /healthz asks the process only, /readyz everything that
it depends on, /metrics gives figures of all engines of this machine, of all queues and of the space that data take to a
monitoring system.
"""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Callable

import django_rq
from django.conf import settings
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from rq import Queue, Worker

from accounts.models import Plan
from marketdata import archiving
from runner.engines import USUAL, engine_of, sockets
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
    """200 when pages and ordinary runs both work, 503 otherwise; says for each part whether it works, without details.

    `queues` are those beside the usual one, for large runs and for GPUs. The site is not taken away for theirs.
    """
    parts = {name: _works(name, check) for name, check in CHECKS.items()}
    queues = {queue: _works_for(queue) for queue in _further_queues()} if parts["database"] and parts["redis"] else {}
    everything = all(parts.values())
    return JsonResponse({"ready": everything, "parts": parts, "queues": queues}, status=200 if everything else 503)


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Figures of engines and queues for Prometheus; only with METRICS_TOKEN, as a bearer token."""
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not settings.METRICS_TOKEN or not secrets.compare_digest(given.encode(), settings.METRICS_TOKEN.encode()):
        raise Http404
    engines = together({queue: _figures(engine_of(queue)) for queue in sockets()})
    text = engines + _figures_of_queues() + _figures_of_data()
    return HttpResponse(text, content_type="text/plain; version=0.0.4; charset=utf-8")


def together(figures: dict[str, str]) -> str:
    """The texts of several engines as one: each figure is described once, and its samples say whose they are."""
    described: dict[str, dict[str, None]] = {}  # its lines in order, each once
    samples: dict[str, list[str]] = {}
    for engine, text in figures.items():
        name = ""
        for line in text.splitlines():
            if line.startswith("# HELP "):
                name = line.split()[2]
            if line.startswith("#"):
                described.setdefault(name, {})[line] = None
                continue
            what, _, value = line.rpartition(" ")
            full, _, labels = what.rstrip("}").partition("{")
            labels = ",".join(part for part in (f'engine="{engine}"', labels) if part)
            samples.setdefault(name, []).append(f"{full}{{{labels}}} {value}")
    return "".join(f"{line}\n" for name in described for line in (*described[name], *samples.get(name, ())))


def _figures(engine: EngineClient) -> str:
    try:
        return engine.metrics()
    except EngineUnavailable:
        return (
            "# HELP playground_engine_ready Ready.\n# TYPE playground_engine_ready gauge\nplayground_engine_ready 0\n"
        )


def _figures_of_queues() -> str:
    """Of those that this site knows and of those that any worker serves, such as other machines' for their sessions."""
    workers = Counter(name for worker in Worker.all(django_rq.get_connection(USUAL)) for name in worker.queue_names())
    common = django_rq.get_queue(USUAL)
    jobs = {name: Queue(name, connection=common.connection).count for name in sorted({*settings.RQ_QUEUES, *workers})}
    text = "# HELP playground_queue_jobs Jobs that wait.\n# TYPE playground_queue_jobs gauge\n"
    text += "".join(f'playground_queue_jobs{{queue="{name}"}} {count}\n' for name, count in jobs.items())
    text += "# HELP playground_queue_workers Workers that serve it.\n# TYPE playground_queue_workers gauge\n"
    return text + "".join(f'playground_queue_workers{{queue="{name}"}} {workers[name]}\n' for name in jobs)


def _figures_of_data() -> str:
    space = archiving.space()
    text = "# HELP playground_data_bytes Market data and uploaded files on this machine.\n"
    text += "# TYPE playground_data_bytes gauge\n"
    sizes = {"objects": space.objects, "archive": space.archive, "originals": space.originals}
    return text + "".join(f'playground_data_bytes{{kind="{kind}"}} {size}\n' for kind, size in sizes.items())


def _further_queues() -> list[str]:
    """Of engines that this machine has, and of plans whose runs go elsewhere."""
    return sorted({*sockets(), *Plan.objects.values_list("queue", flat=True)} - {USUAL})


def _works_for(queue: str) -> dict[str, bool]:
    parts = {"worker": _works(f"worker of {queue}", lambda: a_worker_listens(queue))}
    if queue in sockets():
        parts["engine"] = _works(f"engine of {queue}", lambda: engine_is_ready(queue))
    return parts


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
    return bool(django_rq.get_connection(USUAL).ping())


def engine_is_ready(queue: str = USUAL) -> bool:
    try:
        return bool(engine_of(queue).status()["ready"])
    except EngineUnavailable:
        return False


CHECKS: dict[str, Callable[[], bool]] = {
    "database": database_answers,
    "redis": redis_answers,
    "engine": engine_is_ready,
    "worker": a_worker_listens,
}
