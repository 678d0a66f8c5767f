"""What breaks on a machine, broken for real: processes of the engine killed and stopped, clocks moved, everything used up.

Programs that run meanwhile end with the right outcome, others start all the same or are refused with the reason, and
afterwards everything is as before.
"""

# ruff: noqa: E501  (programs for the box read better in one line)
from __future__ import annotations

import os
import resource
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.client import BoxRefused, EngineUnavailable
from sandbox.host.processes import descendants
from tests.moving_clock import Clock
from tests.sandbox import soak
from tests.sandbox.conftest import Engine, Result
from tests.sandbox.test_engine import boxes_of, wait_until

SLOW = "import time\nprint('on', flush=True)\ntime.sleep(2)\nprint('end')"
PATIENCE = 60.0  # a zygote loads in 2 s, and in much more where others work


class Running:
    """A program in a box, while something is done to the engine."""

    def __init__(self, engine: Engine, source: str = SLOW, **limits: Any) -> None:
        self.result = Result()
        self.lost: EngineUnavailable | None = None
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(engine, source, limits))
        self._thread.start()
        assert self._begun.wait(30)

    def _run(self, engine: Engine, source: str, limits: dict[str, Any]) -> None:
        try:
            self.result = engine.run(source, on_event=self._on_event, **limits)
        except EngineUnavailable as error:
            self.lost = error

    def _on_event(self, box: Any, event: dict[str, Any]) -> None:
        if event["type"] == "stdout":
            self._begun.set()

    def end(self) -> Result:
        self._thread.join()
        return self.result


def zygote(engine: Engine) -> dict[str, Any]:
    return engine.client.status()["zygote"]


def wait_for_another(engine: Engine, pid: int) -> None:
    assert wait_until(lambda: zygote(engine)["state"] == "ready" and zygote(engine)["pid"] != pid, PATIENCE), zygote(
        engine
    )


@pytest.fixture(scope="module")
def forking() -> Iterator[Engine]:
    """For faults after which the same engine goes on."""
    with tempfile.TemporaryDirectory(prefix="boxes-") as name:
        Path(name).chmod(0o755)
        engine = Engine(Path(name), "--ready", "0", libraries=False)
        yield engine
        engine.stop()


@pytest.fixture(params=["cold_engine", "forking"])
def either(request: pytest.FixtureRequest) -> Engine:
    return request.getfixturevalue(request.param)


def is_empty(group: Path) -> bool:
    try:
        return not (group / "cgroup.procs").read_text()
    except OSError:
        return False  # it is gone


# The zygote


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_zygote_costs_nobody_a_run(make_engine, sign: signal.Signals) -> None:
    engine = make_engine("--ready", "0")
    before, first = soak.quiet(engine), zygote(engine)
    running = Running(engine)
    os.kill(first["pid"], sign)
    meanwhile = engine.run("print('all the same')")
    assert (meanwhile.outcome, meanwhile.stdout) == ("succeeded", "all the same\n")
    assert meanwhile.ended["start"] == "cold"
    assert running.end().stdout == "on\nend\n"
    wait_for_another(engine, first["pid"])
    assert engine.run("print(1)").ended["start"] == "fork"
    assert not soak.settled(engine, before)


def test_a_zygote_that_hangs_is_found_and_replaced(make_engine) -> None:
    engine = make_engine("--ready", "0")
    before, first = soak.quiet(engine), zygote(engine)
    running = Running(engine)
    os.kill(first["pid"], signal.SIGSTOP)
    meanwhile = engine.run("print('all the same')")
    assert (meanwhile.outcome, meanwhile.stdout) == ("succeeded", "all the same\n")
    assert meanwhile.ended["start"] == "cold"
    assert running.end().stdout == "on\nend\n"
    wait_for_another(engine, first["pid"])
    assert not Path(f"/proc/{first['pid']}").exists()
    assert engine.run("print(1)").ended["start"] == "fork"
    assert not soak.settled(engine, before)


