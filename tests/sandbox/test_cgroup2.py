"""Control groups version 2 for real: the engine in the root group, in a delegated one, and in a container's.

Needs root and a version 2 hierarchy with the memory, pids and cpu controllers; `make test-cgroup2` brings a virtual
machine that has one. No figure here is about speed: an emulated processor is twenty times slower than a real one.
"""

# ruff: noqa: E501  (programs for the box read better in one line)
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.client import EngineUnavailable, _Connection
from sandbox.host.cgroups import ASIDE, CONTROLLERS_V2, GroupV2, ParentV2
from tests.sandbox.conftest import MEGABYTE, ORDINARY_UID, ROOT, Engine, make_request
from tests.sandbox.test_engine import SLEEPER, boxes_of, first_output, groups_left, wait_until

PATIENCE = 600.0
GENEROUS = {"cpu_seconds": 300, "wall_seconds": 600}

# The engine as it is, but for how long it waits: what takes a second elsewhere takes half a minute in emulation.
PATIENT = """
import dataclasses, sys
from sandbox.host import box, boxes, engine, walls, zygote
walls.START_SECONDS = zygote.START_SECONDS = 400.0
zygote.PING_SECONDS = 20.0
box.STOP_SECONDS = 10.0
boxes.TRIAL_LIMITS = dataclasses.replace(boxes.TRIAL_LIMITS, cpu_seconds=300, wall_seconds=400)
sys.exit(engine.main())
"""


def hierarchy() -> Path | None:
    """Where version 2 is mounted with the controllers a box needs."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _device, place, kind, *_ = line.split()
        if kind == "cgroup2":
            controllers = (Path(place) / "cgroup.controllers").read_text().split()
            return Path(place) if set(CONTROLLERS_V2) <= set(controllers) else None
    return None


MOUNT = hierarchy()
pytestmark = [
    pytest.mark.skipif(
        MOUNT is None, reason="no version 2 hierarchy with controllers here (make test-cgroup2 has one)"
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="makes groups in the root group: needs root"),
]


# Groups to be in


def write(path: Path, text: object) -> None:
    with path.open("w") as file:
        file.write(str(text))


def make_group(path: Path, controllers: bool = True, owner: int | None = None) -> Path:
    path.mkdir()
    if controllers:
        write(path / "cgroup.subtree_control", " ".join(f"+{name}" for name in CONTROLLERS_V2))
    if owner is not None:
        delegate(path, owner)
    return path


def delegate(path: Path, owner: int) -> None:
    """What systemd does for Delegate=yes."""
    for name in (".", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
        os.chown(path / name, owner, owner)


def remove_tree(path: Path) -> None:
    (path / "cgroup.kill").write_text("1")
    for directory in sorted((each for each in path.rglob("*") if each.is_dir()), reverse=True):
        assert wait_until(lambda directory=directory: gone(directory), 30), f"{directory} is still busy"
    assert wait_until(lambda: gone(path), 30)


def gone(group: Path) -> bool:
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def base() -> Iterator[Path]:
    """A group of the tests' own below the root group, with the controllers for its children."""
    assert MOUNT is not None
    write(MOUNT / "cgroup.subtree_control", " ".join(f"+{name}" for name in CONTROLLERS_V2))
    path = make_group(MOUNT / f"playground-tests-{os.getpid()}")
    yield path
    remove_tree(path)


def into(group: Path) -> tuple[str, ...]:
    """A command that goes on in that group; or where its processes are since an engine has moved them aside."""
    place = f"{group}/$(test -d {group}/{ASIDE} && echo {ASIDE})"
    return ("sh", "-c", f'echo $$ > {place}/cgroup.procs && exec "$@"', "sh")


def containers_view(group: Path) -> tuple[str, ...]:
    """As in a container: the group is the root of all that can be seen, and yet not the root group."""
    mount = f'umount -l {MOUNT}; mount -t cgroup2 cgroup2 {MOUNT} && exec "$@"'
    return (*into(group), "unshare", "--cgroup", "--mount", "sh", "-c", mount, "sh")


