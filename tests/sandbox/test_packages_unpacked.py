"""Wheels become layers: nothing leaves the target, nothing is executed, everything has its hash; layers come and go."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.host.layers import Layers
from sandbox.host.locks import Lock, Locked
from sandbox.host.package_rules import IndexUnavailable, PackageRefused
from sandbox.host.packages import Packages
from sandbox.host.requirements import requirements_of
from sandbox.host.wheels import Unpacked, unpack
from tests.sandbox.index_server import IndexServer, make_wheel


def unpacked(tmp_path: Path, file: tuple[str, bytes], most_bytes: int = 10**8, most_files: int = 1000) -> Path:
    wheel, target = tmp_path / file[0], tmp_path / "layer"
    wheel.write_bytes(file[1])
    target.mkdir(exist_ok=True)
    unpack(wheel, "thing", target, Unpacked(most_bytes, most_files, lambda: None))
    return target


def refusal(tmp_path: Path, file: tuple[str, bytes], **caps: int) -> str:
    with pytest.raises(PackageRefused) as caught:
        unpacked(tmp_path, file, **caps)
    assert caught.value.package == "thing"
    return caught.value.reason


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_wheel_becomes_modules_without_scripts_start_code_and_foreign_bytecode(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "thing/__init__.py": "x = 1\n",
        "thing/data.json": "{}",
        "thing/__pycache__/__init__.cpython-311.pyc": b"evil",
        "thing.pth": "import os; os.system('touch /tmp/evil')\n",
        "sitecustomize.py": "raise SystemExit\n",
        "thing-1.0.data/scripts/thing": "#!python\n",
        "thing-1.0.data/data/etc/thing.conf": "",
        "thing-1.0.data/platlib/extra/__init__.py": "y = 2\n",
    }
    target = unpacked(tmp_path, make_wheel("thing", "1.0", files))
    kept = {path for path in tree(target) if ".dist-info" not in path}
    assert kept == {"thing/__init__.py", "thing/data.json", "extra/__init__.py"}


def test_every_uid_can_read_it_whatever_the_umask_is(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        target = unpacked(tmp_path, make_wheel("thing", "1.0", {"thing/a/b.py": ""}))
    finally:
        os.umask(before)
    assert (target / "thing").stat().st_mode & 0o777 == 0o755
    assert (target / "thing/a/b.py").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    "path",
    ["../evil.py", "/etc/evil.py", "thing/../../evil.py", "thing\\..\\evil.py", "C:/evil.py", "a\nb.py", "./a.py"],
)
def test_no_path_leaves_the_target(tmp_path: Path, path: str) -> None:
    wheel = make_wheel("thing", "1.0", {"thing.py": "", path: "evil"})
    before = set(tmp_path.rglob("*"))
    assert "written elsewhere" in refusal(tmp_path, wheel)
    assert {found.name for found in set(tmp_path.rglob("*")) - before} == {"layer", wheel[0]}


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    for mode in (0o120777, 0o020666, 0o010666):
        wheel = make_wheel("thing", "1.0", {"thing/link": "/etc/passwd"}, modes={"thing/link": mode})
        assert "a link or a device" in refusal(tmp_path, wheel)


def test_a_file_outside_the_record_and_one_with_another_hash_are_refused(tmp_path: Path) -> None:
    assert "not in its record" in refusal(
        tmp_path, make_wheel("thing", "1.0", {"thing.py": ""}, outside_record={"more.py": b"evil"})
    )
    assert "hash of its record" in refusal(
        tmp_path, make_wheel("thing", "1.0", {"thing.py": "x"}, wrong_hash_of="thing.py")
    )


def test_an_archive_that_is_none_is_refused(tmp_path: Path) -> None:
    name, body = make_wheel("thing", "1.0", {"thing.py": "x = 1\n" * 1000})
    assert "not a zip archive" in refusal(tmp_path, (name, b"PK\x03\x04 no"))
    assert "not sound" in refusal(tmp_path, (name, body[:30] + b"\0" * 40 + body[70:]))
    assert "cannot be read" in refusal(tmp_path, (name, body[200:]))


def test_a_bomb_is_counted_as_it_is_unpacked(tmp_path: Path) -> None:
    bomb = make_wheel("thing", "1.0", {"thing/zeros.bin": b"\0" * 50_000_000})
    assert len(bomb[1]) < 100_000
    assert "may take 1.0 MB in all" in refusal(tmp_path, bomb, most_bytes=1_000_000)
    assert sum(path.stat().st_size for path in (tmp_path / "layer").rglob("*") if path.is_file()) < 3_000_000
    crowd = make_wheel("thing", "1.0", {f"thing/{number}.py": "" for number in range(300)})
    assert "too many files" in refusal(tmp_path, crowd, most_files=100)


def test_a_huge_table_of_contents_is_refused_before_it_is_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(70_000):
            archive.writestr(zipfile.ZipInfo(f"{'d' * 200}/{number}"), b"")
    assert "table of contents" in refusal(tmp_path, ("thing-1.0-py3-none-any.whl", buffer.getvalue()))


# Layers


@pytest.fixture
def index() -> Iterator[IndexServer]:
    server = IndexServer().start()
    server.add_package("helper-thing", {"helper_thing.py": "y = 2\n"})
    server.add_package("honest-thing", {"honest/__init__.py": "x = 1\n"}, requires=("helper-thing",))
    yield server
    server.stop()


def lock_of(packages: Packages, text: str) -> Lock:
    lock = packages.lock(requirements_of({"main.py": f"# requirements: {text}"}, "main.py"), lambda *_: None)
    assert lock is not None
    return lock


def told_by(packages: Packages, lock: Lock) -> list[str]:
    texts: list[str] = []

    def told(text: str, done: int, total: int) -> None:
        if text and (not texts or texts[-1] != text):
            texts.append(text)

    with packages.layer(lock, told) as directory:
        assert directory.is_dir()
    return texts


def test_a_layer_is_built_once_and_tells_what_happens(packages: Any, index: IndexServer) -> None:
    made = packages()
    lock = lock_of(made, "honest-thing")
    texts = told_by(made, lock)
    assert texts[0].startswith("Downloading helper-thing 1.0 (")
    assert texts[-1] == "Compiling"
    assert len(index.downloads()) == 2
    layer = made.layers.path(lock.sha256)
    assert (layer / "honest/__init__.py").exists()
    assert list(layer.glob("__pycache__/helper_thing.*.pyc"))
    state = made.layers.state(lock.sha256)
    assert state["modules"] == ["helper_thing", "honest"]
    assert state["packages"] == ["helper-thing 1.0", "honest-thing 1.0"]
    assert not (layer / "overrides").exists()
    assert told_by(packages(), lock) == []
    assert len(index.downloads()) == 2


def test_a_layer_is_made_again_from_its_recorded_lock(packages: Any, index: IndexServer) -> None:
    made = packages()
    text = lock_of(made, "honest-thing<1").text
    index.add_package("honest-thing", {"honest/__init__.py": "x = 2\n"}, versions=("9.0",))
    lock = Lock.from_text(text)
    told_by(made, lock)
    assert (made.layers.path(lock.sha256) / "honest_thing-0.2.dist-info").is_dir()


def test_bytes_with_another_hash_are_refused_and_leave_nothing(packages: Any, index: IndexServer) -> None:
    made = packages()
    lock = lock_of(made, "helper-thing")
    for stored in index.files["helper-thing"]:
        stored.body = make_wheel("helper-thing", "1.0", {"helper_thing.py": "evil = 1\n"})[1]
    with pytest.raises(PackageRefused, match="do not have the hash that was recorded"):
        told_by(made, lock)
    left = {path.name for path in made.layers.root.iterdir()}
    assert left <= {f"{lock.sha256}.use", f"{lock.sha256}.making"}


def test_an_index_that_changed_its_mind_is_noticed(packages: Any, index: IndexServer) -> None:
    made = packages()
    lock = lock_of(made, "helper-thing")
    other = Lock(
        lock.python, lock.base, tuple(Locked(o.name, o.version, o.file, o.size, "0" * 64) for o in lock.packages)
    )
    with pytest.raises(PackageRefused, match="another hash than the lock has"):
        told_by(made, other)


def test_a_download_can_be_larger_than_it_was_said_to_be(packages: Any, index: IndexServer) -> None:
    index.add_package("fat-thing", {"fat.bin": os.urandom(400_000)})
    made = packages(download_bytes=500_000)
    lock = lock_of(made, "fat-thing")
    small = packages(download_bytes=100_000)
    with pytest.raises(PackageRefused, match="fat-thing is larger than what may be downloaded"):
        told_by(small, lock)
    with pytest.raises(PackageRefused, match="too large"):
        lock_of(small, "fat-thing")


def test_an_index_that_breaks_off_in_a_download_is_told(packages: Any, index: IndexServer) -> None:
    made = packages(patience_seconds=1)
    lock = lock_of(made, "helper-thing")
    index.answer = "error"
    with pytest.raises(IndexUnavailable, match="could not be downloaded"):
        told_by(made, lock)


def test_a_slow_download_ends_when_the_time_is_up(packages: Any, index: IndexServer) -> None:
    index.add_package("fat-thing", {"fat.bin": os.urandom(2_000_000)})
    lock = lock_of(packages(), "fat-thing")
    index.chunk_delay = 0.2
    with pytest.raises(PackageRefused, match="in the time there is"):
        told_by(packages(seconds=1), lock)


def test_two_runs_of_one_lock_build_it_once(packages: Any, index: IndexServer) -> None:
    lock = lock_of(packages(), "honest-thing")
    index.chunk_delay = 0.1
    failures: list[BaseException] = []

    def one() -> None:
        try:
            told_by(packages(), lock)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert len(index.downloads()) == 2


def test_who_gives_up_leaves_nothing_half_built(packages: Any, index: IndexServer) -> None:
    made = packages()
    lock = lock_of(made, "honest-thing")

    class Enough(Exception):
        pass

    def told(text: str, *_: Any) -> None:
        if text.startswith("Unpacking honest"):
            raise Enough

    with pytest.raises(Enough), made.layer(lock, told):
        pass
    assert not made.layers.is_built(lock.sha256)
    assert not list(made.layers.root.glob("making-*"))
    told_by(made, lock)
    assert made.layers.is_built(lock.sha256)


def test_the_oldest_unused_layer_goes_first_and_one_in_use_never(packages: Any, index: IndexServer) -> None:
    made = packages()
    locks = [lock_of(made, f"helper-thing=={version}") for version in ("0.1", "0.2", "1.0")]
    now = time.time()
    for number, lock in enumerate(locks):
        told_by(made, lock)
        os.utime(made.layers.root / f"{lock.sha256}.use", (now - 1000 + number,) * 2)
    oldest, middle, newest = [lock.sha256 for lock in locks]
    size = made.layers.state(newest)["bytes"]
    with Layers(made.layers.root).used(oldest):
        os.utime(made.layers.root / f"{oldest}.use", (now - 1000,) * 2)
        assert made.layers.collect(2 * size + size // 2, 1 * 86_400, set()) == [middle]
        assert made.layers.collect(10**9, 1 * 86_400, set()) == []
    # Over time: what nobody used and no run names.
    assert made.layers.collect(10**9, 0 * 86_400, {newest}) == [oldest]
    assert made.layers.is_built(newest)
    # Space demands what time does not.
    assert made.layers.collect(0, 30 * 86_400, {newest}) == [newest]
    assert [path.name for path in made.layers.root.iterdir()] == []


def test_what_a_dead_builder_left_is_removed_after_a_while(packages: Any) -> None:
    made = packages()
    left = made.layers.root / "making-abc"
    left.mkdir(parents=True)
    made.layers.collect(0, 0)
    assert left.exists()
    os.utime(left, (time.time() - 7200,) * 2)
    made.layers.collect(0, 0)
    assert not left.exists()


def test_a_builder_that_is_killed_leaves_no_lock(packages: Any, index: IndexServer, tmp_path: Path) -> None:
    made = packages()
    lock = lock_of(made, "helper-thing")
    root = made.layers.root
    root.mkdir(parents=True, exist_ok=True)
    hold = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print(flush=True); time.sleep(60)"
    making = str(root / f"{lock.sha256}.making")
    holder = subprocess.Popen([sys.executable, "-c", hold, making], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(PackageRefused, match="still building the same packages"):
        told_by(packages(seconds=0.5), lock)
    holder.kill()
    holder.wait()
    told_by(packages(), lock)