def test_a_keeper_that_hangs_is_found_and_used_again_when_it_goes_on(make_engine) -> None:
    engine = make_engine("--ready", "0")
    before, first = soak.quiet(engine), zygote(engine)
    running = Running(engine)
    keeper = int(Path(f"/proc/{first['pid']}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(keeper, signal.SIGSTOP)
    try:
        meanwhile = engine.run("print('all the same')")
        assert (meanwhile.outcome, meanwhile.ended["start"]) == ("succeeded", "cold")
        assert wait_until(lambda: zygote(engine)["state"] == "keeper hangs", PATIENCE)
    finally:
        os.kill(keeper, signal.SIGCONT)
    assert running.end().stdout == "on\nend\n"
    assert wait_until(lambda: zygote(engine)["state"] == "ready", PATIENCE)
    assert engine.run("print(1)").ended["start"] == "fork" and zygote(engine)["pid"] == first["pid"]
    assert not soak.settled(engine, before)


def test_ready_boxes_serve_while_there_is_no_zygote(make_engine) -> None:
    engine = make_engine("--ready", "1")
    engine.run("print(1)")  # boxes are made ready for programs like the last one
    assert wait_until(lambda: engine.client.status()["ready_boxes"] == 1, PATIENCE)
    pid = zygote(engine)["pid"]
    os.kill(pid, signal.SIGKILL)
    assert engine.run("print(1)").outcome == "succeeded"
    assert engine.run("print(1)", disk_bytes=3 << 20).outcome == "succeeded"  # cold, and a demand all the same
    wait_for_another(engine, pid)
    assert wait_until(lambda: engine.client.status()["ready_boxes"] == 1, PATIENCE)
    assert engine.run("print(1)", disk_bytes=3 << 20).ended["start"] == "ready"


def test_a_zygote_that_dies_again_and_again_is_given_longer_and_longer_pauses(make_engine) -> None:
    engine = make_engine("--ready", "0")
    seen = set()
    for _ in range(3):  # pauses of one, two and five seconds
        assert wait_until(lambda: zygote(engine)["state"] == "ready", PATIENCE)
        os.kill(zygote(engine)["pid"], signal.SIGKILL)
        wait_until(lambda: seen.add(state := zygote(engine)["state"]) or state != "ready")
        wait_until(lambda: seen.add(state := zygote(engine)["state"]) or state in ("backing off", "ready"))
        assert engine.run("print(1)").outcome == "succeeded"
    assert "backing off" in seen
    assert wait_until(lambda: zygote(engine)["state"] == "ready", PATIENCE)


def test_the_end_of_the_zygotes_jail_is_our_failure_and_the_next_run_does_not_notice(make_engine) -> None:
    engine = make_engine("--ready", "0")
    before, first = soak.quiet(engine), zygote(engine)
    running = Running(engine)
    jail = next(
        pid for pid in descendants(engine.process.pid)[1:] if Path(f"/proc/{pid}/comm").read_text() == "nsjail\n"
    )
    os.kill(jail, signal.SIGKILL)
    result = running.end()
    assert result.outcome == "crashed"
    assert engine.run("print(1)").outcome == "succeeded"
    wait_for_another(engine, first["pid"])
    assert engine.run("print(1)").ended["start"] == "fork"
    assert not soak.settled(engine, before)


def test_a_box_whose_process_1_is_killed_has_crashed_and_leaves_nothing(either: Engine) -> None:
    engine = either
    before = soak.quiet(engine)
    running = Running(engine, "import os\nif os.fork() == 0: os.setsid()\n" + SLOW)
    init = next(pid for pid in boxes_of(engine) if Path(f"/proc/{pid}/comm").read_text().startswith("box init"))
    os.kill(init, signal.SIGKILL)
    assert running.end().outcome == "crashed"
    assert not soak.settled(engine, before)


def test_everything_at_once_and_again(make_engine) -> None:
    engine = make_engine("--ready", "1")
    running = Running(engine)
    below, groups = descendants(engine.process.pid), soak.groups(engine)
    for pid in below:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    engine.process.wait()
    running.end()
    assert running.lost is not None
    assert wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below))
    engine.start()
    assert engine.run("print(1)").outcome == "succeeded"
    # Of the boxes before; those of the new engine, which have the same names, come and go.
    assert wait_until(lambda: not [group for group in groups if is_empty(group)])


# The clock


@pytest.mark.parametrize("options", [("--no-zygote",), ("--ready", "0")], ids=("cold", "fork"))
def test_a_jump_of_the_clock_ends_no_run_early(make_engine, clock: Clock, options: tuple[str, ...]) -> None:
    engine = make_engine(*options, extra=clock.variables)
    assert "clock.so" in Path(f"/proc/{engine.process.pid}/maps").read_text()
    for jump in (3600, -3600, 86_400):
        clock.set(0)
        running = Running(engine, "import time\nprint('on', flush=True)\ntime.sleep(1)", wall_seconds=30)
        clock.set(jump)
        result = running.end()
        assert result.outcome == "succeeded", (jump, result.ended)
        assert 1 <= result.ended["wall_seconds"] < 30
        times = [event["t"] for event in result.events]
        assert times == sorted(times)


