"""The embedded PostgreSQL and Redis: started once, found again, and back after being killed."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from playground.paths import BASE_DIR, make_private, run_folder
from playground.services import Services


@pytest.fixture
def fresh():
    with tempfile.TemporaryDirectory(prefix="qfp-") as folder:
        services = Services(Path(folder))
        yield services
        services.stop()


def test_start_and_stop_may_be_repeated_and_leave_nothing(fresh):
    assert fresh.status() == {"postgres": False, "redis": False}
    assert sorted(fresh.start()) == ["postgres", "redis"]
    assert fresh.start() == []
    assert fresh.status() == {"postgres": True, "redis": True}
    assert stat.S_IMODE(fresh.run_dir.stat().st_mode) == 0o700
    assert sorted(fresh.stop()) == ["postgres", "redis"]
    assert fresh.stop() == []
    assert list(fresh.run_dir.iterdir()) == []


def test_data_survives_a_kill_and_stale_files_do_not_hinder(fresh):
    fresh.start()
    with psycopg.connect(fresh.database_url) as connection:
        connection.execute("create table kept (word text)")
        connection.execute("insert into kept values ('here')")
    for pid in (fresh._postgres_pid(), fresh._redis_pid()):
        os.kill(pid, signal.SIGKILL)
        while _runs(pid):
            time.sleep(0.01)
    assert (fresh.postgres_data / "postmaster.pid").exists() and fresh.redis_socket.exists()
    assert sorted(fresh.start()) == ["postgres", "redis"]
    with psycopg.connect(fresh.database_url) as connection:
        assert connection.execute("select word from kept").fetchone() == ("here",)


def test_pid_file_that_names_somebody_else_is_not_believed(fresh):
    fresh.start(postgres=False)
    real = fresh._redis_pid()
    (fresh.run_dir / "redis.pid").write_text(f"{os.getpid()}\n")
    assert fresh._redis_pid() is None
    (fresh.run_dir / "redis.pid").write_text(f"{real}\n")
    assert fresh.stop() == ["redis"]


def test_nothing_listens_on_a_port(fresh):
    fresh.start()
    pids = {fresh._postgres_pid(), fresh._redis_pid()}
    listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    inodes = {line.split()[9] for line in listening.splitlines() if line.split()[3] == "0A"}
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # Redis opens a file for a moment, ten times a second
                target = os.readlink(link)
                assert not (target.startswith("socket:") and target[8:-1] in inodes)


def test_developer_command_says_where_the_services_are(fresh):
    def call(action: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "playground.services", action],
            cwd=BASE_DIR,
            env={**os.environ, "DATA_DIR": str(fresh.data_dir)},
            capture_output=True,
            text=True,
        )

    assert call("status").returncode == 1
    started = call("start")
    assert started.returncode == 0 and f"DATABASE_URL={fresh.database_url}" in started.stdout
    assert call("status").returncode == 0
    assert "postgres, redis" in call("stop").stdout


def test_deep_data_folder_gets_short_socket_paths(tmp_path):
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    folder = run_folder(deep)
    assert len(str(folder)) < 80 and folder != deep / "run"
    assert run_folder(deep.parent / "other") != folder
    assert run_folder(Path("/srv/site")) == Path("/srv/site/run")


def test_private_folder_is_closed_and_links_are_refused(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    assert stat.S_IMODE(make_private(folder).stat().st_mode) == 0o700
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(PermissionError):
        make_private(tmp_path / "link")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
