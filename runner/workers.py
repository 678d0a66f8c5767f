"""How is the first output made quick? By a worker whose work-horse is there, and connected, before the job comes.

RQ's own worker forks a process for each job, which then connects to the database: tens of milliseconds of every run.
Here the process is forked while the worker waits, is told of its job through a socket, and does many, one by one.
All else is RQ's: registration, heartbeats, time limits, a job that is stopped or whose process was killed.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import rq.worker
from django.db import Error, close_old_connections, connection
from redis.exceptions import RedisError
from rq.executions import Execution
from rq.job import Job
from rq.queue import Queue

from runner import jobs  # noqa: F401  loaded here once, not by every work-horse

logger = logging.getLogger(__name__)

JOBS_PER_HORSE = 200
MOST_TRIES = 3  # of work-horses that end before they have read of a job
DONE = b"."


@dataclass
class Horse:
    """A forked process that does our jobs. It ends when our end of the socket closes, however that happens."""

    pid: int
    line: socket.socket
    jobs: int = field(default=0)


@contextmanager
def _signals_held() -> Iterator[None]:
    """RQ stops by raising from a signal handler. Raised inside a hook of Python's fork it would be printed and lost."""
    held: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, frame: held.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for caught in held:
            signal.raise_signal(caught)


@contextmanager
def _alarm_held() -> Iterator[None]:
    """RQ looks after a job by an alarm that raises; a horse that is forked and not told of it would never end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class ReadyWorker(rq.worker.Worker):
    _horse: Horse | None = None
    _message = b""  # of the job that is handed over
    _tries = 0  # to hand it over

    def work(self, *arguments: Any, **named: Any) -> bool:
        try:
            return super().work(*arguments, **named)
        finally:
            self._retire()

    def dequeue_job_and_maintain_ttl(self, *arguments: Any, **named: Any) -> Any:
        if self._horse is not None and self._horse.jobs >= JOBS_PER_HORSE:
            self._retire()  # whatever memory it gathered goes with it
        if self._horse is None:
            self._fork()
        return super().dequeue_job_and_maintain_ttl(*arguments, **named)

    # The worker's side

    def fork_work_horse(self, job: Job, queue: Queue) -> None:
        """Hand the job to the waiting work-horse."""
        assert self.execution is not None
        self._message = json.dumps({"job": job.id, "queue": queue.name, "execution": self.execution.id}).encode()
        self._tries = 0
        self._hand_over()

    def _hand_over(self) -> None:
        self._tries += 1
        while True:
            horse = self._horse or self._fork()
            try:
                if horse.jobs:
                    horse.line.recv(len(DONE))  # what it said after its last job
                horse.line.sendall(self._message)
                break
            except OSError:
                self._retire()  # killed while it waited
        horse.jobs += 1
        self._horse_pid = horse.pid

    def wait_for_horse(self) -> tuple[int | None, int | None, Any]:
        """Until the job is done or the process gone. RQ interrupts this by raising from a signal handler."""
        horse = self._horse
        assert horse is not None
        # Only looked at, not taken: an interruption right here must not lose it.
        try:
            if horse.line.recv(len(DONE), socket.MSG_PEEK):
                return horse.pid, os.EX_OK, None
        except ConnectionResetError:  # it was killed before it had read what to do
            if self._tries < MOST_TRIES:
                with _alarm_held():
                    self._retire()
                    self._hand_over()
                return self.wait_for_horse()
        ended = super().wait_for_horse()
        self._horse = None
        horse.line.close()
        return ended

    def kill_horse(self, *arguments: Any, **named: Any) -> None:
        """The worker itself ends the job: nobody else does it then."""
        self._tries = MOST_TRIES
        super().kill_horse(*arguments, **named)

    def _fork(self) -> Horse:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with _signals_held():
            pid = os.fork()
        if pid == 0:
            try:
                ours.close()
                self._wait_for_jobs(its)
            except ConnectionResetError:
                pass  # the worker went with an answer unread
            except BaseException:
                logger.exception("the work-horse failed")
            finally:
                os._exit(1)
        its.close()
        with suppress(OSError):  # it has gone already
            os.setpgid(pid, pid)  # by both, or a horse that is killed before its turn takes the worker's group along
        self._horse = Horse(pid, ours)
        return self._horse

    def _retire(self) -> None:
        if self._horse is not None:
            self._horse.line.close()
            os.waitpid(self._horse.pid, 0)
            self._horse = None

    # The work-horse's side

    def _wait_for_jobs(self, line: socket.socket) -> None:
        os.setpgrp()  # RQ kills a work-horse with its group
        random.seed()
        self.setup_work_horse_signals()
        self._is_horse = True
        self._connect()
        while message := line.recv(1 << 16):
            names = json.loads(message)
            close_old_connections()
            queue = self.queue_class(
                names["queue"],
                connection=self.connection,
                job_class=self.job_class,
                serializer=self.serializer,
                death_penalty_class=self.death_penalty_class,
            )
            job = self.job_class.fetch(names["job"], connection=self.connection, serializer=self.serializer)
            execution = Execution(names["execution"], job.id, connection=self.connection, worker_name=self.name)
            self.executions = {execution.id: execution}
            self.perform_job(job, queue, execution)
            self.executions.clear()
            line.sendall(DONE)
        os._exit(os.EX_OK)

    def _connect(self) -> None:
        """Both are opened when they are needed; here they are needed before anybody waits for them."""
        try:
            self.connection.ping()
            connection.ensure_connection()
        except (Error, RedisError) as error:
            logger.warning("the work-horse starts without %s", type(error).__name__)
