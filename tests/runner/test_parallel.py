"""qfp.pmap in further boxes: real queue, real workers, real boxes, and what happens when one of them goes away."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import django_rq
import pytest
from rq import Worker

from accounts.models import Plan
from playground import processes
from runner import parallel, trials
from runner.access import Viewer
from runner.chunk_store import Names, folder_of
from runner.chunks import work_on_chunk
from runner.ending import request_cancel
from runner.execution import execute_next
from runner.models import ENTRY, Run
from runner.recording import Recording
from runner.starting import start_run
from tests.conftest import _end, _launch, _wait
from tests.factories import make_project, make_run, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("services", "engine")]

PATIENCE_SECONDS = 60


def start_worker(*queues: str):
    process = _launch(f"worker-{queues[0]}", processes.worker_command(*queues))
    redis = django_rq.get_connection("parallel")
    _wait("worker", process, lambda: any(known.pid == process.pid for known in Worker.all(connection=redis)))
    return process


@pytest.fixture(scope="module")
def run_worker(django_db_setup):
    process = start_worker("runs")
    yield process
    _end(process)


@pytest.fixture(scope="module")
def chunk_workers(django_db_setup):
    """Two workers as on another host: they serve nothing but chunks. Tests without them stand first in this file."""
    started = [start_worker("parallel") for _ in range(2)]
    yield started
    for process in started:
        _end(process)


def begin(source: str, boxes: int = 2, files: dict[str, str] | None = None, **plan) -> Run:
    Plan.objects.filter(is_default=True).update(parallel_boxes=boxes, **plan)
    project = make_project(make_user())
    return start_run(project, Viewer(project.owner), files={ENTRY: source, **(files or {})})


def wait_for(what, run: Run | None = None):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := what()):
        if time.monotonic() > deadline:
            events = Recording(run.pk).read() if run else ""
            pytest.fail(f"waited for too long; the run said {events}", pytrace=False)
        time.sleep(0.02)
    return found


def finish(run: Run) -> tuple[Run, str]:
    """The run at its end, and what it printed."""

    def ended() -> bool:
        run.refresh_from_db()
        return run.is_finished

    wait_for(ended, run)
    return run, said(run)


def said(run: Run) -> str:
    return "".join(event["text"] for event in Recording(run.pk).read() if event["type"] == "stdout")


def stderr_of(run: Run) -> str:
    return "".join(event["text"] for event in Recording(run.pk).read() if event["type"] == "stderr")


def kill_all_of(pid: int) -> None:
    """A worker and the process it does its job in, as when a machine goes away."""
    for each in (pid, *children_of(pid)):
        os.kill(each, signal.SIGKILL)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def nothing_is_left(run: Run, engine) -> None:
    redis = django_rq.get_connection("parallel")
    wait_for(lambda: engine.status()["boxes"] == 0)
    assert not folder_of(run.pk).exists()
    assert django_rq.get_queue("parallel").job_ids == []
    assert not [key for key in redis.scan_iter(f"run:{run.pk}:pmap:*") if key.endswith((b":open", b":news"))]


def test_one_worker_for_everything_does_not_wait_for_itself(run_worker, engine):
    run, printed = finish(begin("from qfp import pmap\nprint(pmap(lambda x: x + 1, range(5), where='hosts', chunk=2))"))
    assert (run.status, printed) == (Run.Status.SUCCEEDED, "[1, 2, 3, 4, 5]\n"), stderr_of(run)
    nothing_is_left(run, engine)


def test_plan_without_boxes_refuses_and_says_what_to_do(run_worker):
    run, _ = finish(begin("from qfp import pmap\npmap(str, [1, 2], where='hosts')", boxes=0))
    assert run.status == Run.Status.FAILED
    assert "Your plan has no further boxes" in run.message and "Leave `where` out" in run.message


def test_items_of_a_run_are_limited(run_worker):
    run, _ = finish(
        begin("from qfp import pmap\npmap(len, [bytes(3_000_000) for _ in range(6)], where='hosts', chunk=1)")
    )
    assert run.status == Run.Status.FAILED
    assert "more than 12 MB that this box sends to others" in run.message, run.message


def test_function_that_cannot_travel_says_so(run_worker):
    run, _ = finish(
        begin(
            "import numpy as np\nfrom qfp import pmap\nbig = np.ones(1_000_000)\n"
            "pmap(lambda x: big[x], range(3), where='hosts')"
        )
    )
    assert run.status == Run.Status.FAILED and "takes 8.0 MB, and at most 4 MB can travel" in run.message


def test_further_boxes_give_what_one_box_gives(run_worker, chunk_workers, engine):
    run, printed = finish(
        begin(
            """
import os
from helpers import shift
from qfp import pmap, sweep

base = 100
def work(item, rng):
    print("item", item)
    return shift(base + item, rng.normal()), os.path.exists("/box/qfp_chunk.py")

