"""Workers, the engine and the web server killed, stopped and doubled: every run ends once, with what it had printed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import django_rq
import pytest
from django.utils import timezone
from rq import Worker

from playground import process_table, processes
from playground.memory_pressure import DATA, SITE
from playground.services import Services
from runner.access import Viewer
from runner.events import Publisher, follow, redis_connection, stream_key
from runner.leftovers import end_lost_runs
from runner.models import Run
from runner.recording import Recording
from runner.starting import QUEUE, start_run
from sandbox.host.cold import FIRST_TO_GO
from tests.conftest import _end, _launch, _wait
from tests.factories import make_project, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("services")]

SLOW = "import os, time\nprint('on', flush=True)\nif os.fork() == 0: os.setsid()\ntime.sleep({seconds})\nprint('end')"


def start(source: str, owner=None) -> Run:
    project = make_project(owner or make_user(), source=source)
    return start_run(project, Viewer(project.owner), files=project.draft)


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to this"
        time.sleep(0.05)


def status(run: Run) -> str:
    run.refresh_from_db()
    return run.status


def printed(run: Run) -> str:
    return "".join(event["text"] for event in Recording(run.pk).read() if event["type"] == "stdout")


def until_it_prints(run: Run) -> None:
    wait_for(lambda: "on" in printed(run))


def ends(run: Run) -> list[dict]:
    """The events of its end, which come right after its row; the sequence numbers of all are checked on the way."""
    wait_for(lambda: any(event["type"] == "finished" for event in Recording(run.pk).read()))
    events = Recording(run.pk).read()
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "finished"
    return [event for event in events if event["type"] == "finished"]


def let_the_lease_run_out(run: Run) -> None:
    """Nobody renews it any more (watched for longer than two heartbeats; one that was on its way may still arrive); the
    clock is moved, not waited for.
    """

    def stands_still() -> bool:
        run.refresh_from_db()
        before = run.lease_expires
        time.sleep(1.3)
        run.refresh_from_db()
        return run.lease_expires == before

    wait_for(stands_still)
    Run.objects.filter(pk=run.pk).update(lease_expires=timezone.now() - timedelta(seconds=1))


@pytest.fixture
def start_worker(engine) -> Iterator[Callable[[], subprocess.Popen]]:
    started: list[subprocess.Popen] = []

    def one_more() -> subprocess.Popen:
        process = _launch("worker", processes.worker_command(QUEUE))
        started.append(process)
        redis = django_rq.get_connection(QUEUE)
        _wait("worker", process, lambda: any(known.pid == process.pid for known in Worker.all(connection=redis)))
        return process

    yield one_more
    for process in started:
        for pid in process_table.descendants(process.pid):
            os.kill(pid, signal.SIGCONT)
        _end(process)


def boxes(engine) -> int:
    return engine.status()["boxes"]


def test_a_run_whose_work_horse_is_killed_ends_as_ours_and_the_worker_goes_on(start_worker, engine):
    worker = start_worker()
    run = start(SLOW.format(seconds=60))
    until_it_prints(run)
    for pid in process_table.descendants(worker.pid):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: boxes(engine) == 0)
    let_the_lease_run_out(run)
    assert end_lost_runs()[0] == 1 and end_lost_runs()[0] == 0
    assert status(run) == Run.Status.CRASHED
    assert "does not count" in run.message
    assert not Run.objects.counted_today().filter(pk=run.pk).exists()
    assert printed(run) == "on\n" and len(ends(run)) == 1
    after = start("print('after')")
    wait_for(lambda: status(after) == Run.Status.SUCCEEDED)
    assert worker.poll() is None


def test_a_run_whose_worker_is_killed_has_one_end_and_the_next_worker_takes_the_next(start_worker, engine):
    worker = start_worker()
    run, waiting = start(SLOW.format(seconds=4)), start("print('next')")
    until_it_prints(run)
    os.kill(worker.pid, signal.SIGKILL)  # only the parent: what it started may finish, or be lost
    worker.wait()
    time.sleep(1.3)
    run.refresh_from_db()
    if run.status == Run.Status.RUNNING and run.lease_expires < timezone.now() + timedelta(seconds=19):
        Run.objects.filter(pk=run.pk).update(lease_expires=timezone.now() - timedelta(seconds=1))
    start_worker()
    wait_for(lambda: (end_lost_runs(), status(run) in (Run.Status.SUCCEEDED, Run.Status.CRASHED))[1])
    wait_for(lambda: status(waiting) == Run.Status.SUCCEEDED, 60)
    assert len(ends(run)) == len(ends(waiting)) == 1
    assert printed(run).startswith("on\n")
    wait_for(lambda: boxes(engine) == 0)


@pytest.fixture
def own_engine(services, settings, monkeypatch, tmp_path) -> Iterator[Callable[[], subprocess.Popen]]:
    """An engine that may be killed; the one of the other tests goes on."""
    settings.ENGINE_SOCKET = settings.RUN_DIR / "own.sock"
    monkeypatch.setenv("ENGINE_SOCKET", str(settings.ENGINE_SOCKET))
    command = processes.engine_command()
    command[command.index("--state") + 1] = str(tmp_path)
    started: list[subprocess.Popen] = []

    def one_more() -> subprocess.Popen:
        from sandbox.client import EngineClient, EngineUnavailable

        process = _launch("own-engine", [*command, "--ready", "0"])
        started.append(process)

        def answers() -> bool:
            try:
                return EngineClient(settings.ENGINE_SOCKET).status()["ready"]
            except EngineUnavailable:
                return False

        _wait("own-engine", process, answers)
        return process

    yield one_more
    for process in started:
        _end(process)


def test_after_everything_was_killed_at_once_every_run_gets_its_end(own_engine, start_worker):
    victims = [own_engine(), start_worker(), start_worker()]
    runs = [start(SLOW.format(seconds=60)) for _ in range(2)] + [start("print('on')") for _ in range(3)]
    for run in runs[:2]:
        until_it_prints(run)
    below = [pid for victim in victims for pid in process_table.descendants(victim.pid)]
    for pid in [*(victim.pid for victim in victims), *below]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    for victim in victims:
        victim.wait()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below))
    own_engine()
    start_worker()
    for run in runs[:2]:
        let_the_lease_run_out(run)
    # What a worker had taken from the queue and not begun is found there again, or sent again.
    Run.objects.filter(status=Run.Status.QUEUED).update(queued=timezone.now() - timedelta(minutes=1))
    wait_for(lambda: (end_lost_runs(), all(status(run) not in ("queued", "running") for run in runs))[1], 60)
    assert [run.status for run in runs] == ["crashed"] * 2 + ["succeeded"] * 3
    assert all(len(ends(run)) == 1 and printed(run) == "on\n" for run in runs)


def test_an_engine_that_is_killed_ends_the_run_as_ours(own_engine, start_worker):
    engine = own_engine()
    start_worker()
    run = start(SLOW.format(seconds=60))
    until_it_prints(run)
    engine.kill()
    wait_for(lambda: status(run) == Run.Status.CRASHED)
    assert "does not count" in run.message
    assert len(ends(run)) == 1
    own_engine()
    after = start("print('after')")
    wait_for(lambda: status(after) == Run.Status.SUCCEEDED)


# The same job twice, and events out of their time


def test_a_job_delivered_twice_at_once_and_once_more_is_one_run(start_worker):
    redis = django_rq.get_connection(QUEUE)
    queue = django_rq.get_queue(QUEUE)
    run = start("import time\nprint('once', flush=True)\ntime.sleep(1)")
    (job,) = queue.get_job_ids()
    redis.rpush(queue.key, job)
    start_worker(), start_worker()
    wait_for(lambda: status(run) == Run.Status.SUCCEEDED)
    assert len(ends(run)) == 1
    before = Recording(run.pk).read()
    redis.rpush(queue.key, job)
    wait_for(lambda: not queue.get_job_ids())
    time.sleep(0.5)
    assert printed(run) == "once\n" and len(ends(run)) == 1
    assert Recording(run.pk).read() == before
    assert [event.get("phase") for event in before if event["type"] == "phase"] == ["queued", "starting", "running"]
    assert Run.objects.count() == 1


def test_a_worker_that_hung_and_wakes_after_the_end_adds_nothing(start_worker, engine):
    worker = start_worker()
    run = start("import time\nfor n in range(200): print('on', n, flush=True); time.sleep(.1)")
    until_it_prints(run)
    hung = process_table.descendants(worker.pid)
    for pid in hung:
        os.kill(pid, signal.SIGSTOP)
    let_the_lease_run_out(run)
    assert end_lost_runs()[0] == 1
    ended = Recording(run.pk).read()
    for pid in hung:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: boxes(engine) == 0)
    assert status(run) == Run.Status.CRASHED
    assert Recording(run.pk).read() == ended and len(ends(run)) == 1
    assert not Recording(run.pk).path.exists()


def line(text: str) -> dict:
    return {"type": "stdout", "text": text, "t": 0.0}


def test_events_that_overtake_each_other_on_the_wire_reach_the_page_in_order():
    run_id = uuid4()
    publisher = Publisher(run_id)
    publisher.publish(line("1"), line("2"))

    async def story() -> list[int]:
        follower = asyncio.create_task(_collect(run_id))
        await asyncio.sleep(0.2)
        # The end is on the wire before the last output, as far as Redis is concerned: one entry was lost on the way.
        publisher.publish(line("3"), line("4"), {"type": "finished", "status": "succeeded"})
        redis_connection().xdel(stream_key(run_id), "3-0", "4-0")
        return await follower

    assert asyncio.run(asyncio.wait_for(story(), 20)) == [1, 2, 3, 4, 5]


def test_nothing_is_recorded_or_sent_behind_the_end():
    run_id = uuid4()
    publisher, late = Publisher(run_id), Publisher(run_id)
    publisher.publish(line("1"), {"type": "finished", "status": "crashed"})
    publisher.recording.compress()
    late.publish(line("late"), line("later"))
    late.recording.compress()
    assert [event.get("text") for event in Recording(run_id).read()] == ["1", None]
    assert redis_connection().xlen(stream_key(run_id)) == 2
    assert asyncio.run(asyncio.wait_for(_collect(run_id), 10)) == [1, 2]


async def _collect(run_id) -> list[int]:
    return [json.loads(each)["seq"] async for batch in follow(run_id) for each in batch]


# Clocks that differ


@pytest.mark.parametrize("seconds", [-90, 90, -86_400])
def test_a_worker_whose_clock_is_wrong_loses_no_run_and_no_run_of_another(start_worker, clock, monkeypatch, seconds):
    with monkeypatch.context() as patch:
        for name, value in clock.variables.items():
            patch.setenv(name, value)
        worker = start_worker()
    clock.set(seconds)
    run = start("import time\nprint('on', flush=True)\ntime.sleep(2)\nprint('end')")
    until_it_prints(run)
    for _ in range(5):
        assert end_lost_runs()[0] == 0
        time.sleep(0.2)
    wait_for(lambda: status(run) == Run.Status.SUCCEEDED)
    assert printed(run) == "on\nend\n" and len(ends(run)) == 1
    assert 2 <= run.wall_seconds < abs(seconds)
    # And when this worker is lost, its lease is not worth more than another's.
    lost = start("import time\nprint('on', flush=True)\ntime.sleep(60)")
    until_it_prints(lost)
    for pid in [worker.pid, *process_table.descendants(worker.pid)]:
        os.kill(pid, signal.SIGKILL)
    worker.wait()
    lost.refresh_from_db()
    assert lost.lease_expires < timezone.now() + timedelta(seconds=41)


# A neighbour that eats the memory of the machine


def score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def may_ask_for_less() -> bool:
    """Root usually may; a container's root without CAP_SYS_RESOURCE may not, and then only boxes are ranked."""
    code = "import pathlib; pathlib.Path('/proc/self/oom_score_adj').write_text('-1')"
    return subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_the_data_goes_last_and_the_site_after_strangers(services, start_worker):
    worker = start_worker()
    scores = {score(pid) for pid in services.pids()} | {score(worker.pid)}
    assert scores == ({DATA, SITE} if may_ask_for_less() else {score(os.getpid())})
    assert DATA < SITE < 0 < int(FIRST_TO_GO)


