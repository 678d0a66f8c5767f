"""What do all tests stand on? A site of their own: PostgreSQL, Redis, engine, worker, web server, Chromium.

All are real and live in a temporary data folder; a site that runs from the same checkout is not touched.
Parts are started by the first test that asks for them:

    services            PostgreSQL and Redis (every test with a database has them)
    engine              the sandbox engine; boxes are real
    worker              an RQ worker of the "runs" queue, for the tests of one file
    live_site           the web server with engine and worker; .url, .restart_web()
    package_index       a package index of this machine; packages are made on the fly
    page, open_page     Chromium on the live site; a violated Content-Security-Policy fails the test

Tests with a browser run last: once its event loop turns, no asynchronous test could start. `make test` shares the
files out to three processes, each with a site of its own.
"""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.moving_clock import Clock
from tests.surroundings import ROOT, surroundings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

START_SECONDS = 120.0
# What a page is waited for at most; no test waits so long for what does not happen.
PAGE_MILLISECONDS = 30_000

os.environ.update(surroundings())


def pytest_configure(config: pytest.Config) -> None:
    if getattr(config.option, "numprocesses", None):
        # This process only shares the tests out. The others inherit its environment, and with this name in it
        # they would read the settings before the lines above.
        del os.environ["DJANGO_SETTINGS_MODULE"]
        return
    # Here and not by an option in pyproject.toml: that would read the settings before the lines above.
    import django

    django.setup()


# Their traps for hostile programs have names that a machine has once, so one process runs them.
TRAPPING = ("tests/sandbox/test_corpus.py", "tests/sandbox/test_docker.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file stays together, and files are begun in their order: those with a browser are the last."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "traps" if file in TRAPPING else file

    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: "browser" in getattr(item, "fixturenames", ()))


# Services and database


@pytest.fixture(scope="session")
def services() -> Iterator[Any]:
    import psycopg

    from playground.services import Services

    services = Services(Path(os.environ["DATA_DIR"]))
    guard = subprocess.Popen(
        [sys.executable, "-c", _GUARD, str(services.data_dir)],
        stdin=subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,
    )
    services.start()
    with psycopg.connect(services.database_url, autocommit=True) as postgres:
        # Nobody keeps these rows over a loss of power; to wait for the disk is much of what a commit takes.
        postgres.execute("ALTER SYSTEM SET fsync = off")
        postgres.execute("SELECT pg_reload_conf()")
    yield services
    services.stop()
    assert guard.stdin is not None
    guard.stdin.close()
    guard.wait(30)


# Stops the services when the test run is killed and cannot do it.
_GUARD = """
import pathlib, shutil, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.stdin.read()
from playground.services import Services
services = Services(pathlib.Path(sys.argv[1]))
services.stop()
shutil.rmtree(services.data_dir, ignore_errors=True)
"""


@pytest.fixture(scope="session")
def django_db_setup(services: Any, django_test_environment: None, django_db_blocker: Any) -> None:
    """The database of the tests' own server, as a new installation has it."""
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection
    from qfp import starter

    from marketdata.models import Instrument, Series
    from playground.static_files import collect_if_changed
    from tests import database

    finished = Path(os.environ["PLAYGROUND_TESTS_STORE"])
    finished.parent.mkdir(parents=True, exist_ok=True)
    with (finished.parent / ".starter.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        starter.build(finished)
    shutil.copytree(finished, settings.STORE_DIR, copy_function=_link_or_copy, dirs_exist_ok=True)
    collect_if_changed()
    with django_db_blocker.unblock():
        call_command("migrate", interactive=False, verbosity=0)
        call_command("load_starter_data", stdout=io.StringIO())
        # Five hundred invented shares less to compare after every test that commits; boxes read them from the store all
        # the same.
        Series.objects.filter(series_id__startswith="synth/us/1d/").delete()
        Instrument.objects.filter(series=None).delete()
        database.keep()
        connection.close()


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
    return target


@pytest.fixture(scope="session", autouse=True)
def _static_files_are_listed_once() -> Iterator[None]:
    """Each client of a test makes the middlewares anew, and WhiteNoise looks at a thousand files every time; those of
    STATIC_ROOT stay as they are.
    """
    from whitenoise.base import WhiteNoise

    listed: dict[tuple[str, str], dict[str, Any]] = {}
    look = WhiteNoise.update_files_dictionary

    def update(self: Any, root: str, prefix: str) -> None:
        if (root, prefix) not in listed:
            before = self.files
            self.files = listed[root, prefix] = {}
            look(self, root, prefix)
            self.files = before
        self.files.update(listed[root, prefix])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WhiteNoise, "update_files_dictionary", update)
        yield


@pytest.fixture(autouse=True)
def _redis_starts_empty(request: pytest.FixtureRequest) -> Iterator[None]:
    """Redis rolls nothing back. Workers stay known, because some outlive a test."""
    yield
    if "services" in request.fixturenames or "django_db_setup" in request.fixturenames:
        import django_rq

        redis = django_rq.get_connection("runs")
        if left := [key for key in redis.scan_iter(count=1000) if not key.startswith(b"rq:worker")]:
            redis.delete(*left)


@pytest.fixture
def child_environment(services: Any) -> dict[str, str]:
    """What a child process needs to be part of the tests' site; os.environ has it already."""
    return {name: value for name, value in os.environ.items() if name in _NAMES_OF_CHILDREN}


_NAMES_OF_CHILDREN = ("DJANGO_SETTINGS_MODULE", "DATA_DIR", "PORT", "SANDBOX_ENV", "STATIC_ROOT", "PACKAGE_INDEX")


# Processes


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    """The wall clock of processes that are started with its variables."""
    return Clock(tmp_path).proven()