# One group, without an engine


@pytest.fixture
def parent(base: Path, request: pytest.FixtureRequest) -> Iterator[ParentV2]:
    path = make_group(base / "groups")
    yield ParentV2(path)
    remove_tree(path)


def start_in(group: GroupV2, source: str) -> subprocess.Popen[str]:
    """A program that starts when it is in the group."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.readline()\n" + source],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    group.add(process.pid)
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return process


def test_memory_is_a_sum_and_all_of_the_group_ends(parent: ParentV2) -> None:
    group = parent.make("one")
    group.limit(96 * MEGABYTE, 16, 1)
    source = (
        "import os, time\nfor _ in range(3):\n    if os.fork() == 0: break\nheld = b'x' * (40 << 20)\ntime.sleep(600)"
    )
    process = start_in(group, source)
    assert process.wait(120) == -signal.SIGKILL
    assert wait_until(lambda: not group.pids(), 30)
    assert group.usage().out_of_memory_kills >= 3
    assert group.peak_bytes() <= 96 * MEGABYTE


def test_swap_is_no_way_around_the_limit(parent: ParentV2) -> None:
    group = parent.make("one")
    group.limit(96 * MEGABYTE, 16, 1)
    swap = group.directory / "memory.swap.max"
    assert not swap.exists() or swap.read_text() == "0\n"


def test_processes_are_refused_and_counted(parent: ParentV2) -> None:
    group = parent.make("one")
    group.limit(96 * MEGABYTE, 4, 1)
    source = "import os, time\nn = 0\ntry:\n    while True:\n        if os.fork() == 0: time.sleep(600); os._exit(0)\n        n += 1\nexcept BlockingIOError: print(n, flush=True); time.sleep(600)"
    process = start_in(group, source)
    assert process.stdout is not None
    assert process.stdout.readline() == "3\n"
    assert group.usage().processes == 4
    assert group.usage().refused_processes >= 1
    group.kill()
    assert process.wait(60) == -signal.SIGKILL
    assert wait_until(lambda: not group.pids(), 30)


def test_processor_time_is_counted_and_rationed(parent: ParentV2) -> None:
    group = parent.make("one")
    group.limit(96 * MEGABYTE, 4, 0.2)
    process = start_in(group, "while True: pass")
    before, start = group.usage().cpu_seconds, time.monotonic()
    time.sleep(4)
    used, passed = group.usage().cpu_seconds - before, time.monotonic() - start
    group.kill()
    process.wait(60)
    assert 0 < used < 0.3 * passed
    assert (
        int(dict(line.split() for line in (group.directory / "cpu.stat").read_text().splitlines())["nr_throttled"]) > 0
    )


def test_the_peak_is_of_memory_that_was_held_and_not_of_files(parent: ParentV2, tmp_path: Path) -> None:
    group = parent.make("one")
    group.limit(256 * MEGABYTE, 4, 1)
    (tmp_path / "file").write_bytes(b"x" * (64 * MEGABYTE))
    source = f"held = b'x' * (48 << 20); del held\nopen({str(tmp_path / 'file')!r}, 'rb').read(1 << 20)\nprint('on', flush=True)\nimport time; time.sleep(600)"
    process = start_in(group, source)
    assert process.stdout is not None and process.stdout.readline() == "on\n"
    assert 48 * MEGABYTE < group.peak_bytes() < 96 * MEGABYTE
    assert group.usage().memory_bytes < 48 * MEGABYTE
    group.kill()
    process.wait(60)


def test_a_group_is_removed_when_its_last_process_is_gone_and_not_before(parent: ParentV2) -> None:
    group = parent.make("one")
    process = start_in(group, "import time; time.sleep(600)")
    assert group.remove() is False
    group.kill()
    process.wait(60)
    assert wait_until(group.remove, 30)
    assert not group.directory.exists()
    assert group.remove() is True, "once more does no harm"


def test_a_sweep_kills_and_removes_what_an_earlier_engine_left(parent: ParentV2) -> None:
    groups = [parent.make(f"box-{number}") for number in range(3)]
    processes = [start_in(group, "import time; time.sleep(600)") for group in groups[:2]]
    assert parent.sweep() == 3
    assert [process.wait(60) for process in processes] == [-signal.SIGKILL] * 2
    assert not any(group.directory.exists() for group in groups)


# A place for groups


FIND = """
import json, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from sandbox.host import cgroups
parent = cgroups.find_parent({name!r})
own = next(line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
print(json.dumps([parent and parent.version, str(getattr(parent, "directory", "")), own.strip()]))
"""


def find(before: tuple[str, ...], uid: int | None = None, then: str = "", name: str = "engine-x") -> list[str]:
    """What find_parent() finds for a process that was started so: version, directory, and where that process is now."""
    user = () if uid is None else ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups")
    with tempfile.TemporaryDirectory(prefix="find-") as directory:
        subprocess.run(["cp", "-r", ROOT / "sandbox", directory], check=True)
        Path(directory).chmod(0o755)
        source = FIND.format(root=directory, name=name) + then
        words = [*before, *user, "/usr/bin/python3", "-B", "-c", source]
        done = subprocess.run(words, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[0])


def test_in_the_root_group_nobody_has_to_step_aside(base: Path) -> None:
    assert MOUNT is not None
    version, directory, own = find(into(MOUNT))
    assert (version, directory, own) == ("v2", str(MOUNT / "engine-x"), "/")
    (MOUNT / "engine-x").rmdir()


@pytest.mark.parametrize("uid", [None, ORDINARY_UID])
def test_in_a_group_of_its_own_the_engine_steps_aside(base: Path, uid: int | None) -> None:
    outer = make_group(base / "service", owner=uid)
    group = make_group(outer / "inner", controllers=False, owner=uid)
    version, directory, own = find(into(group), uid)
    assert (version, directory) == ("v2", str(group / "engine-x"))
    assert own.startswith(f"/{group.relative_to(MOUNT)}/")
    remove_tree(outer)


def test_an_engine_that_is_started_again_finds_the_same_place(base: Path) -> None:
    """Its supervisor stepped aside with it, so the next engine is born there."""
    group = make_group(base / "service", controllers=False)
    again = f"""
import subprocess
print(subprocess.run([sys.executable, "-B", "-c", {FIND!r}.format(root=sys.path[0], name="engine-x")], capture_output=True, text=True).stdout)
"""
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(["cp", "-r", ROOT / "sandbox", directory], check=True)
        source = FIND.format(root=directory, name="engine-x") + again
        done = subprocess.run([*into(group), "/usr/bin/python3", "-B", "-c", source], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        first, second = [json.loads(line) for line in done.stdout.splitlines() if line]
    assert first == second
    assert first[:2] == ["v2", str(group / "engine-x")]
    remove_tree(group)


def test_a_containers_root_is_not_the_root_group(base: Path) -> None:
    assert MOUNT is not None
    group = make_group(base / "container", controllers=False)
    version, directory, own = find(containers_view(group))
    assert (version, directory) == ("v2", str(MOUNT / "engine-x"))
    assert own != "/", "a group that gives controllers to its children has no processes of its own"
    remove_tree(group)


def test_without_delegation_there_is_no_place_and_nothing_is_moved(base: Path) -> None:
    group = make_group(base / "service", controllers=False)
    version, _directory, own = find(into(group), ORDINARY_UID)
    assert version != "v2"
    assert own == f"/{group.relative_to(MOUNT)}"
    remove_tree(group)


def test_a_directory_without_its_files_is_no_delegation(base: Path) -> None:
    """Somebody changed the owner of the directory only: processes cannot be moved, and that is found out at once."""
    group = make_group(base / "service", controllers=False)
    os.chown(group, ORDINARY_UID, ORDINARY_UID)
    version, _directory, own = find(into(group), ORDINARY_UID)
    assert version != "v2"
    assert own == f"/{group.relative_to(MOUNT)}"
    assert [each.name for each in group.iterdir() if each.is_dir()] == []
    remove_tree(group)


# Engines


@pytest.fixture(scope="module", params=["root", "delegated", "container"])
def engine(base: Path, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """In the root group as root; in a delegated group as an ordinary user; as root in a container."""
    assert MOUNT is not None
    # Beside other work an emulated machine may stand still for longer than a client waits.
    patch = pytest.MonkeyPatch()
    request.addfinalizer(patch.undo)
    patch.setattr(_Connection.receive_answer, "__defaults__", (PATIENCE,))
    kind: str = request.param
    uid = ORDINARY_UID if kind == "delegated" else None
    group = base / kind
    if kind == "delegated":
        make_group(group, owner=uid)
        make_group(group / "inner", controllers=False, owner=uid)
        before = into(group / "inner")
    else:
        make_group(group, controllers=False)
        before = into(MOUNT) if kind == "root" else containers_view(group)
    with tempfile.TemporaryDirectory(prefix="boxes-") as directory:
        Path(directory).chmod(0o755)
        engine = Engine(Path(directory), uid=uid, start_with=PATIENT, before=before, patience=PATIENCE)
        yield engine
        engine.stop()
        assert groups_left(engine, "*") == []
    remove_tree(group)


def group_with(engine: Engine, condition: Callable[[Path], bool]) -> list[Path]:
    found = []
    for group in groups_left(engine, "*"):
        try:
            if condition(group):
                found.append(group)
        except OSError:
            continue  # it has just been removed
    return found


def busy_boxes(engine: Engine) -> list[Path]:
    return group_with(
        engine, lambda group: group.name.startswith("box-") and (group / "cgroup.procs").read_text() != ""
    )


def run(engine: Engine, source: str, **limits: object):
    return engine.run(source, **{**GENEROUS, **limits})


def test_the_engine_uses_version_2(engine: Engine) -> None:
    assert engine.status["cgroups"] == "v2"
    assert not [weakness for weakness in engine.status["weaknesses"] if "control groups" in weakness]
    assert (groups_left(engine, "*")[0].parent / "cgroup.procs").read_text() == ""
    zygote = next(group for group in groups_left(engine, "*") if group.name == "zygote")
    assert str(engine.client.status()["zygote"]["pid"]) in (zygote / "cgroup.procs").read_text().split()


def test_boxes_start_as_forks_and_stand_ready_each_in_a_group(engine: Engine) -> None:
    first = run(engine, "print(6 * 7)")
    assert (first.outcome, first.stdout) == ("succeeded", "42\n"), first.events
    assert first.ended["start"] in ("fork", "ready")
    assert first.ended["cpu_seconds"] > 0
    assert wait_until(lambda: engine.client.status()["ready_boxes"] > 0, 120)
    assert busy_boxes(engine), "a ready box is in its group"
    assert run(engine, "print(1)").ended["start"] == "ready"


def test_a_sum_of_memory_ends_the_box_and_names_the_limit(engine: Engine) -> None:
    source = "import os, time\nfor _ in range(10):\n    if os.fork() == 0:\n        held = bytearray(b'x' * (100 << 20)); time.sleep(500)\ntime.sleep(500)"
    result = run(engine, source)
    assert result.outcome == "out_of_memory", result.events
    assert result.ended["limit"] == {"name": "memory_bytes", "value": 256 * MEGABYTE}
    assert run(engine, "print(1)").stdout == "1\n", "nobody else was hit"


def test_a_memory_error_names_its_line(engine: Engine) -> None:
    result = run(engine, "kept = []\nwhile True: kept.append(b'x' * (8 << 20))")
    assert result.outcome == "out_of_memory", result.events
    assert "MemoryError" in result.stderr
    assert result.ended["error"]["line"] == 2


def test_a_fork_bomb_is_refused(engine: Engine) -> None:
    source = "import os, time\nn = 0\ntry:\n    while True:\n        if os.fork() == 0: time.sleep(500); os._exit(0)\n        n += 1\nexcept BlockingIOError: time.sleep(1); print('stopped at', n)"
    result = run(engine, source)
    assert (result.outcome, result.stdout) == ("succeeded", "stopped at 31\n"), result.events
    assert result.notices() == ["processes"]


def test_an_endless_loop_in_many_processes_meets_the_processor_limit(engine: Engine) -> None:
    source = "import os\nfor _ in range(3):\n    if os.fork() == 0:\n        while True: pass\nos.wait()"
    result = run(engine, source, cpu_seconds=3)
    assert result.outcome == "timed_out", result.events
    assert result.ended["limit"] == {"name": "cpu_seconds", "value": 3}


def test_a_box_gets_the_share_of_a_core_it_was_promised(engine: Engine) -> None:
    source = "import time\nstart, used = time.monotonic(), time.process_time()\nwhile time.monotonic() < start + 5: pass\nprint((time.process_time() - used) / (time.monotonic() - start))"
    result = run(engine, source, cores=0.2)
    assert result.outcome == "succeeded", result.events
    assert float(result.stdout) < 0.3


def test_the_peak_of_memory_is_told(engine: Engine) -> None:
    result = run(engine, "held = b'x' * (100 << 20); del held")
    assert result.outcome == "succeeded", result.events
    assert 100 * MEGABYTE < result.ended["peak_memory_bytes"] < 200 * MEGABYTE


def test_cancelling_ends_every_process_and_removes_the_group(engine: Engine) -> None:
    seen: list[Path] = []

    def cancel(box, event) -> None:
        if event["type"] == "stdout":
            seen.extend(group for group in busy_boxes(engine) if len((group / "cgroup.procs").read_text().split()) == 3)
            box.cancel()

    source = "import os, time\nif os.fork() == 0: os.setsid(); time.sleep(500)\n" + SLEEPER
    result = run(engine, source, on_event=cancel)
    assert result.outcome == "cancelled", result.events
    assert len(seen) == 1, "init, the program and its child are in one group"
    assert wait_until(lambda: not seen[0].exists(), 60)


def test_without_its_zygote_a_box_starts_cold_under_the_same_limits(engine: Engine) -> None:
    pid = engine.client.status()["zygote"]["pid"]
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: engine.client.status()["zygote"]["pid"] != pid, 60)
    result = run(engine, "print(1)", disk_bytes=2 << 20)
    assert (result.outcome, result.ended["start"]) == ("succeeded", "cold"), result.events
    source = "import os, time\nfor _ in range(10):\n    if os.fork() == 0:\n        held = bytearray(b'x' * (100 << 20)); time.sleep(500)\ntime.sleep(500)"
    assert run(engine, source, disk_bytes=3 << 20).outcome == "out_of_memory"
    engine.wait_for_zygote()


def test_a_killed_engine_leaves_nothing_running_and_the_next_one_cleans_up(
    engine: Engine, base: Path, request: pytest.FixtureRequest
) -> None:
    box = engine.client.start(make_request(SLEEPER, **GENEROUS))
    first_output(box)
    pids, left = boxes_of(engine), groups_left(engine, "*")
    assert pids and left
    engine.process.kill()
    engine.process.wait()
    with pytest.raises(EngineUnavailable):
        list(box.events())
    assert wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 60)
    assert wait_until(lambda: not group_with(engine, lambda group: (group / "cgroup.procs").read_text() != ""), 60)
    if request.node.callspec.params["engine"] == "container":  # one that is started again has a new group
        remove_tree(base / "container")
        make_group(base / "container", controllers=False)
    engine.start()
    assert run(engine, "print(1)").outcome == "succeeded"
    assert wait_until(lambda: not group_with(engine, lambda group: (group / "cgroup.procs").read_text() == ""), 120)
