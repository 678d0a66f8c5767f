"""The daemon: who may ask, how many at once, and that nothing of a box outlives its client, its engine or itself."""

# ruff: noqa: E501  (programs for the box read better in one line)
from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

import pytest

from sandbox import client as clients
from sandbox.client import BoxRefused, EngineClient, EngineUnavailable
from sandbox.protocol import OTHER_RELEASE, PROTOCOL, encode_frame
from tests.sandbox.conftest import ENVIRONMENT, ORDINARY_UID, Engine, make_request

SLEEPER = "print('on', flush=True)\nimport time\ntime.sleep(60)"


def boxes_of(engine: Engine) -> list[int]:
    """Processes of boxes with a program, below this engine, and the nsjails around cold ones."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            name, words = (directory / "comm").read_text().strip(), (directory / "cmdline").read_text()
            ours = "/opt/inside/qfp_inside/" in words and _below(int(directory.name), engine)
            if ours and (name.startswith("box ") or (name == "nsjail" and "init.py" in words)):
                found.append(int(directory.name))
        except (OSError, ValueError):
            continue
    return found


def _below(pid: int, engine: Engine) -> bool:
    while pid > 1:
        if pid == engine.process.pid:
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return False


def wait_until(condition, seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def first_output(box) -> str:
    return next(event["text"] for event in box.events() if event is not None and event["type"] == "stdout")


def test_status_says_what_there_is(engine: Engine) -> None:
    status = engine.client.status()
    assert status["ready"] is True
    assert status["reason"] == ""
    assert isinstance(status["weaknesses"], list)
    assert wait_until(lambda: engine.client.status()["boxes"] == 0)


def test_no_engine_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="does not answer"):
        EngineClient(tmp_path / "nobody.sock").status()


def test_a_lost_client_ends_its_box(engine: Engine) -> None:
    box = engine.client.start(make_request(SLEEPER))
    first_output(box)
    assert boxes_of(engine)
    box.close()
    assert wait_until(lambda: not boxes_of(engine))
    assert wait_until(lambda: engine.client.status()["boxes"] == 0)


def test_a_killed_engine_takes_its_boxes_along_and_the_next_one_cleans_up(make_engine) -> None:
    engine = make_engine()
    box = engine.client.start(make_request("import os\nos.setsid() if os.fork() == 0 else None\n" + SLEEPER))
    first_output(box)
    pids = boxes_of(engine)
    assert pids
    engine.process.send_signal(signal.SIGKILL)
    engine.process.wait()
    with pytest.raises(EngineUnavailable):
        list(box.events())
    assert wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    engine.start()
    assert engine.run("print(1)").outcome == "succeeded"
    # What is there now are the new engine's own ready boxes, with somebody in them.
    assert wait_until(lambda: not any(is_empty(group) for group in groups_left(engine, "box-*")))


def is_empty(group: Path) -> bool:
    try:
        return not (group / "cgroup.procs").read_text()
    except OSError:
        return False  # it has just been removed


def groups_left(engine: Engine, name: str) -> list[Path]:
    import hashlib

    parent = "playground-" + hashlib.sha256(os.fsencode(engine.state.resolve())).hexdigest()[:10]
    found = []
    # Below each controller, or wherever the engine was started. (Not rglob, which fails when a group goes meanwhile.)
    for place, directories, _ in os.walk("/sys/fs/cgroup"):
        if Path(place).name == parent:
            found += [Path(place) / directory for directory in directories if fnmatch(directory, name)]
            directories.clear()
    return found


def test_terminating_the_engine_leaves_nothing(make_engine) -> None:
    engine = make_engine()
    box = engine.client.start(make_request(SLEEPER))
    first_output(box)
    pids = boxes_of(engine)
    engine.stop()
    assert engine.process.returncode == 0
    assert not engine.socket.exists()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not groups_left(engine, "*")
    box.close()


def test_a_killed_nsjail_is_our_failure_and_not_the_users(make_engine) -> None:
    engine = make_engine("--no-zygote")

    def kill(box, event) -> None:
        if event["type"] == "stdout":
            for pid in boxes_of(engine):
                with suppress(FileNotFoundError, ProcessLookupError):  # it ends with the one that is killed
                    if "nsjail" in Path(f"/proc/{pid}/comm").read_text():
                        os.kill(pid, signal.SIGKILL)

    result = engine.run(SLEEPER, on_event=kill)
    assert result.outcome == "crashed"


def test_only_the_same_user_and_root_may_ask(engine: Engine) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs a second user")
    code = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({str(engine.socket)!r}); print(s.recv(10))"
    words = [
        "setpriv",
        f"--reuid={ORDINARY_UID}",
        f"--regid={ORDINARY_UID}",
        "--clear-groups",
        "/usr/bin/python3",
        "-c",
        code,
    ]
    assert "PermissionError" in subprocess.run(words, capture_output=True, text=True).stderr
    engine.socket.chmod(0o666)  # even where the file would let them in
    try:
        assert "b''" in subprocess.run(words, capture_output=True, text=True).stdout
    finally:
        engine.socket.chmod(0o600)


def test_nonsense_on_the_socket_harms_nobody(engine: Engine) -> None:
    frames = [
        b"\xff\xff\xff\xffx",
        b"\0\0\0\x03abc",
        b"GET / HTTP/1.1\r\n\r\n",
        encode_frame({"op": "reboot", "protocol": PROTOCOL}),
    ]
    for data in frames:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(engine.socket))
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(100) == b""
    assert engine.run("print(1)").outcome == "succeeded"


@pytest.mark.parametrize(
    "change", [{"entry": "other.py"}, {"files": {"../x": ""}}, {"snapshot": "../../etc"}, {"extra": 1}]
)
def test_a_malformed_request_is_refused(engine: Engine, change: dict) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(engine.socket))
        request = {**make_request("1").to_json(), **change}
        connection.sendall(encode_frame({"op": "start", "request": request, "protocol": PROTOCOL}))
        assert b"This program cannot be run" in connection.recv(4000)


def test_an_engine_of_another_release_runs_nothing_and_both_sides_say_what_to_do(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = socket.socket(socket.AF_UNIX)  # knew nothing of releases, and takes whatever comes
    older.bind(str(tmp_path / "older.sock"))
    older.listen()

    def take() -> None:
        connection, _ = older.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(encode_frame({"type": "accepted"}))

    with older, pytest.raises(BoxRefused, match="different releases"):
        threading.Thread(target=take).start()
        EngineClient(tmp_path / "older.sock").start(make_request("1"))

    monkeypatch.setattr(clients, "PROTOCOL", "another")
    status = engine.client.status()
    assert (status["ready"], status["reason"]) == (False, OTHER_RELEASE)
    with pytest.raises(BoxRefused, match="restart both"):
        engine.client.open_session(make_request("1"), 60, 1)
    monkeypatch.undo()
    assert engine.client.status()["ready"]


def test_a_snapshot_that_is_not_there_is_refused(engine: Engine) -> None:
    with pytest.raises(BoxRefused, match="market data"):
        engine.client.start(make_request("1", snapshot="0" * 64))


def test_a_snapshot_that_is_in_the_archive_is_refused(engine: Engine) -> None:
    folder = engine.store / "snapshots" / ("f" * 64)
    folder.mkdir(parents=True)
    (folder / "archived").touch()
    with pytest.raises(BoxRefused, match="out of the archive"):
        engine.client.start(make_request("1", snapshot=folder.name))


def test_a_snapshot_is_all_the_box_sees_of_the_store(engine: Engine) -> None:
    for name in ("a" * 64, "b" * 64):
        (engine.store / "snapshots" / name).mkdir(parents=True, exist_ok=True)
        (engine.store / "snapshots" / name / "manifest.json").write_text(name[0])
    source = "import os\nprint(os.listdir('/data'), open('/data/manifest.json').read())\nopen('/data/x', 'w')"
    result = engine.run(source, snapshot="a" * 64)
    assert result.stdout == "['manifest.json'] a\n"
    assert result.ended["error"]["name"] in ("OSError", "PermissionError")


PACKAGED = """
import importlib.util, os
sample = importlib.util.find_spec("backtesting").submodule_search_locations[0] + "/test/GOOG.csv"
for path in (sample, "/opt/layer/priced.csv"):
    print(open(path).read(5), os.statvfs(path).f_flag & os.ST_RDONLY)