def _launch(name: str, command: list[str]) -> subprocess.Popen:
    from django.conf import settings

    from playground import processes

    log = settings.DATA_DIR / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return processes.start(command, output=output.fileno())


def _end(process: subprocess.Popen, sign: signal.Signals = signal.SIGTERM) -> None:
    """End the process and everything in its session."""
    if process.poll() is None:
        process.send_signal(sign)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait(10)


def _wait(name: str, process: subprocess.Popen, ready: Callable[[], bool]) -> None:
    from django.conf import settings

    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            log = (settings.DATA_DIR / "logs" / f"{name}.log").read_text(errors="replace")
            pytest.fail(f"{name} did not start:\n{log[-4000:]}", pytrace=False)
        time.sleep(0.03)


@pytest.fixture(scope="session")
def engine(services: Any) -> Iterator[Any]:
    """A client of a running engine. A machine that cannot sandbox fails: a skipped test looks green."""
    from django.conf import settings

    from playground import processes
    from sandbox.client import EngineClient, EngineUnavailable

    client = EngineClient(settings.ENGINE_SOCKET)
    process = _launch("engine", processes.engine_command())

    def answers() -> bool:
        try:
            return bool(client.status())
        except EngineUnavailable:
            return False

    _wait("engine", process, answers)
    status = client.status()
    if not status["ready"]:
        _end(process)
        pytest.fail(f"This machine cannot sandbox: {status['reason']}", pytrace=False)
    yield client
    _end(process)


@pytest.fixture(scope="module")
def worker(services: Any, django_db_setup: None, engine: Any) -> Iterator[subprocess.Popen]:
    import django_rq
    from django.conf import settings
    from rq import Worker

    from playground import processes

    process = _launch("worker", processes.worker_command(f"host-{settings.SANDBOX_HOST}", "runs"))
    redis = django_rq.get_connection("runs")
    _wait("worker", process, lambda: any(known.pid == process.pid for known in Worker.all(connection=redis)))
    yield process
    _end(process)


@pytest.fixture
def package_index() -> Iterator[Any]:
    """The index that the tests' site takes packages from, empty; see tests/sandbox/index_server.py."""
    from django.conf import settings

    from tests.sandbox.index_server import IndexServer

    shutil.rmtree(settings.DATA_DIR / "package-index", ignore_errors=True)  # what it remembers of an earlier test's
    index = IndexServer().start(int(settings.PACKAGE_INDEX.partition("127.0.0.1:")[2].partition("/")[0]))
    yield index
    index.stop()


@dataclass
class LiveSite:
    """The web server as it runs in production, with an engine and a worker behind it."""

    url: str
    web: subprocess.Popen
    worker: subprocess.Popen | None = None
    engine: Any = None

    def restart_web(self) -> None:
        _end(self.web)
        self.start_web()

    def start_web(self) -> None:
        self.web = _start_web()


def _start_web() -> subprocess.Popen:
    from django.conf import settings

    from playground import processes

    process = _launch("web", processes.web_command())

    def answers() -> bool:
        try:
            socket.create_connection((settings.HOST, settings.PORT), timeout=1).close()
        except OSError:
            return False
        return True

    _wait("web", process, answers)
    return process


@pytest.fixture(scope="session")
def _web(services: Any, django_db_setup: None) -> Iterator[LiveSite]:
    from django.conf import settings

    site = LiveSite(url=settings.SITE_URL, web=_start_web())
    yield site
    _end(site.web)


@pytest.fixture
def live_site(_web: LiveSite, worker: subprocess.Popen, engine: Any, transactional_db: None) -> LiveSite:
    _web.worker, _web.engine = worker, engine
    return _web


# Chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import expect, sync_playwright

    from playground.prepare import find_chromium

    program = find_chromium()
    if program is None:
        pytest.fail("The browser tests need Chromium. Install it with:  apt install chromium", pytrace=False)
    # Playwright keeps an event loop in this thread, which Django would take for asynchronous code.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    expect.set_options(timeout=PAGE_MILLISECONDS)  # five seconds by itself: no time for a run on a busy machine
    with sync_playwright() as playwright:
        # Root has no use for Chromium's own sandbox, and a container's /dev/shm is often small.
        own = ["--no-sandbox", "--disable-dev-shm-usage"] if os.getuid() == 0 else ["--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=program, args=own, timeout=1_000 * START_SECONDS)
        yield browser
        browser.close()


@dataclass
class Complaints:
    """What browsers complained about: violated policies and errors nobody caught."""

    texts: list[str] = field(default_factory=list)


_REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy violated: ${event.effectiveDirective} ${event.blockedURI}`));
"""


@pytest.fixture
def complaints() -> Complaints:
    """Empty it in a test that provokes them."""
    return Complaints()


@pytest.fixture
def open_page(browser: Browser, live_site: LiveSite, complaints: Complaints) -> Iterator[Callable[..., Page]]:
    """A new person with an empty profile: open_page(width=360, color_scheme="dark").goto("/")."""
    contexts = []

    def new(width: int = 1280, height: int = 800, **options: Any) -> Page:
        context = browser.new_context(base_url=live_site.url, viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        context.set_default_timeout(PAGE_MILLISECONDS)
        context.add_init_script(_REPORT_VIOLATIONS)

        def listen(page: Page) -> None:
            page.on("pageerror", lambda error: complaints.texts.append(f"uncaught: {error}"))
            page.on(
                "console",
                lambda message: (
                    complaints.texts.append(message.text)
                    if message.type == "error" and message.text.startswith("policy violated")
                    else None
                ),
            )

        context.on("page", listen)
        return context.new_page()

    yield new
    for context in contexts:
        context.close()
    assert not complaints.texts, "\n".join(complaints.texts)


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()
