"""The worker whose work-horse waits for its job: quick, and nobody's death goes unnoticed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from rq import Queue, Worker
from rq.serializers import JSONSerializer
from rq.timeouts import JobTimeoutException

from runner import workers
from runner.execution import time_limit
from runner.leftovers import end_lost_runs
from runner.models import Run
from runner.starting import queue, wake_a_worker
from tests.conftest import _end, _launch
from tests.factories import make_project, make_run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("services", "engine")]


def until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def horse_of(worker: subprocess.Popen) -> int:
    until(lambda: children(worker.pid), "a work-horse")
    (pid,) = children(worker.pid)
    return pid


def sent(source: str = "print(1)", **values) -> Run:
    run = make_run(make_project(source=source), **values)
    wake_a_worker()
    return run


def ended(run: Run) -> Run:
    def is_over() -> bool:
        run.refresh_from_db()
        return run.is_finished

    until(is_over, "the end of the run")
    return run


def running(run: Run) -> Run:
    def is_running() -> bool:
        run.refresh_from_db()
        return run.first_output is not None or run.status == Run.Status.RUNNING

    until(is_running, "the start of the run")
    return run


def until_it_is_found(run: Run) -> None:
    """Lost, by the sweeper: what its killed process had just begun may still renew the lease."""

    def is_found() -> bool:
        Run.objects.filter(pk=run.pk).update(lease_expires=run.queued)
        return end_lost_runs()[0] == 1

    until(is_found, "the end of the lost run")


def work(worker: subprocess.Popen) -> None:
    assert ended(sent()).status == Run.Status.SUCCEEDED
    until(lambda: not queue().started_job_registry.count, "the end of the job")


def test_one_waiting_process_does_one_run_after_the_other(worker):
    horse = horse_of(worker)
    work(worker)
    work(worker)
    assert horse_of(worker) == horse


def test_a_work_horse_that_is_killed_while_it_waits_is_replaced(worker):
    horse = horse_of(worker)
    os.kill(horse, signal.SIGKILL)
    work(worker)
    assert horse_of(worker) != horse


def test_a_work_horse_that_is_killed_with_its_job_unread_leaves_it_to_another(worker):
    horse = horse_of(worker)
    os.kill(horse, signal.SIGSTOP)  # as one that has no turn on a busy machine
    run = sent()
    until(lambda: queue().started_job_registry.count, "the start of the job")
    time.sleep(0.3)  # it is handed over right after
    os.kill(horse, signal.SIGKILL)
    assert ended(run).status == Run.Status.SUCCEEDED
    assert horse_of(worker) != horse


def test_a_work_horse_that_is_killed_in_a_run_fails_the_job_and_the_run_is_found(worker):
    horse = horse_of(worker)
    run = running(sent("import time\ntime.sleep(30)"))
    os.kill(horse, signal.SIGKILL)
    until(lambda: queue().failed_job_registry.count, "the failure of the job")
    until_it_is_found(run)
    assert ended(run).status == Run.Status.CRASHED
    work(worker)


def test_a_stop_reaches_the_running_program(worker):
    run = running(sent("import time\ntime.sleep(30)"))
    Run.objects.filter(pk=run.pk).update(cancel_requested=run.queued)
    assert ended(run).status == Run.Status.CANCELLED


def test_connections_that_were_cut_between_two_runs_are_made_again(worker):
    horse = horse_of(worker)
    work(worker)
    with psycopg.connect(settings.SERVICES.database_url, autocommit=True) as postgres:
        postgres.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"
        )
    connection.close()
    queue().connection.client_kill_filter(_type="normal", skipme=True)
    work(worker)
    assert horse_of(worker) == horse


def test_a_killed_worker_takes_its_waiting_process_along_and_a_stopped_one_too(services, django_db_setup):
    from playground import processes

    for sign in (signal.SIGKILL, signal.SIGTERM):
        process = _launch("worker", processes.worker_command("runs"))
        horse = horse_of(process)
        until(lambda pid=process.pid: any(known.pid == pid for known in _known()), "the worker's registration")
        process.send_signal(sign)
        process.wait(20)
        until(lambda pid=horse: _is_gone(pid), "the end of its process")
        _end(process)


def test_a_process_is_replaced_after_its_share_of_jobs(monkeypatch):
    monkeypatch.setattr(workers, "JOBS_PER_HORSE", 2)
    seen: list[int] = []

    class Watched(workers.ReadyWorker):
        def fork_work_horse(self, job, queue) -> None:
            super().fork_work_horse(job, queue)
            seen.append(self.horse_pid)

    own = Queue("recycling", connection=queue().connection, serializer=JSONSerializer)
    for _ in range(5):
        own.enqueue("runner.jobs.execute_next_run", result_ttl=0)
    Watched([own], connection=own.connection, serializer=JSONSerializer).work(burst=True)
    assert seen[0] == seen[1] != seen[2] == seen[3] != seen[4]
    assert len(set(seen)) == 3 and not own.failed_job_registry.count


def test_what_hangs_on_our_side_is_ended_from_within_the_process():
    with pytest.raises(JobTimeoutException), time_limit(1):
        time.sleep(30)


def _known() -> list:
    return Worker.all(connection=queue().connection)


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_worker_that_leaves_at_once_hands_its_job_to_nobody(worker):  # the last one here: it ends the worker
    os.kill(horse_of(worker), signal.SIGSTOP)  # which has not read of its job yet
    run = sent()
    until(lambda: queue().started_job_registry.count, "the start of the job")
    worker.send_signal(signal.SIGTERM)
    time.sleep(1.2)  # RQ takes two within a second for one
    worker.send_signal(signal.SIGTERM)
    until(lambda: worker.poll() is not None, "the end of the worker")
    run.refresh_from_db()
    assert run.status == Run.Status.QUEUED