"""


@pytest.mark.parametrize("start", ["fork", "cold"])
def test_tables_of_packages_are_others_with_a_snapshot_that_has_some(engine: Engine, start: str) -> None:
    name = ("8" if start == "fork" else "9") * 64
    layer, others = engine.state / "layers" / name, engine.store / "tables" / name / "env"
    layer.mkdir(parents=True)
    (layer / "priced.csv").write_text("ours,")
    if start == "cold":
        (layer / "overrides").write_text("")
    (engine.store / "snapshots" / name).mkdir(parents=True)
    assert engine.run(PACKAGED, snapshot=name, layer=name).stdout.split() == [",Open", "1", "ours,", "1"]
    (sample,) = ENVIRONMENT.glob("lib/python3*/site-packages/backtesting/test/GOOG.csv")
    for path in (others / sample.relative_to(ENVIRONMENT), others.with_name("layer") / "priced.csv"):
        path.parent.mkdir(parents=True)
        path.write_text("other")
    result = engine.run(PACKAGED, snapshot=name, layer=name)
    assert result.stdout.split() == ["other", "1", "other", "1"], result.stderr
    assert result.ended["start"] == start


def test_a_second_engine_with_the_same_directory_does_not_start(engine: Engine) -> None:
    words = [*engine.words]
    words[words.index("--socket") + 1] = str(engine.directory / "second.sock")
    second = subprocess.run(words, cwd=engine._root, env=engine._variables, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert "Another engine" in second.stderr


def test_more_programs_than_places_wait_their_turn(make_engine) -> None:
    engine = make_engine("--no-zygote", "--max-boxes", "2", "--per-owner", "2")
    most, results = 0, []

    def run() -> None:
        results.append(engine.run("import time\ntime.sleep(.4)\nprint(1)"))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        most = max(most, engine.client.status()["boxes"])
        time.sleep(0.05)
    assert [result.outcome for result in results] == ["succeeded"] * 6
    assert most == 2


def test_who_waits_for_a_place_can_be_stopped_at_once_and_told_why_there_is_none(make_engine) -> None:
    hasty = "import sys\nfrom sandbox.host import engine\nengine.QUEUE_SECONDS = 3.0\nsys.exit(engine.main())"
    engine = make_engine("--no-zygote", "--max-boxes", "1", start_with=hasty)
    first = engine.client.start(make_request(SLEEPER))
    first_output(first)
    waiting = engine.client.start(make_request("print(1)"))
    waiting.cancel()
    assert [event["outcome"] for event in waiting.events() if event] == ["cancelled"]
    (told,) = [event for event in engine.client.start(make_request("print(1)")).events() if event]
    assert told["outcome"] == "crashed"
    assert "programs of yours are running" in told["refused"]
    first.close()
    assert wait_until(lambda: engine.client.status()["boxes"] == 0)
    assert engine.run("print(1)").outcome == "succeeded"


def test_without_control_groups_the_limits_hold_and_the_weakness_is_said(make_engine) -> None:
    engine = make_engine("--no-cgroups")
    assert any("control groups" in weakness for weakness in engine.status["weaknesses"])
    assert engine.run("while True: pass", cpu_seconds=1).outcome == "timed_out"
    assert engine.run("kept = []\nwhile True: kept.append(b'x' * (8 << 20))").outcome == "out_of_memory"
    forks = "import os, time\nfor _ in range(10):\n    if os.fork() == 0: held = b'x' * (60 << 20); time.sleep(20)\ntime.sleep(20)"
    assert engine.run(forks).outcome == "out_of_memory"
    bomb = "import os, time\nn = 0\ntry:\n    while n < 500:\n        if os.fork() == 0: time.sleep(9); os._exit(0)\n        n += 1\nexcept OSError: time.sleep(.5)\nprint(n)"
    result = engine.run(bomb)
    assert int(result.stdout) < 40
    assert result.notices() == ["processes"]