there = pmap(work, range(10), seed=3, where="hosts", chunk=3, progress="far")
here = pmap(work, range(10), seed=3, where="box", workers=2)
print([value for value, _ in there] == [value for value, _ in here])
print({far for _, far in there}, {far for _, far in here})
print([f(1) for f in pmap(lambda n: lambda x: x + n, [1, 2], where="hosts")])
swept = [
    sweep(lambda a: {"score": a, "far": float(os.path.exists("/box/qfp_chunk.py"))}, {"a": range(6)},
          objective="score", seed=seed, where=where, show=False).trials
    for seed, where in ((1, "hosts"), (2, "box"))
]
print([each["score"].tolist() for each in swept], [each["far"].unique().tolist() for each in swept])
""",
            files={"helpers.py": "def shift(x, by):\n    return x + by\n"},
        )
    )
    assert run.status == Run.Status.SUCCEEDED, (run.message, stderr_of(run))
    lines = printed.splitlines()
    scores = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert lines[-4:] == ["True", "{True} {False}", "[2, 3]", f"{[scores] * 2} [[1.0], [0.0]]"]
    assert sorted(lines[:-4]) == sorted([f"item {x}" for x in range(10)] * 2)
    bars = [e for e in Recording(run.pk).read() if e["type"] == "progress" and e["label"] == "far"]
    assert bars[-1]["value"] == 10 and bars[-1]["done"]
    nothing_is_left(run, engine)


def test_what_further_boxes_try_in_backtests_counts_as_trials(run_worker, chunk_workers):
    run, printed = finish(
        begin(
            """
import pandas as pd
from qfp import backtest, pmap
from qfp.backtesting import Backtest, Strategy

class Hold(Strategy):
    bar = 1
    def init(self):
        pass
    def next(self):
        if len(self.data) == self.bar:
            self.buy()

days = pd.date_range("2020-01-01", periods=60, freq="D")
closes = [100.0 + number for number in range(60)]
bars = pd.DataFrame({name: closes for name in ("Open", "High", "Low", "Close")}, index=days)

def tried(bar):
    if bar % 2:
        return float(backtest(Hold, bars, bar=bar).equity.iloc[-1])
    return float(Backtest(bars, Hold).run(bar=bar)["Equity Final [$]"])

print(len(set(pmap(tried, [2, 3, 4, 5, 6, 2, 3], where="hosts", chunk=2))))
"""
        )
    )
    assert run.status == Run.Status.SUCCEEDED, (run.message, stderr_of(run))
    assert printed.splitlines()[-1] == "5" and not run.backtests.exists()
    assert run.attempts.count() == trials.of_project(run.revision.project).count == 5


def test_error_names_the_item_and_stops_the_rest(run_worker, chunk_workers, engine):
    run, printed = finish(
        begin("""
import time
from qfp import ParallelError, pmap

def work(x):
    if x == 3:
        raise ValueError("three")
    if x > 5:
        time.sleep(600)
    return x

try:
    pmap(work, range(40), where="hosts", chunk=2)
except ParallelError as error:
    print(error.index, error, "in work" in error.traceback)
""")
    )
    assert (run.status, printed) == (Run.Status.SUCCEEDED, "3 item 3, 3: ValueError: three True\n"), stderr_of(run)
    nothing_is_left(run, engine)


def test_chunk_whose_worker_is_killed_is_done_again(run_worker, chunk_workers, engine):
    run = begin("""
import time
from qfp import pmap

def work(x):
    time.sleep(2)
    return x * x

print(pmap(work, range(4), where="hosts", chunk=1))
""")
    redis = django_rq.get_connection("parallel")

    def at_work():  # has claimed a chunk: who is told of one that the run's own worker helps with does nothing
        claimed_by = {int(redis.get(key)) for key in redis.scan_iter(f"run:{run.pk}:pmap:*:claim:*")}
        return next((w for w in chunk_workers if w.poll() is None and claimed_by & {*children_of(w.pid)}), None)

    kill_all_of(wait_for(lambda: engine.status()["boxes"] > 1 and at_work(), run).pid)  # with its box
    chunk_workers.append(start_worker("parallel"))
    run, printed = finish(run)
    assert (run.status, printed) == (Run.Status.SUCCEEDED, "[0, 1, 4, 9]\n"), stderr_of(run)
    claims = [key for key in redis.scan_iter(f"run:{run.pk}:pmap:*:claim:*") if key.endswith(b":2")]
    assert len(claims) == 1
    nothing_is_left(run, engine)


def test_cancelling_the_run_cancels_its_chunks(run_worker, chunk_workers, engine):
    run = begin("import time\nfrom qfp import pmap\npmap(lambda x: time.sleep(600), range(6), where='hosts', chunk=1)")
    wait_for(lambda: engine.status()["boxes"] == 3, run)  # its own and two further ones at once
    request_cancel(run)
    run, _ = finish(run)
    assert run.status == Run.Status.CANCELLED
    nothing_is_left(run, engine)


def test_no_more_boxes_work_at_a_time_than_the_plan_allows(run_worker, chunk_workers):
    """One, of two workers that have nothing else to do. That as many as it allows do work, is seen where runs are
    cancelled.
    """
    run, printed = finish(
        begin(
            """
