"""Runs with a GPU: whose plan allows it, on a machine that has one, by the second; and the CPU for all others."""

from __future__ import annotations

import json
import os
import signal
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone
from rq import Worker

from accounts.models import Plan
from playground import processes
from runner import gpu, sandbox_state
from runner.access import Viewer
from runner.claiming import LEASE
from runner.environment import environment_lock
from runner.events import Publisher
from runner.execution import execute_next
from runner.leftovers import end_lost_runs
from runner.models import ENTRY, GPU, Run
from runner.recording import Recording
from runner.requests import request_for
from runner.starting import queue, start_run
from sandbox.client import EngineClient, EngineUnavailable
from tests.conftest import _end, _launch, _wait
from tests.factories import make_project, make_run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("services", "engine")]

POLICY = """
[gpu]
units = ["{place}/unit[0-9]"]
nodes = []
libraries = []
[gpu.environment]
CUDA_VISIBLE_DEVICES = "0"
"""


@pytest.fixture
def project():
    project = make_project()
    Plan.objects.filter(pk=project.owner.plan_id).update(gpu_seconds_per_day=100)
    project.owner.refresh_from_db()
    return project


@pytest.fixture
def gpu_worker(settings) -> Iterator[None]:
    process = _launch("gpu-worker", processes.worker_command(GPU))
    registered = lambda: any(known.pid == process.pid for known in Worker.all(connection=queue(GPU).connection))  # noqa: E731
    _wait("gpu-worker", process, registered)
    yield
    _end(process)


@pytest.fixture
def gpu_engine(settings) -> Iterator[Path]:
    """An engine with two nodes that stand in for GPUs; what a box can open of them is where they are."""
    if os.geteuid() != 0:
        pytest.skip("only root can make device nodes to stand in for a GPU's")
    settings.GPU_SANDBOX_ENV = settings.SANDBOX_ENV
    settings.ENGINE_SOCKETS = {GPU: settings.RUN_DIR / "engine-gpu.sock"}
    with tempfile.TemporaryDirectory(prefix="gpus-", dir="/var/tmp") as name:
        place = Path(name)
        place.chmod(0o755)
        for unit in ("unit0", "unit1"):
            os.mknod(place / unit, stat.S_IFCHR | 0o666, os.makedev(1, 5))
            (place / unit).chmod(0o666)
        (place / "devices.toml").write_text(POLICY.format(place=place))
        process = _launch("gpu-engine", [*processes.engine_command(GPU), "--devices", str(place / "devices.toml")])

        def answers() -> bool:
            try:
                return EngineClient(settings.ENGINE_SOCKETS[GPU]).status()["ready"]
            except EngineUnavailable:
                return False

        _wait("gpu-engine", process, answers)
        yield place
        _end(process)


def start(project, source: str = "print(1)", **values) -> Run:
    return start_run(project, Viewer(project.owner), files={ENTRY: source}, on_gpu=True, **values)


def test_without_a_plan_for_it_the_cpu_is_offered(client):
    project = make_project()
    client.force_login(project.owner)
    assert "Run on GPU" not in client.get(project.edit_url).content.decode()
    answer = client.post(f"{project.base_url}/run", {"source": "print(1)", "on": "gpu"}, headers={"HX-Request": "true"})
    assert answer.status_code == 422
    assert "has no GPU" in answer.content.decode()
    assert 'name="on" value="cpu"' in answer.content.decode()
    answer = client.post(f"{project.base_url}/run", {"source": "print(1)", "on": "cpu"}, headers={"HX-Request": "true"})
    assert answer.status_code == 200
    assert Run.objects.get().queue == "runs"


def test_without_a_machine_that_has_one_the_cpu_is_offered(client, project):
    client.force_login(project.owner)
    assert "Run on GPU" in client.get(project.edit_url).content.decode()
    answer = client.post(f"{project.base_url}/run", {"source": "x = 1", "on": "gpu"}, headers={"HX-Request": "true"})
    assert answer.status_code == 422
    assert "No machine with a GPU is at work" in answer.content.decode()
    assert "Run on the CPU" in answer.content.decode()
    assert not Run.objects.exists()
    project.refresh_from_db()
    assert project.source == "x = 1"


@pytest.mark.django_db(transaction=True)
def test_a_listening_worker_is_a_machine_that_has_one(project, gpu_worker):
    assert sandbox_state.a_worker_listens(GPU)
    gpu.check_there_is_one(project.owner.plan)