MEMORY = Path("/sys/fs/cgroup/memory")
EAT = """
import os, sys, time
from pathlib import Path
Path(sys.argv[1]).write_text(str(os.getpid()))
Path("/proc/self/oom_score_adj").write_text(sys.argv[2])
kept = []
while True:
    kept.append(os.urandom(1 << 20))
    time.sleep(0.002)
"""


def test_postgresql_and_redis_outlive_a_neighbour_that_eats_everything(tmp_path):
    """On a small machine: a control group with both services, Redis larger than any of the neighbours, and no room.

    Where root may not ask for less than 0 the neighbours are as boxes are.
    """
    if os.geteuid() != 0 or not (MEMORY / "memory.limit_in_bytes").exists():
        pytest.skip("needs root and a version 1 control group of memory")
    own = Services(tmp_path)
    machine = MEMORY / f"playground-test-{os.getpid()}"
    machine.mkdir()
    neighbours: list[subprocess.Popen] = []
    try:
        own.start()
        import psycopg
        import redis

        held = redis.Redis.from_url(own.redis_url)
        held.set("held", b"x" * (60 << 20))
        for pid in own.pids():
            (machine / "cgroup.procs").write_text(str(pid))
        (machine / "memory.limit_in_bytes").write_text(str(160 << 20))
        rank = "0" if may_ask_for_less() else FIRST_TO_GO.decode()
        for _ in range(6):  # each of them smaller than Redis: without the ranks it would be Redis's turn
            neighbours.append(subprocess.Popen([sys.executable, "-c", EAT, str(machine / "cgroup.procs"), rank]))
        wait_for(lambda: all(neighbour.poll() == -signal.SIGKILL for neighbour in neighbours), 60)
        assert held.strlen("held") == 60 << 20
        with psycopg.connect(own.database_url) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        assert own.alive() == {"postgres": True, "redis": True}
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()
        own.stop()
        (machine / "memory.limit_in_bytes").write_text("-1")
        wait_for(lambda: not (machine / "cgroup.procs").read_text(), 10)
        machine.rmdir()