import time
from qfp import pmap

def work(x):
    begun = time.time()
    time.sleep(0.5)
    return begun, time.time()

times = pmap(work, range(6), where="hosts", chunk=1)
print(max(sum(b <= at < e for b, e in times) for at, _ in times))
""",
            boxes=1,
        )
    )
    assert (run.status, printed) == (Run.Status.SUCCEEDED, "1\n"), stderr_of(run)


def test_auto_goes_to_further_boxes_when_much_is_left(run_worker, chunk_workers):
    run, printed = finish(
        begin("""
import os, time
from qfp import parallel, pmap

def work(x):
    time.sleep(0.1)
    return x, os.path.exists("/box/qfp_chunk.py")

parallel.LOOK_SECONDS, parallel.WORTH_SECONDS = 0.3, 2.0
results = pmap(work, range(30))
print([x for x, _ in results] == list(range(30)))
far = [far for _, far in results]
print(far[0], far[-1], far == sorted(far))
parallel.WORTH_SECONDS = 60.0
print(any(far for _, far in pmap(work, range(30))))
""")
    )
    assert (run.status, printed) == (Run.Status.SUCCEEDED, "True\nFalse True True\nFalse\n"), stderr_of(run)


def test_processor_time_of_further_boxes_counts(run_worker, chunk_workers):
    run, printed = finish(
        begin("""
import time
from qfp import pmap

def work(x):
    begun = time.process_time()
    while time.process_time() - begun < 1:
        pass

