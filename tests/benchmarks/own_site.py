"""A site of the measurement's own, so that nobody's data and nobody's runs are in it: services, engine, workers, web.

Everything is the real program, started with the commands of playground.processes, in a temporary data folder.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import django

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
NOT_OURS = ("DATABASE_URL", "REDIS_URL", "ENGINE_SOCKET", "STORE_DIR", "SITE_URL", "HOST", "PLAYGROUND_ENV")


@dataclass
class OwnSite:
    url: str
    data_dir: Path
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)


@contextmanager
def own_site(*, workers: int, web: bool, hops: Path | None = None) -> Iterator[OwnSite]:
    """Set Django up for a new site and start it; hops: a file to which its processes write what happens when."""
    data_dir = Path(tempfile.mkdtemp(prefix="playground-bench-"))
    usual = usual_data_dir()
    for name in NOT_OURS:
        os.environ.pop(name, None)
    os.environ.update(
        DJANGO_SETTINGS_MODULE="playground.settings",
        DATA_DIR=str(data_dir),
        PORT=str(_free_port()),
        SANDBOX_ENV=os.environ.get("SANDBOX_ENV") or str(usual / "sandbox-env"),
        STATIC_ROOT=str(usual / "tests" / "static"),
        LOG_LEVEL="WARNING",
    )
    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    from playground import processes
    from playground.services import Services
    from playground.static_files import collect_if_changed

    with ExitStack() as stack:
        stack.callback(shutil.rmtree, data_dir, ignore_errors=True)
        services = Services(data_dir)
        stack.callback(services.stop)
        services.start()
        call_command("migrate", interactive=False, verbosity=0)
        collect_if_changed()
        site = OwnSite(settings.SITE_URL, data_dir)
        commands = {"engine": processes.engine_command()}
        commands |= {f"worker {number}": processes.worker_command("runs") for number in range(1, workers + 1)}
        commands |= {"web": processes.web_command()} if web else {}
        for name, command in commands.items():
            if hops is not None and name != "engine":
                command = [sys.executable, "-m", "tests.benchmarks.hops", str(hops), *command[1:]]
            site.processes[name] = process = processes.start(command)
            stack.callback(_end, process)
        _wait_for("the engine", _engine_is_ready)
        _wait_for("the workers", lambda: _workers_listening() >= workers)
        if web:
            _wait_for("the web server", lambda: _listens(settings.HOST, settings.PORT))
        yield site


def usual_data_dir() -> Path:
    return Path(os.environ.get("DATA_DIR") or ROOT / ".data").absolute()


def make_user(name: str) -> Any:
    """An account whose plan allows as many runs as a measurement needs."""
    from django.contrib.auth import get_user_model

    from accounts.models import Plan

    plan, _ = Plan.objects.get_or_create(
        code="benchmark",
        defaults={
            "name": "Benchmark",
            "concurrent_runs": 1000,
            "runs_per_day": 1_000_000,
            "cpu_seconds": 60,
            "wall_seconds": 120,
            "memory_mb": 512,
            "disk_mb": 64,
            "output_kb": 1024,
            "processes": 64,
            "max_projects": 10,
        },
    )
    return get_user_model().objects.create(username=name, email=f"{name}@localhost.invalid", plan=plan)


def make_project(user: Any, source: str) -> Any:
    from runner.models import ENTRY, Project

    return Project.objects.create(owner=user, slug="benchmark", title="Benchmark", draft={ENTRY: source})


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(what: str, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if time.monotonic() > deadline:
            raise SystemExit(f"Starting {what} took longer than {START_SECONDS:.0f} s.")
        time.sleep(0.05)


def _engine_is_ready() -> bool:
    from django.conf import settings

    from sandbox.client import EngineClient, EngineUnavailable

    try:
        status = EngineClient(settings.ENGINE_SOCKET).status()
    except EngineUnavailable:
        return False
    if not status["ready"]:
        raise SystemExit(f"This machine cannot sandbox: {status['reason']}")
    return True


def _workers_listening() -> int:
    import django_rq
    from rq import Worker

    return Worker.count(queue=django_rq.get_queue("runs"))


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _end(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait(10)
