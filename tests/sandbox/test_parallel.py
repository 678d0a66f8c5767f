"""qfp.pmap in a real box: its processes, its filter of system calls and its limits are those of every program."""

from __future__ import annotations

import pytest

from tests.sandbox.conftest import MEGABYTE


@pytest.mark.parametrize("start", [(), ("--no-zygote",)])
def test_box_uses_the_cores_it_may(make_engine, start):
    result = make_engine(*start).run(
        """
import os, time
from qfp import pmap

base = {"shift": 10}
def work(x):
    time.sleep(0.05)
    print("item", x)
    return x * x + base["shift"], os.getpid()

results = pmap(work, range(12), chunk=1, progress="squares")
print([value for value, _ in results])
print(os.environ["QFP_CORES"], len({pid for _, pid in results}), os.getpid() in {pid for _, pid in results})
""",
        cores=2,
    )
    assert result.outcome == "succeeded", result.stderr
    lines = result.stdout.splitlines()
    assert lines[-2:] == [str([x * x + 10 for x in range(12)]), "2 2 False"]
    assert sorted(lines[:-2]) == sorted(f"item {x}" for x in range(12))
    last = result.of("progress")[-1]
    assert (last["label"], last["value"], last["total"], last["done"]) == ("squares", 12, 12, True)


def test_one_core_is_the_program_itself(engine):
    result = engine.run(
        "import os\nfrom qfp import pmap\nprint(set(pmap(lambda _: os.getpid(), range(5))) == {os.getpid()})"
    )
    assert (result.outcome, result.stdout) == ("succeeded", "True\n")


def test_same_seed_gives_the_same_digits_with_one_core_and_with_two(engine):
    source = """
import numpy as np
from qfp import montecarlo, pmap
print(pmap(lambda x, rng: x + rng.normal(), range(20), seed=1))
print(pmap(lambda x: x + np.random.normal(), range(20), seed=1))
print(montecarlo.european("call", 100, 100, 0.05, 0.2, 1, paths=600_000, seed=1))
print(montecarlo.asian("call", 100, 100, 0.05, 0.2, 1, paths=40_000, steps=20, seed=1))
"""
    one, two = (engine.run(source, cores=cores) for cores in (1, 2))
    assert one.outcome == "succeeded" and one.stdout == two.stdout and one.stdout.count("\n") == 4


def test_charts_of_workers_arrive_whole(engine):
    result = engine.run(
        """
from qfp import chart, pmap, show
def work(x):
    show(chart(y=[float(x)] * 5000))
pmap(work, range(20), workers=3, chunk=1)
""",
        cores=2,
    )
    assert result.outcome == "succeeded", result.stderr
    shown = result.data("application/vnd.plotly.v1+json")
    assert sorted(figure["data"][0]["y"][0] for figure in shown) == list(range(20))
    assert all(len(figure["data"][0]["y"]) == 5000 for figure in shown)


def test_error_is_told_with_its_item_and_the_line_in_the_program(engine):
    result = engine.run(
        "from qfp import pmap\n\ndef work(x):\n    return 1 / (x - 3)\n\npmap(work, range(8))\n", cores=2
    )
    assert result.outcome == "failed"
    error = result.ended["error"]
    assert (error["name"], error["line"]) == ("ParallelError", 6)
    assert error["message"] == "item 3, 3: ZeroDivisionError: division by zero"
    assert "main.py" in result.stderr and "line 4" in result.stderr and "/opt/sdk" not in result.stderr


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("os._exit(3)", "exit code 3"),
        ("os.kill(os.getpid(), 9)", "ended by SIGKILL"),
        ("ctypes.string_at(0)", "ended by SIGSEGV"),
        ("bytearray(1_000_000_000)", "MemoryError"),
    ],
)
def test_worker_that_goes_down_does_not_hang_the_program(engine, end, words):
    result = engine.run(
        f"import ctypes, os\nfrom qfp import pmap\ndef work(x):\n    x == 5 and {end}\npmap(work, range(9), workers=2)"
    )
    assert result.outcome == "failed"
    assert "item 5, 5" in result.ended["error"]["message"] and words in result.ended["error"]["message"]


def test_memory_of_all_workers_together_is_limited(engine):
    result = engine.run(
        """
import time
from qfp import pmap
def work(x):
    held = b"x" * 150_000_000
    time.sleep(20)
pmap(work, range(4), workers=4)
""",
        memory_bytes=256 * MEGABYTE,
    )
    assert result.outcome == "out_of_memory"


def test_fewer_processes_than_workers_are_enough(engine):
    result = engine.run(
        "import os\nfrom qfp import pmap\nr = pmap(lambda x: (x, os.getpid()), range(40), workers=30, chunk=1)\n"
        "print([x for x, _ in r] == list(range(40)), len({pid for _, pid in r}) < 10)",
        processes=8,
    )
    assert (result.outcome, result.stdout) == ("succeeded", "True True\n"), result.stderr


def test_interrupt_ends_the_workers_and_the_program_goes_on(engine):
    interrupted = False

    def interrupt(box, event):
        nonlocal interrupted
        if not interrupted and event["type"] == "stdout" and "at work" in event["text"]:
            interrupted = True
            box.interrupt()

    result = engine.run(
        """
import time
from qfp import pmap
def work(x):
    print("at work", flush=True)
    time.sleep(20)
    print("late", flush=True)
try:
    pmap(work, range(4), workers=2, chunk=1)
except KeyboardInterrupt:
    print("stopped")
import os
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("no worker left")
""",
        on_event=interrupt,
    )
    assert "stopped\nno worker left\n" in result.stdout and "late" not in result.stdout


def test_cancelling_ends_the_workers_too(engine):
    result = engine.run(
        "import time\nfrom qfp import pmap\nprint(1, flush=True)\npmap(lambda x: time.sleep(60), range(4), workers=3)",
        on_event=lambda box, event: event["type"] == "stdout" and box.cancel(),
    )
    assert result.outcome == "cancelled"


def test_further_boxes_that_nobody_offers_are_refused_in_words(engine):
    result = engine.run("from qfp import pmap\npmap(str, [1, 2], where='hosts')")
    assert result.outcome == "failed"
    assert "did not answer in time" in result.ended["error"]["message"]
    assert "Leave `where` out" in result.ended["error"]["message"]
