"""Run the whole site in the foreground until Ctrl-C or SIGTERM: services, web, workers, engine, scheduler."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from playground import process_table, processes
from playground.guard import MARK
from playground.paths import make_private
from playground.services import ServiceError
from playground.static_files import collect_if_changed

PR_SET_CHILD_SUBREAPER = 36
BACK_OFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
# A program that stayed up this long is healthy: its next end is treated as its first.
HEALTHY_SECONDS = 30.0
FIRST_PAGE_SECONDS = 120.0
REST_SECONDS = 30.0
SERVICE_CHECK_SECONDS = 2.0
POLITE_SECONDS = 2.0
LAST_SECONDS = 4.0


@dataclass
class Program:
    """A part of the site that is kept running."""

    name: str
    command: list[str]
    output: int | None = None
    process: subprocess.Popen | None = None
    started: float = 0.0
    failures: int = 0
    start_at: float = 0.0


def queues_of_worker(number: int) -> tuple[str, ...]:
    """What belongs to sessions on this machine comes first. The first of several workers takes no chunks of parallel
    work, so that a new run never waits for all of them.
    """
    queues = (f"host-{settings.SANDBOX_HOST}", "runs", "large")
    return queues if number == 1 < settings.RUN_WORKERS else (*queues, "parallel")


class Stopped(Exception):
    """Somebody asked us to stop."""


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--services", action="store_true", help="only PostgreSQL and Redis, migrated")

    def handle(self, *args: Any, **options: Any) -> None:
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sign, self._ask_to_stop)
        # Orphans of our children come to us instead of to init, so that none can hide from the stop.
        processes.libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
        if "MAKELEVEL" in os.environ:
            # Under make: when make goes, however it goes, we stop too.
            processes.libc.prctl(processes.PR_SET_PDEATHSIG, signal.SIGTERM)
        self.mark = os.environ[MARK] = uuid.uuid4().hex
        self.programs: list[Program] = []
        self.services_started: list[str] = []
        self.services_checked = 0.0
        self.guard: subprocess.Popen | None = None
        try:
            self._check_address()
            self._prepare()
            if not options["services"]:
                self._start_site()
            self._keep_running()
        except Stopped:
            pass
        except ServiceError as problem:
            raise CommandError(str(problem)) from None
        finally:
            for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(sign, signal.SIG_IGN)
            self._stop_everything()

    def _ask_to_stop(self, number: int, frame: object) -> None:
        raise Stopped

    def _check_address(self) -> None:
        family = socket.AF_INET6 if ":" in settings.HOST else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.HOST, settings.PORT))
            except OSError as problem:
                raise CommandError(
                    f"PORT {settings.PORT} on {settings.HOST} cannot be used ({problem.strerror}). "
                    "Stop what listens there, or choose another: PORT=8001 make run"
                ) from None

    # Before the site

    def _prepare(self) -> None:
        make_private(settings.RUN_DIR)
        make_private(settings.RUNS_DIR)  # what people ran; nobody else of this machine
        self._start_guard()
        with _Line(self, "PostgreSQL and Redis") as line:
            self.services_started = settings.SERVICES.start(
                postgres=settings.USES_EMBEDDED_POSTGRES, redis=settings.USES_EMBEDDED_REDIS
            )
            embedded = settings.USES_EMBEDDED_POSTGRES or settings.USES_EMBEDDED_REDIS
            line.detail = "" if embedded else "your own"
            self._check_connections()
        steps: list[tuple[str, Callable[[], object]]] = [
            ("Database tables", lambda: call_command("migrate", interactive=False, verbosity=0)),
            ("Starter data", lambda: call_command("load_starter_data", stdout=_Discard())),
            ("Sample projects", lambda: call_command("load_samples", stdout=_Discard())),
            ("Static files", collect_if_changed),
        ]
        for name, step in steps:
            with _Line(self, name):
                self._in_a_child(name, step)

    def _in_a_child(self, name: str, step: Callable[[], object]) -> None:
        """pandas and the like are loaded for a moment only; the supervisor stays small."""
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(sign, signal.SIG_DFL)
                processes.die_with(parent)
                step()
                code = 0
            except CommandError as problem:
                print(f"failed\n{problem}", file=sys.stderr)
            except BaseException:
                import traceback

                print("failed", file=sys.stderr)
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        if status != 0:
            raise CommandError(f"{name}: this step failed; the lines above say why. `make run` carries on from here.")

    def _check_connections(self) -> None:
        import redis
        from django.db import OperationalError, connection

        try:
            connection.ensure_connection()
            connection.close()
        except OperationalError as problem:
            raise CommandError(f"DATABASE_URL: the database does not answer: {problem}") from None
        try:
            with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=5) as client:
                client.ping()
        except redis.RedisError as problem:
            raise CommandError(f"REDIS_URL: Redis does not answer: {problem}") from None

    # The site

    def _start_site(self) -> None:
        """The web server first, alone: starting everything at once would keep the first page waiting."""
        with _Line(self, "Web server", at_the_end=True):
            self._launch(Program("web", processes.web_command()))
            self._wait_for_first_page()
        with _Line(self, "Sandbox engine, workers, scheduler", at_the_end=True):
            self._launch(Program("engine", processes.engine_command()))
            for number in range(1, settings.RUN_WORKERS + 1):
                self._launch(Program(f"worker {number}", processes.worker_command(*queues_of_worker(number))))
            for queue in settings.ENGINE_SOCKETS:
                self._launch(Program(f"{queue} engine", processes.engine_command(queue)))
            if "gpu" in settings.ENGINE_SOCKETS:
                self._launch(Program("gpu worker", processes.worker_command("gpu")))
            self._launch(Program("house-keeping", processes.worker_command("default")))
            self._launch(Program("scheduler", processes.cron_command(), output=subprocess.DEVNULL))
            self._wait_for_the_rest()
            # Nobody fetches before having seen a page: the first Run has the machine until then.
            for number in range(1, settings.FETCH_WORKERS + 1):
                self._launch(Program(f"fetcher {number}", processes.worker_command("uploads", "fetch")))
        self.stdout.write(f"\n  {settings.SITE_URL}\n\nCtrl-C stops everything.")
        self.stdout.flush()

    def _launch(self, program: Program) -> None:
        self.programs.append(program)
        self._start(program)

    def _start(self, program: Program) -> None:
        program.process = processes.start(program.command, output=program.output)
        program.started = time.monotonic()

    def _wait_for_first_page(self) -> None:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.HOST, settings.HOST)  # noqa: S104
        host = f"[{host}]" if ":" in host else host
        question = urllib.request.Request(
            f"http://{host}:{settings.PORT}/healthz", headers={"Host": settings.ALLOWED_HOSTS[0].lstrip(".")}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + FIRST_PAGE_SECONDS
        while time.monotonic() < deadline:
            self._restart_the_dead()
            try:
                with opener.open(question, timeout=5):
                    return
            except urllib.error.HTTPError as answer:
                raise CommandError(f"The web server answers {answer.code} to /healthz.") from None
            except OSError:
                time.sleep(0.03)
        raise CommandError("The web server does not answer; its lines above say why.")

    def _wait_for_the_rest(self) -> None:
        """Until the engine answers and a worker listens, so that the first Run is not kept waiting."""
        from playground import health
        from sandbox.client import EngineClient, EngineUnavailable

        deadline = time.monotonic() + REST_SECONDS
        status: dict[str, Any] = {}
        while time.monotonic() < deadline:
            self._restart_the_dead()
            try:
                status = status or EngineClient(settings.ENGINE_SOCKET).status()
                if health.a_worker_listens():
                    break
            except EngineUnavailable:
                pass
            time.sleep(0.05)
        if not status.get("ready"):
            reason = status.get("reason") or "the sandbox engine does not answer"
            self.stderr.write(
                f"\nThe site works, but Run is refused: {reason}\n"
                "`.venv/bin/python manage.py check_sandbox` says what to change."
            )

    def _keep_running(self) -> None:
        while True:
            self._restart_the_dead()
            self._restart_dead_services()
            time.sleep(0.25)

    def _restart_dead_services(self) -> None:
        """PostgreSQL and Redis run apart from us; whoever kills one of them finds it back a moment later."""
        now = time.monotonic()
        if now < self.services_checked + SERVICE_CHECK_SECONDS:
            return
        self.services_checked = now
        alive = settings.SERVICES.alive()
        wanted = {"postgres": settings.USES_EMBEDDED_POSTGRES, "redis": settings.USES_EMBEDDED_REDIS}
        dead = [name for name, ours in wanted.items() if ours and not alive[name]]
        if not dead:
            return
        self.stderr.write(f"{' and '.join(dead)} ended; it starts again now.")
        try:
            settings.SERVICES.start(postgres=wanted["postgres"], redis=wanted["redis"])
        except ServiceError as problem:
            self.stderr.write(f"{problem} Trying again.")

    def _restart_the_dead(self) -> None:
        self._reap_orphans()
        now = time.monotonic()
        for program in self.programs:
            if program.process is not None and program.process.poll() is not None:
                if now - program.started > HEALTHY_SECONDS:
                    program.failures = 0
                delay = BACK_OFF_SECONDS[min(program.failures, len(BACK_OFF_SECONDS) - 1)]
                how = _how(program.process.returncode)
                self.stderr.write(f"{program.name} ended ({how}); it starts again in {delay:g} s.")
                # What it left (a worker's job, a server's children) must not work beside its successor.
                self._end_session(program.process.pid)
                program.failures += 1
                program.process, program.start_at = None, now + delay
            if program.process is None and now >= program.start_at:
                self._start(program)

    def _reap_orphans(self) -> None:
        """Collect what children of children left to us, but not the ends of our own programs."""
        own = {program.process.pid for program in self.programs if program.process is not None}
        own.add(self.guard.pid if self.guard else 0)
        for pid in _children():
            if pid not in own:
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    continue

    def _end_session(self, leader: int) -> None:
        left = [pid for pid in process_table.descendants(os.getpid()) if _session(pid) == leader]
        process_table.send(left, signal.SIGKILL)

    # The end

    def _start_guard(self) -> None:
        """A second process that only waits for our end: it cleans up when we are killed."""
        arguments = [self.mark, str(settings.DATA_DIR), str(settings.ENGINE_SOCKET)]
        self.guard = subprocess.Popen(
            [sys.executable, "-m", "playground.guard", *arguments],
            cwd=settings.BASE_DIR,
            env={name: value for name, value in os.environ.items() if name != MARK},
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def _stop_everything(self) -> None:
        running = [program.process for program in self.programs if program.process is not None]
        leaders = [process.pid for process in running]
        process_table.send(leaders, signal.SIGTERM)
        if not self._wait_until_gone(running, POLITE_SECONDS):
            # An RQ worker takes the second one as "stop the job too"; the sweeper then settles that run.
            process_table.send(leaders, signal.SIGTERM)
            self._wait_until_gone(running, LAST_SECONDS)
        spared = settings.SERVICES.pids() | ({self.guard.pid} if self.guard else set())
        for _ in range(100):
            left = [pid for pid in self._ours() if pid not in spared]
            if not left:
                break
            process_table.send(left, signal.SIGKILL)
            self._reap_orphans_and(running)
            time.sleep(0.02)
        try:
            if self.services_started:
                settings.SERVICES.stop()
        except ServiceError as problem:
            self.stderr.write(str(problem))
        settings.ENGINE_SOCKET.unlink(missing_ok=True)
        if self.guard is not None and self.guard.stdin is not None:
            self.guard.stdin.write(b"done\n")
            self.guard.stdin.close()
            self.guard.wait()
        if self.programs:
            self.stdout.write("Stopped.")

    def _ours(self) -> list[int]:
        found = {*process_table.descendants(os.getpid()), *process_table.marked(MARK, self.mark)}
        return sorted(found - {os.getpid()})

    def _reap_orphans_and(self, running: list[subprocess.Popen]) -> None:
        for process in running:
            process.poll()
        self._reap_orphans()

    def _wait_until_gone(self, running: list[subprocess.Popen], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if all(process.poll() is not None for process in running):
                return True
            time.sleep(0.03)
        return False


class _Line:
    """One progress line: its name at once, how long it took at the end."""

    def __init__(self, command: Command, name: str, at_the_end: bool = False) -> None:
        """at_the_end: write nothing before, because programs that start meanwhile write lines of their own."""
        self.command, self.name, self.detail, self.at_the_end = command, name, "", at_the_end

    def __enter__(self) -> _Line:
        self.began = time.monotonic()
        if not self.at_the_end:
            self._name()
        return self

    def _name(self) -> None:
        self.command.stdout.write(f"{self.name} ...", ending=" ")
        self.command.stdout.flush()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self.at_the_end:
            self._name()
        if kind is None:
            self.command.stdout.write(self.detail or f"{time.monotonic() - self.began:.1f} s")
        else:
            self.command.stdout.write("stopped" if kind is Stopped else "failed")
        self.command.stdout.flush()


class _Discard:
    """Takes what a command says when it went well; a failure is raised, not written."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:  # noqa: PTH123
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return -1


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