@pytest.mark.django_db(transaction=True)
def test_it_runs_where_the_gpu_is_and_its_seconds_are_counted_and_shown(project, client, gpu_engine, monkeypatch):
    monkeypatch.setattr(gpu, "check_there_is_one", lambda plan: None)  # the worker is this process
    source = f"""
import os, stat, time
time.sleep(1.2)
def is_node(path): return os.path.exists(path) and stat.S_ISCHR(os.stat(path).st_mode)
print([n for n in ('unit0', 'unit1') if is_node('{gpu_engine}/' + n)], os.environ['CUDA_VISIBLE_DEVICES'])
"""
    run = start(project, source)
    assert (run.queue, run.limits["wall_seconds"] <= 100) == (GPU, True)
    execute_next()  # a worker of the other queue leaves it alone
    run.refresh_from_db()
    assert run.status == Run.Status.QUEUED
    execute_next(GPU)
    run.refresh_from_db()
    printed = "".join(each["text"] for each in Recording(run.pk).read() if each["type"] == "stdout")
    assert run.status == Run.Status.SUCCEEDED, run.message
    assert printed in ("['unit0'] 0\n", "['unit1'] 0\n")
    assert 1.2 <= run.gpu_seconds == run.wall_seconds
    assert run.environment == environment_lock(GPU) != environment_lock()
    assert gpu.used_seconds(Viewer(project.owner)) == run.gpu_seconds
    client.force_login(project.owner)
    assert " GPU</span>" in client.get(run.get_absolute_url()).content.decode()


def test_seconds_that_are_left_limit_the_run_and_none_left_means_the_cpu(project, monkeypatch):
    monkeypatch.setattr(gpu, "check_there_is_one", lambda plan: None)
    Plan.objects.filter(pk=project.owner.plan_id).update(concurrent_runs=5)
    project.owner.plan.refresh_from_db()
    assert start(project).limits["wall_seconds"] == min(project.owner.plan.wall_seconds, 100)
    Run.objects.update(status=Run.Status.SUCCEEDED, gpu_seconds=60.5, finished="2030-01-01T00:00Z")
    second = start(project)
    assert second.limits["wall_seconds"] == min(project.owner.plan.wall_seconds, 39)
    Run.objects.filter(pk=second.pk).update(limits={**second.limits, "wall_seconds": 39.5})  # it may use all of it
    with pytest.raises(gpu.GpuUnavailable, match="100 GPU seconds in 24 hours"):
        start(project)


@pytest.mark.django_db(transaction=True)
def test_the_seconds_of_a_run_that_was_lost_count_until_it_was_last_heard_of(project):
    started, last_heard = timezone.now() - timedelta(seconds=100), timezone.now() - timedelta(seconds=60)
    values = {"status": Run.Status.RUNNING, "queue": GPU, "limits": {"wall_seconds": 300}}
    lost = make_run(project, **values, started=started, lease_expires=last_heard + LEASE)
    for phase in ("starting", "running"):
        Publisher(lost.pk).publish({"type": "phase", "phase": phase, "t": 0.0})
    waiting = make_run(project, **values, started=started, lease_expires=started + timedelta(seconds=40))
    end_lost_runs()
    lost.refresh_from_db()
    waiting.refresh_from_db()
    assert (lost.status, waiting.status) == (Run.Status.CRASHED, Run.Status.CRASHED)
    assert lost.gpu_seconds == pytest.approx(40, abs=0.1) and "40.0 GPU seconds it had used count" in lost.message
    assert waiting.gpu_seconds is None and "GPU" not in waiting.message  # it never had its box
    assert gpu.used_seconds(Viewer(project.owner)) == lost.gpu_seconds


@pytest.mark.django_db(transaction=True)
def test_a_run_whose_engine_is_lost_counts_what_it_had_used(project, gpu_engine, monkeypatch):
    monkeypatch.setattr(gpu, "check_there_is_one", lambda plan: None)
    run = start(project, "import time\nprint('on', flush=True)\ntime.sleep(60)")
    began = time.monotonic()

    def kill_once_it_prints() -> None:
        while not any(event["type"] == "stdout" for event in Recording(run.pk).read()):
            if time.monotonic() - began > 60:
                return
            time.sleep(0.05)
        os.kill(engine_pid(), signal.SIGKILL)

    ending = threading.Thread(target=kill_once_it_prints)
    ending.start()
    execute_next(GPU)
    ending.join()
    run.refresh_from_db()
    assert run.status == Run.Status.CRASHED
    assert 0 < run.gpu_seconds < time.monotonic() - began
    assert gpu.used_seconds(Viewer(project.owner)) == run.gpu_seconds


def engine_pid() -> int:
    return json.loads((settings.DATA_DIR / "engine-gpu" / "engine.lock").read_text())["pid"]


def test_a_plan_may_send_its_runs_to_the_large_queue(project):
    Plan.objects.filter(pk=project.owner.plan_id).update(queue="large")
    project.owner.refresh_from_db()
    run = start_run(project, Viewer(project.owner), files={ENTRY: "print(1)"})
    assert (run.queue, request_for(run).device) == ("large", "")


def test_places_are_counted_queue_by_queue(project):
    from runner.claiming import places_in_queue

    usual, other = make_run(project), make_run(project, queue=GPU)
    time.sleep(0.01)
    places = places_in_queue()
    assert places[usual.pk] == places[other.pk] == 1