pmap(work, range(2), where="hosts", chunk=1)
print(time.process_time() < 1.5)
""")
    )
    assert (run.status, printed) == (Run.Status.SUCCEEDED, "True\n"), stderr_of(run)
    assert run.cpu_seconds > 1.9


@pytest.mark.parametrize(
    ("body", "plan", "words"),
    [
        ("while True: pass", {"cpu_seconds": 2}, "Timed out: Time limit of"),
        ("return bytearray(400_000_000) and [b'x' * 1_000_000] * 500", {"memory_mb": 200}, "MemoryError"),
        ("import os; os._exit(5)", {}, "Failed: The program ended with exit code 5."),
        ("return b'x' * 5_000_000", {}, "TooLarge: the result cannot be sent back"),
    ],
)
def test_item_that_ends_its_box_is_told_with_the_reason(run_worker, chunk_workers, engine, body, plan, words):
    run, _ = finish(
        begin(f"from qfp import pmap\ndef work(x):\n    {body}\npmap(work, range(2), where='hosts', chunk=2)", **plan)
    )
    assert run.status == Run.Status.FAILED
    assert words in run.message and "item 0, 0" in run.message, run.message
    nothing_is_left(run, engine)


def test_results_of_a_chunk_are_limited_and_smaller_chunks_help(run_worker, chunk_workers):
    source = (
        "from qfp import pmap\nr = pmap(lambda x: bytes(3_000_000), range(6), where='hosts', chunk={})\nprint(len(r))"
    )
    run, _ = finish(begin(source.format(6)))
    assert run.status == Run.Status.FAILED and "Smaller chunks (chunk=) help" in run.message, run.message
    run, printed = finish(begin(source.format(2)))
    assert (run.status, printed) == (Run.Status.SUCCEEDED, "6\n"), run.message


def test_further_boxes_have_the_packages_of_their_run(package_index):
    package_index.add_package("honest-thing", {"honest.py": "answer = 42\n"})
    Plan.objects.filter(is_default=True).update(parallel_boxes=1)
    source = (
        "# requirements: honest-thing\nfrom qfp import pmap\ndef work(x):\n    import honest\n"
        "    return honest.answer + x\nprint(pmap(work, range(3), where='hosts'))\n"
    )
    run = make_run(make_project(source=source))
    execute_next()  # here, with nobody to help: as a worker does that has to do the chunks itself
    run, printed = finish(run)
    assert (run.status, printed) == (Run.Status.SUCCEEDED, "[42, 43, 44]\n"), stderr_of(run)


# Without a program: what the host does with what it is told


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_chunk_that_is_always_lost_ends_in_words_after_three_attempts(fanout, monkeypatch):
    monkeypatch.setattr(parallel, "NEXT_SECONDS", 0.2)
    monkeypatch.setattr(parallel, "LOOK_SECONDS", 0.05)
    call = fanout.answer({"do": "open", "function": text(b"f")})["call"]
    assert fanout.answer({"do": "add", "call": call, "number": 0, "items": text(b"items")}) == {}
    names = Names(str(fanout.run.pk), call)
    for attempt in (1, 2, 3):
        fanout.client.set(names.claim(0, attempt), 1)  # somebody took it, and gives no sign of life
    done = wait_for(lambda: fanout.answer({"do": "next", "call": call, "before": None})["done"])
    assert [(chunk.attempt, chunk.losses) for chunk in fanout.calls[call].chunks] == [(3, 3)]
    assert done[0]["failure"]["kind"] == "Lost" and "lost 3 times" in done[0]["failure"]["message"]


def test_engine_without_room_costs_no_attempt_but_has_an_end(fanout, monkeypatch):
    monkeypatch.setattr(parallel, "NEXT_SECONDS", 0.2)
    monkeypatch.setattr(parallel, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(parallel, "FULL_PAUSE_SECONDS", 0.0)
    # Nobody does the chunk: neither the worker that waits for it nor those of this file's other tests.
    monkeypatch.setattr(parallel, "HELP_SECONDS", 60.0)
    queues = import_module("django_rq.settings").QUEUES
    monkeypatch.setitem(queues, "unserved", queues[parallel.QUEUE])
    monkeypatch.setattr(parallel, "QUEUE", "unserved")
    name = fanout.answer({"do": "open", "function": text(b"f")})["call"]
    fanout.answer({"do": "add", "call": name, "number": 0, "items": text(b"items")})
    names, chunk = Names(str(fanout.run.pk), name), fanout.calls[name].chunks[0]

    def refuse() -> list:
        fanout.client.set(names.claim(0, chunk.attempt), 1)
        news = {"number": 0, "attempt": chunk.attempt, "lost": "", "refused": "All boxes are in use."}
        fanout.client.rpush(names.news, json.dumps(news))
        return fanout.answer({"do": "next", "call": name, "before": None})["done"]

    for _ in range(5):
        assert refuse() == []
    assert chunk.losses <= 1 and chunk.attempt >= 5 and not chunk.done
    monkeypatch.setattr(parallel, "FULL_SECONDS", 0.0)
    done = wait_for(refuse)  # once more, where nothing was in work just then
    assert "no box for it" in done[0]["failure"]["message"] and "All boxes" in done[0]["failure"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"do": ["open"]},
        {"do": "open"},
        {"do": "open", "function": "not base64!"},
        {"do": "next", "call": "../../etc"},
        {"do": "add", "call": "{call}", "number": 5, "items": ""},
        {"do": "add", "call": "{call}", "number": "0", "items": ""},
        {"do": "add", "call": "{call}", "number": 0, "items": {"a": 1}},
        {"do": "explode", "call": "{call}"},
    ],
)
def test_nonsense_is_answered_with_words(fanout, body):
    call = fanout.answer({"do": "open", "function": ""})["call"]
    if body.get("call") == "{call}":
        body = {**body, "call": call}
    assert set(fanout.answer(body)) == {"error"}


def test_second_delivery_of_a_chunk_does_nothing(fanout, engine):
    call = fanout.answer({"do": "open", "function": text(b"f")})["call"]
    fanout.answer({"do": "add", "call": call, "number": 0, "items": text(b"items")})
    names = Names(str(fanout.run.pk), call)

    def writing() -> int:
        return sum("b" in each["flags"] and each["cmd"] == "set" for each in fanout.client.client_list())

    # Both at once: the other one's claim is on its way when this one looks for it, and there when this one claims.
    fanout.client.client_pause(30_000, all=False)  # what is read is answered, what is written waits in its order
    other = fanout.client.connection_pool.get_connection()
    other.send_command("SET", names.claim(0, 1), 1)
    with ThreadPoolExecutor() as pool:
        try:
            wait_for(lambda: writing() >= 1)
            this_one = pool.submit(work_on_chunk, str(fanout.run.pk), call, 0, 1)
            wait_for(lambda: writing() > 1)  # it has looked
        finally:
            fanout.client.client_unpause()
        this_one.result(PATIENCE_SECONDS)
    assert other.read_response() == b"OK"
    fanout.client.connection_pool.release(other)
    assert fanout.client.exists(names.alive(0, 1)), "the other one's sign of life"
    fanout.client.delete(names.alive(0, 1))
    work_on_chunk(str(fanout.run.pk), call, 0, 1)
    assert not fanout.client.exists(names.alive(0, 1)), "the other one is done, and who waits for that would wait on"
    assert fanout.client.llen(names.news) == 0
    fanout.client.delete(names.claim(0, 1), names.open)
    work_on_chunk(str(fanout.run.pk), call, 0, 1)  # of a call that is closed
    assert not fanout.client.exists(names.claim(0, 1))