def test_a_jump_of_the_clock_ends_no_run_late(make_engine, clock: Clock) -> None:
    engine = make_engine("--no-zygote", extra=clock.variables)
    running = Running(engine, "print('on', flush=True)\nimport time\ntime.sleep(60)", wall_seconds=2)
    clock.set(-3600)
    result = running.end()
    assert result.outcome == "timed_out"
    assert 2 <= result.ended["wall_seconds"] < 60, "not the program's own end"


# What the machine has not enough of


def test_boxes_are_the_first_to_go_when_the_machine_has_no_memory(either: Engine) -> None:
    engine = either
    running = Running(engine)
    own = int(Path(f"/proc/{engine.process.pid}/oom_score_adj").read_text())
    scores = {int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in descendants(engine.process.pid)[1:]}
    running.end()
    assert min(scores) >= 600 > own


def test_an_engine_without_descriptors_refuses_with_the_reason_and_recovers(forking: Engine) -> None:
    engine = forking
    before = soak.quiet(engine)
    usual = resource.prlimit(engine.process.pid, resource.RLIMIT_NOFILE)
    refused = 0
    for spare in range(1, 16):
        highest = max(map(int, os.listdir(f"/proc/{engine.process.pid}/fd")))
        resource.prlimit(engine.process.pid, resource.RLIMIT_NOFILE, (highest + 1 + spare, usual[1]))
        try:
            assert engine.run("print(1)").outcome == "succeeded"
        except BoxRefused as refusal:
            assert "Too many open files" in refusal.reason and "Try again" in refusal.reason
            refused += 1
    resource.prlimit(engine.process.pid, resource.RLIMIT_NOFILE, usual)
    assert refused >= 3
    assert engine.run("print(1)").stdout == "1\n"
    assert not soak.settled(engine, before)


def test_a_machine_without_processes_refuses_with_the_reason_and_recovers(forking: Engine) -> None:
    engine = forking
    parent = next((group.parent for group in soak.groups(engine) if "pids" in str(group)), None)
    if parent is None or not (parent / "pids.max").exists():
        pytest.skip("needs a control group of processes around the boxes")
    before = soak.quiet(engine)
    # Whatever starts in the groups of boxes is one too many; nsjail itself starts outside of them.
    (parent / "pids.max").write_text((parent / "pids.current").read_text())
    try:
        with pytest.raises(BoxRefused, match="Try again"):
            engine.run("print(1)")
    finally:
        (parent / "pids.max").write_text("max")
    assert engine.run("print(1)").stdout == "1\n"
    assert not soak.settled(engine, before)


WITHOUT_GROUPS = """
import errno, os, sys
from sandbox.host import cgroups, engine
for kind in (cgroups.ParentV1, cgroups.ParentV2):
    def make(self, name, kept=kind.make):
        if os.path.exists(FULL):
            raise OSError(errno.ENOSPC, "No space left on device")
        return kept(self, name)
    kind.make = make
sys.exit(engine.main())
"""


def test_a_machine_without_control_groups_left_refuses_with_the_reason_and_recovers(
    make_engine, tmp_path: Path
) -> None:
    full = tmp_path / "full"
    engine = make_engine("--ready", "0", start_with=WITHOUT_GROUPS.replace("FULL", repr(str(full))))
    if engine.status["cgroups"] == "none":
        pytest.skip("there are no control groups to run out of")
    before = soak.quiet(engine)
    full.touch()
    for _ in range(5):
        with pytest.raises(BoxRefused, match="No space left on device"):
            engine.run("print(1)")
    full.unlink()
    assert engine.run("print(1)").stdout == "1\n"
    assert not soak.settled(engine, before)


@pytest.mark.parametrize("options", [("--ready", "0"), ("--no-zygote",)], ids=["fork", "cold"])
def test_a_disk_without_inodes_costs_nobody_a_run(options: tuple[str, ...]) -> None:
    """What a box writes is in memory of its own, so the engine's own disk may be full."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to make a small disk")
    with tempfile.TemporaryDirectory(prefix="boxes-") as name:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=200,mode=755", "none", name], check=True)
        try:
            engine = Engine(Path(name), *options, libraries=False)
            before = soak.quiet(engine)
            with pytest.raises(OSError, match="No space left"):
                for number in range(1000):
                    (Path(name) / f"file{number}").touch()
            assert engine.run("open('mine', 'w').write('x'); print(1)").stdout == "1\n"
            assert not soak.settled(engine, before)
            engine.stop()
        finally:
            subprocess.run(["umount", "--lazy", name], check=True)
