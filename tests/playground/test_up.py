"""One command runs the whole site; however it ends, nothing of it is left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from playground import process_table
from playground.management.commands.up import queues_of_worker
from playground.services import Services
from tests.surroundings import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 180


class Site:
    """A site of its own, run by the supervisor in a data folder of its own."""

    def __init__(self, data: Path, **variables: str) -> None:
        self.port = free_port()
        self.data = data
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **os.environ,
            "DATA_DIR": str(data),
            "PORT": str(self.port),
            "STORE_DIR": os.environ["PLAYGROUND_TESTS_STORE"],
            "WEB_WORKERS": "1",
            "RUN_WORKERS": "1",
            **variables,
        }

    def start(self) -> Site:
        self.log = (self.data / "up.log").open("wb")
        self.supervisor = subprocess.Popen(
            [sys.executable, "manage.py", "up"],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        self.wait_for(lambda: "Ctrl-C stops everything" in self.said)
        return self

    @property
    def said(self) -> str:
        return (self.data / "up.log").read_text()

    def ask(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return answer.read()

    def wait_for(self, condition) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            assert self.supervisor.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def left(self) -> list[str]:
        """The command lines of processes that still belong to this site."""
        found = set(process_table.marked("DATA_DIR", str(self.data))) - {os.getpid()}
        return [Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() for pid in found]

    def wait_until_nothing_is_left(self) -> None:
        deadline = time.monotonic() + 60
        while self.left() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert self.left() == []
        assert list(Services(self.data).run_dir.iterdir()) == []
        assert not (self.data / "pg" / "postmaster.pid").exists()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Of one installation, which is made once and started again and again."""
    return tmp_path_factory.mktemp("site")


@pytest.fixture
def site(data, django_db_setup):
    site = Site(data)
    yield site
    if site.supervisor.poll() is None:
        site.supervisor.terminate()
        site.supervisor.wait(30)
    site.log.close()


def test_a_single_worker_takes_what_others_would(settings):
    settings.RUN_WORKERS = 2
    assert ["parallel" in queues_of_worker(number) for number in (1, 2)] == [False, True]
    settings.RUN_WORKERS = 1
    assert queues_of_worker(1)[-1] == "parallel"  # what the site repeats, too


def test_everything_answers_and_a_stop_leaves_nothing(site):
    site.start()
    assert json.loads(site.ask("/readyz"))["ready"] is True
    assert b"<h1" in site.ask("/")

    # A dead part comes back by itself.
    [web] = _children(site.supervisor.pid, "gunicorn")
    os.kill(web, signal.SIGKILL)
    site.wait_for(lambda: "web ended (killed by SIGKILL)" in site.said)
    site.wait_for(lambda: _answers(site))

    # So do the database and Redis.
    services = Services(site.data)
    for server in services.pids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(server, signal.SIGKILL)
    site.wait_for(lambda: "it starts again now" in site.said)
    site.wait_for(lambda: all(services.status().values()) and _is_ready(site))

    site.supervisor.terminate()
    assert site.supervisor.wait(60) == 0
    site.wait_until_nothing_is_left()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", site.port)) != 0


def test_killing_the_supervisor_leaves_nothing_and_the_next_start_works(site):
    site.start()
    site.supervisor.kill()
    site.supervisor.wait(10)
    site.wait_until_nothing_is_left()
    site.start()
    assert json.loads(site.ask("/readyz"))["ready"] is True


def _children(parent: int, name: str) -> list[int]:
    """The processes that parent itself started and whose command line has name in it."""
    own = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in own if name.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()]


def _is_ready(site: Site) -> bool:
    try:
        return bool(json.loads(site.ask("/readyz"))["ready"])
    except OSError:
        return False


def _answers(site: Site) -> bool:
    try:
        return bool(site.ask("/healthz"))
    except OSError:
        return False


def test_wrong_value_is_refused_in_a_sentence(tmp_path):
    code, said = _up(tmp_path, PORT="eighty")
    assert (code, said) == (1, "PORT must be a whole number from 1 to 65535, not 'eighty'.\n")


def test_used_port_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, said = _up(tmp_path, PORT=str(taken.getsockname()[1]))
    assert code == 1 and "PORT" in said and "cannot be used" in said and "Traceback" not in said


def test_server_that_does_not_answer_is_named(tmp_path):
    code, said = _up(tmp_path, DATABASE_URL="postgresql://nobody@127.0.0.1:1/none", REDIS_URL="redis://127.0.0.1:1/0")
    assert code == 1 and "DATABASE_URL" in said and "Traceback" not in said


def _up(data: Path, **variables: str) -> tuple[int, str]:
    site = Site(data, **variables)
    done = subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=ROOT,
        env=site.environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr
