"""Measure the site as its users meet it: `make bench`; `make bench-<area>` for the other areas.

Runs go through the real queue, worker, engine and box: those of the site that runs on this DATA_DIR, or of one started
for the measurement. Nothing here is a test: a missed target is reported, not hidden, and does not fail anything.
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django

from tests.benchmarks.report import Report

AREA = "main"
# Each is a module of this package with a function measure(), which sets up what it needs.
AREAS = ("backtest", "data", "engine", "fairness", "parallel", "portfolio", "reports", "site", "soak")
RUNS = 50
PAGE_REQUESTS = 50
TARGETS = {
    "print first output p95": 2.0,
    "sample first output p95": 8.0,
    "page / p95": 100.0,
    "page dashboard p95": 150.0,
    "page workspace p95": 150.0,
}


def first_outputs(project, viewer, source: str, count: int) -> tuple[list[float], list[float]]:
    """Seconds from the accepted run to its first stored output, and to its end; one run after the other."""
    from runner.models import ENTRY, Run
    from runner.starting import start_run

    first, whole = [], []
    for _ in range(count):
        run = start_run(project, viewer, files={ENTRY: source})
        _wait(run)
        if run.status != Run.Status.SUCCEEDED:
            raise SystemExit(f"A run of the benchmark ended {run.status}: {run.message}")
        first.append((run.first_output - run.queued).total_seconds())
        whole.append((run.finished - run.queued).total_seconds())
    return first, whole


def throughput(project, viewer, source: str, seconds: float) -> tuple[float, int]:
    """Finished runs a second while the queue is never empty."""
    from runner.models import ENTRY
    from runner.starting import start_run

    waiting = [start_run(project, viewer, files={ENTRY: source}) for _ in range(4)]
    begun, finished = time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        _wait(waiting.pop(0))
        finished += 1
        waiting.append(start_run(project, viewer, files={ENTRY: source}))
    elapsed = time.monotonic() - begun
    for run in waiting:
        _wait(run)
    return finished / elapsed, finished


def _wait(run) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        run.refresh_from_db()
        if run.is_finished:
            return
        time.sleep(0.005)
    raise SystemExit(f"Run {run.pk} did not end within 60 s. Is a worker running?")


def pages(report: Report, user, project) -> None:
    """Response times of the application itself (no network), with the number of database queries."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    for name, url in (("/", "/"), ("dashboard", "/dashboard"), ("workspace", project.edit_url)):
        times = []
        client.get(url)
        for _ in range(PAGE_REQUESTS):
            begun = time.perf_counter()
            response = client.get(url)
            times.append((time.perf_counter() - begun) * 1000)
            if response.status_code != 200:
                raise SystemExit(f"{url} answered {response.status_code}")
        with CaptureQueriesContext(connection) as queries:
            client.get(url)
        report.add_spread(f"page {name}", times, "ms")
        report.add(f"page {name} queries", len(queries), "", 1)


@contextmanager
def running_site(port: int) -> Iterator[None]:
    """The site that is already up, or one of our own for as long as the measurement takes."""
    if _answers(port):
        yield
        return
    print("Starting the site for the measurement ...", flush=True)
    site = subprocess.Popen([sys.executable, "manage.py", "up"], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not _answers(port):
            if site.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("The site did not start; `make run` says why.")
            time.sleep(0.5)
        yield
    finally:
        site.send_signal(signal.SIGTERM)
        site.wait(timeout=60)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def main() -> None:
    area = sys.argv[1] if len(sys.argv) > 1 else AREA
    if area in AREAS:
        importlib.import_module(f"tests.benchmarks.{area}").measure()
        return
    if area != AREA:
        raise SystemExit(f"There is no benchmark called {area!r}; there are {', '.join((AREA, *AREAS))}.")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "playground.settings")
    django.setup()
    from django.conf import settings

    with running_site(settings.PORT):
        measure(Report(area, TARGETS), Path(settings.DATA_DIR))


def measure(report: Report, data_dir: Path) -> None:
    from django.contrib.auth import get_user_model

    from accounts.models import Plan
    from runner.access import Viewer
    from runner.models import Project
    from runner.samples import FIRST_SAMPLE

    plan, _ = Plan.objects.get_or_create(
        code="benchmark",
        defaults={
            "name": "Benchmark",
            "concurrent_runs": 50,
            "runs_per_day": 1_000_000,
            "cpu_seconds": 60,
            "wall_seconds": 120,
            "memory_mb": 1024,
            "disk_mb": 64,
            "output_kb": 1024,
            "processes": 64,
            "max_projects": 10,
        },
    )
    user, _ = get_user_model().objects.get_or_create(
        username="benchmark", defaults={"email": "benchmark@localhost.invalid", "plan": plan}
    )
    project, _ = Project.objects.get_or_create(owner=user, slug="benchmark", defaults={"title": "Benchmark"})
    viewer = Viewer(user)
    first, whole = first_outputs(project, viewer, "print(1)", RUNS)
    report.add_spread("print first output", first, "s")
    report.add_spread("print whole run", whole, "s")
    first, whole = first_outputs(project, viewer, FIRST_SAMPLE.source, RUNS)
    report.add_spread("sample first output", first, "s")
    report.add_spread("sample whole run", whole, "s")
    rate, count = throughput(project, viewer, "print(1)", 20.0)
    report.add("print runs a second", rate, "1/s", count)
    pages(report, user, project)
    report.write(data_dir)


if __name__ == "__main__":
    main()
