"""pmap() on a laptop: the results of a loop, on more than one core, whatever happens to the workers."""

from __future__ import annotations

import faulthandler
import itertools
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from qfp import ParallelError, channel, forking, montecarlo, pmap, progressing


@pytest.fixture
def sent(monkeypatch):
    """What the program would tell the page."""
    messages: list[dict] = []
    monkeypatch.setattr(channel, "emit", lambda message: messages.append(message) or True)
    return messages


def children() -> set[str]:
    """Processes this one has started and not yet waited for."""
    return {pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}


@pytest.fixture(autouse=True)
def _no_worker_is_left():
    before = children()
    yield
    assert not children() - before


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_are_those_of_a_loop_in_its_order(workers):
    offset = 7
    assert pmap(lambda x: x * x + offset, range(100), workers=workers) == [x * x + 7 for x in range(100)]
    assert pmap(str, [], workers=workers) == []
    assert pmap(str, iter([3]), workers=workers) == ["3"]


def test_work_is_done_by_several_processes():
    def where(_):
        time.sleep(0.05)
        return os.getpid()

    pids = set(pmap(where, range(8), workers=3, chunk=1))
    assert len(pids) == 3 and os.getpid() not in pids


def test_one_core_works_in_the_program_itself(monkeypatch):
    monkeypatch.setenv("QFP_CORES", "1")
    assert set(pmap(lambda _: os.getpid(), range(3))) == {os.getpid()}


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("2", 2), ("1.5", 2), ("0.5", 1)])
def test_a_box_says_how_many_cores_there_are(monkeypatch, text, number):
    monkeypatch.setenv("QFP_CORES", text)
    assert forking.cores() == number


def test_results_larger_than_a_pipe_arrive_whole():
    arrays = pmap(lambda n: np.full(300_000, n), range(6), workers=2, chunk=1)
    assert [float(array.mean()) for array in arrays] == [0, 1, 2, 3, 4, 5]


def test_results_of_local_functions_come_back_where_cloudpickle_is(in_box_environment):
    printed, _ = in_box_environment("""
from qfp import pmap
def adder(n):
    return lambda x: x + n
print([add(10) for add in pmap(adder, [1, 2, 3], workers=2)])
""")
    assert printed == "[11, 12, 13]\n"


# Mistakes


@pytest.mark.parametrize("workers", [1, 3])
def test_error_names_the_first_item_that_failed_and_where(workers):
    def reciprocal(x):
        if x == 13:
            time.sleep(0.2)  # later items fail sooner
        return 1 / (x - 13) if x < 20 else 1 / 0

    with pytest.raises(ParallelError, match="item 13, 13: ZeroDivisionError: division by zero") as caught:
        pmap(reciprocal, range(60), workers=workers, chunk=1)
    error = caught.value
    assert (error.index, error.item, error.kind) == (13, "13", "ZeroDivisionError")
    assert "in reciprocal" in error.traceback and "forking.py" not in error.traceback
    assert error.traceback in str(error.__cause__)


def test_item_in_an_error_is_cut():
    with pytest.raises(ParallelError) as caught:
        pmap(lambda x: x[None], ["x" * 10_000, "y"], workers=2)
    assert len(caught.value.item) <= 200 and len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "ended by SIGKILL"),
        (lambda: (faulthandler.disable(), os.kill(os.getpid(), signal.SIGSEGV)), "ended by SIGSEGV"),
        (lambda: os._exit(3), "exit code 3"),
    ],
)
def test_worker_that_dies_is_reported_with_its_item(end, words):
    def work(x):
        if x == 5:
            end()
        return x

    with pytest.raises(ParallelError, match=words) as caught:
        pmap(work, range(20), workers=2, chunk=4)
    assert (caught.value.index, caught.value.kind) == (5, "WorkerDied")


def test_leaving_the_program_from_an_item_is_an_error_of_that_item():
    for workers in (1, 2):
        with pytest.raises(ParallelError, match="item 2, 2: SystemExit: 4"):
            pmap(lambda x: sys.exit(4) if x == 2 else x, range(5), workers=workers)


def test_result_that_cannot_be_sent_names_its_item():
    with pytest.raises(ParallelError, match=r"item 2, 2.*of type lock, cannot be sent back"):
        pmap(lambda x: threading.Lock() if x == 2 else x, range(6), workers=2, chunk=3)


def test_error_whose_text_cannot_be_made_is_still_reported():
    class Broken(Exception):
        def __str__(self):
            raise RuntimeError("no")

    def work(x):
        raise Broken

    with pytest.raises(ParallelError, match="item 0, 0: Broken"):
        pmap(work, range(3), workers=2)


def test_interrupt_ends_the_workers(tmp_path):
    program = os.getpid()

    def work(x):
        if x == 1:
            os.kill(program, signal.SIGINT)
        time.sleep(60)
        (tmp_path / "late").touch()

    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            pmap(work, range(4), workers=2, chunk=1)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"workers": 0}, ValueError),
        ({"chunk": 1.5}, ValueError),
        ({"seed": -1}, ValueError),
        ({"where": "moon"}, ValueError),
    ],
)
def test_options_that_mean_nothing_are_refused(options, error):
    with pytest.raises(error, match=next(iter(options))):
        pmap(str, [1, 2], **options)


def test_something_that_cannot_be_called_is_refused():
    with pytest.raises(TypeError, match="must be a function, not list"):
        pmap([1, 2], [3])


# Random numbers


@pytest.mark.parametrize("options", [{"workers": 1}, {"workers": 2}, {"workers": 3, "chunk": 1}, {"chunk": 50}])
def test_a_seed_gives_the_same_numbers_however_the_work_is_divided(options):
    def with_generator(item, rng):
        return item + rng.normal()

    def with_global_state(item):
        return item + np.random.normal() + random.random()

    expected = [
        i + np.random.default_rng(child).normal() for i, child in enumerate(np.random.SeedSequence(11).spawn(40))
    ]
    assert pmap(with_generator, range(40), seed=11, **options) == expected
    assert pmap(with_global_state, range(40), seed=11, **options) == pmap(with_global_state, range(40), seed=11)
    assert pmap(with_generator, range(40), seed=12, **options) != expected


@pytest.mark.parametrize("workers", [1, 4])
def test_without_a_seed_no_two_items_draw_the_same(workers):
    assert len(set(pmap(lambda _: np.random.normal(), range(40), workers=workers))) == 40
    assert len(set(pmap(lambda _, rng: rng.normal(), range(40), workers=workers))) == 40
    assert len(set(pmap(lambda _: random.random(), range(40), workers=workers))) == 40


def test_seeding_items_leaves_the_numbers_of_the_program_alone():
    np.random.seed(5)
    expected = np.random.normal(size=2).tolist()
    np.random.seed(5)
    first = np.random.normal()
    pmap(lambda _: np.random.normal(), range(3), seed=1, workers=1)
    assert [first, np.random.normal()] == expected


# Progress, messages, nesting


@pytest.mark.parametrize("workers", [1, 2])
def test_progress_goes_to_the_end_and_messages_of_items_pass(sent, workers):
    def work(x):
        channel.emit({"type": "display", "data": {"text/plain": str(x)}})
        return list(progressing.progress(range(2))) and x

    assert pmap(work, range(10), workers=workers, progress="paths") == list(range(10))
    bars = [message for message in sent if message["type"] == "progress" and message["label"] == "paths"]
    assert bars[-1]["done"] and bars[-1]["value"] == bars[-1]["total"] == 10
    assert all(earlier["value"] <= later["value"] for earlier, later in itertools.pairwise(bars))


def test_messages_of_workers_reach_the_page_through_the_program(in_box_environment):
    printed, messages = in_box_environment("""
import os
from qfp import channel, pmap, progress
def work(x):
    print("item", x)
    channel.emit({"type": "display", "data": {"text/plain": str(x), "application/json": float("nan")}})
    for _ in progress(range(3), "inner"):
        pass
    return x
print("before")
print(pmap(work, range(30), workers=3, chunk=2, progress="outer"))
""")
    lines = printed.splitlines()
    assert lines[0] == "before" and lines[-1] == str(list(range(30)))
    assert sorted(line for line in lines if "item" in line) == sorted(f"item {x}" for x in range(30))
    assert len([m for m in messages if m["type"] == "display"]) == 30
    assert {m["label"] for m in messages if m["type"] == "progress"} == {"outer"}


def test_pmap_inside_pmap_takes_no_further_processes():
    def outer(x):
        return set(pmap(lambda _: os.getpid(), range(4), workers=4)) == {os.getpid()}

    assert pmap(outer, range(4), workers=2) == [True] * 4


def test_error_inside_an_inner_pmap_keeps_its_words():
    def outer(x):
        return pmap(lambda y: 1 / y, [1, 0])

    with pytest.raises(ParallelError, match="item 0, 'a': ParallelError: item 1, 0: ZeroDivisionError"):
        pmap(outer, ["a", "b"], workers=2)


def test_no_progress_is_said_when_none_is_wanted(sent):
    assert pmap(str, range(3), progress=False, workers=1) == ["0", "1", "2"]
    assert not sent


def test_without_room_for_processes_the_program_does_the_work(monkeypatch):
    def no_more():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", no_more)
    assert set(pmap(lambda _: os.getpid(), range(5), workers=3)) == {os.getpid()}


def test_montecarlo_is_offered_by_the_library():
    import qfp

    assert qfp.montecarlo is montecarlo and callable(qfp.pmap)
