"""How are the items of a pmap() shared among the processor cores of one machine? Forked workers, results in order.

A worker is a copy of the running program (fork, copy on write), so the function and the items are there already and
need not be pickled; only results travel, over one pipe per worker. Chunks are handed out one at a time, in order: when
an item fails, every earlier item has finished or is in work, and the error that is told is the one a plain loop would
have met. Where processes cannot be forked (Windows), one core does the work.
"""

from __future__ import annotations

import contextlib
import gc
import json
import math
import mmap
import os
import pickle
import select
import signal
import struct
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qfp import channel

__all__ = ["Failure", "Forked", "cores", "run_forked", "run_here"]

CHUNKS_PER_WORKER = 8  # so that a slow chunk at the end leaves no core idle for long
POLL_SECONDS = 0.1
PIPE_BYTES = 1 << 20
MAX_TRACEBACK = 8_000
MAX_MESSAGE = 2_000
HERE = str(Path(__file__).parent)

_TASK = struct.Struct("<qq")  # first and one past the last position of a chunk
_FRAME = struct.Struct("<cqq")  # kind, first position of the chunk, length of what follows
RESULTS, FAILURE, MESSAGE = b"R", b"F", b"M"

in_worker = False  # True in a worker: a pmap() inside a pmap() takes no further cores


@dataclass(frozen=True)
class Failure:
    """Why one item has no result."""

    position: int
    kind: str  # name of the exception's class
    message: str
    trace: str = ""

    @classmethod
    def of(cls, position: int, error: BaseException) -> Failure:
        try:
            message = str(error)
        except Exception:  # a __str__ of the program's own may do anything
            message = "(its text cannot be shown)"
        return cls(position, type(error).__name__, message[:MAX_MESSAGE], trace_of(error))


def trace_of(error: BaseException) -> str:
    """The traceback of an item's error as text, without the frames of this library."""
    report = traceback.TracebackException(type(error), error, error.__traceback__, compact=True)
    report.stack = traceback.StackSummary.from_list(
        [frame for frame in report.stack if not frame.filename.startswith(HERE)]
    )
    text = "".join(report.format())
    return text if len(text) <= MAX_TRACEBACK else f"...\n{text[-MAX_TRACEBACK:]}"


def cores() -> int:
    """How many workers are of use: what the box may use (QFP_CORES), or the cores this process may run on."""
    try:
        allowed = float(os.environ["QFP_CORES"])
    except (KeyError, ValueError):
        affinity = getattr(os, "sched_getaffinity", None)
        allowed = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, math.ceil(allowed))


def run_here(
    call: Callable[[int], Any],
    count: int,
    on_progress: Callable[[int], None],
    enough: Callable[[int], bool] | None = None,
) -> list[Any] | Failure:
    """The results of all items, one after the other in this process, or the first failure. enough: see run_forked."""
    results: list[Any] = []
    for position in range(count):
        if enough is not None and enough(position):
            break
        try:
            results.append(call(position))
        except (Exception, SystemExit) as error:
            return Failure.of(position, error)
        on_progress(position + 1)
    return results


def run_forked(
    call: Callable[[int], Any],
    count: int,
    workers: int,
    chunk: int | None,
    on_progress: Callable[[int], None],
    enough: Callable[[int], bool] | None = None,
) -> list[Any] | Failure:
    """The results of all items in order, made by forked workers, or the failure of the first item that failed.

    call: position -> result. chunk: items handed to a worker at a time; chosen when None.
    enough: asked again and again with the number of finished items; True ends the call early, with the results of
      the first items and without those of the rest.
    """
    workers = min(workers, count)
    if workers <= 1 or not hasattr(os, "fork"):
        return run_here(call, count, on_progress, enough)
    size = chunk or max(1, count // (workers * CHUNKS_PER_WORKER))
    forked = Forked(call, count, size, on_progress, enough)
    try:
        if not forked.start(min(workers, math.ceil(count / size))):
            return run_here(call, count, on_progress, enough)
        return forked.collect()
    finally:
        forked.end()


@dataclass
class _Worker:
    slot: int
    pid: int
    tasks: int  # descriptors of our ends
    results: int
    buffer: bytearray = field(default_factory=bytearray)
    chunk: tuple[int, int] | None = None  # what it works on


class Forked:
    """The workers of one call, seen from the program that started them."""

    def __init__(
        self,
        call: Callable[[int], Any],
        count: int,
        chunk: int,
        on_progress: Callable[[int], None],
        enough: Callable[[int], bool] | None = None,
    ) -> None:
        self.call, self.count, self.chunk, self.on_progress, self.enough = call, count, chunk, on_progress, enough
        self.workers: dict[int, _Worker] = {}  # by the descriptor their results come through
        self.results: dict[int, list[Any]] = {}  # by first position of the chunk
        self.failure: Failure | None = None
        self.next_position = 0
        self.poller = select.poll()

    def start(self, number: int) -> bool:
        """Fork so many workers, or as many as the limits allow; False when not a single one."""
        # Two numbers a worker, written by it and read by us: the item it works on, and how many it has finished.
        self.board = memoryview(mmap.mmap(-1, 16 * number)).cast("q")
        flush_texts()  # or every worker would print again what waits in the buffers
        # An interrupt during a fork would be raised in what libraries do around it, where Python drops it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for slot in range(number):
                self._fork(slot)
        except OSError:
            pass  # no more processes, or no more memory: those that are there do the work
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        return bool(self.workers)

    def _fork(self, slot: int) -> None:
        pipes: list[int] = []
        try:
            pipes += os.pipe()
            pipes += os.pipe()
            pid = os.fork()
        except OSError:
            for descriptor in pipes:
                os.close(descriptor)
            raise
        task_read, task_write, result_read, result_write = pipes
        if pid == 0:
            try:
                # Ends of the others' pipes in here would hide that they, or the program, are gone.
                for other in self.workers.values():
                    os.close(other.tasks)
                    os.close(other.results)
                os.close(task_write)
                os.close(result_read)
                _Work(self.call, task_read, result_write, self.board, slot).until_told_to_stop()
            finally:
                os._exit(0)
        os.close(task_read)
        os.close(result_write)
        _widen(result_read)
        worker = _Worker(slot, pid, task_write, result_read)
        self.workers[result_read] = worker
        self.poller.register(result_read, select.POLLIN | select.POLLHUP)
        self._give_chunk(worker)

    def _give_chunk(self, worker: _Worker) -> None:
        worker.chunk = None
        if self.failure is not None or self.next_position >= self.count:
            return
        start = self.next_position
        stop = min(start + self.chunk, self.count)
        self.next_position = stop
        worker.chunk = (start, stop)
        with contextlib.suppress(BrokenPipeError):  # it has died: its results' end says so
            os.write(worker.tasks, _TASK.pack(start, stop))

    def collect(self) -> list[Any] | Failure:
        """Take results until all are there, or until nothing before the first failure is in work any more."""
        while self._waiting_for_more():
            for descriptor, _ in self.poller.poll(int(POLL_SECONDS * 1000)):
                self._read(self.workers[descriptor])
            done = sum(self.board[1::2])
            self.on_progress(done)
            if self.enough is not None and self.enough(done):
                self.count = self.next_position  # what has been handed out is finished, the rest is not begun
        if self.failure is not None:
            return self.failure
        return [result for start in sorted(self.results) for result in self.results[start]]

    def _waiting_for_more(self) -> bool:
        limit = self.count if self.failure is None else self.failure.position
        return any(worker.chunk is not None and worker.chunk[0] < limit for worker in self.workers.values())

    def _read(self, worker: _Worker) -> None:
        data = os.read(worker.results, PIPE_BYTES)
        if not data:
            self._bury(worker)
            return
        worker.buffer += data
        while len(worker.buffer) >= _FRAME.size:
            kind, start, length = _FRAME.unpack_from(worker.buffer)
            end = _FRAME.size + length
            if len(worker.buffer) < end:
                return
            body = bytes(memoryview(worker.buffer)[_FRAME.size : end])
            del worker.buffer[:end]
            self._take(worker, kind, start, body)

    def _take(self, worker: _Worker, kind: bytes, start: int, body: bytes) -> None:
        if kind == MESSAGE:
            message = json.loads(body)
            instead = message.pop("instead", "") if channel.relay is None else ""
            if not channel.emit(message) and channel.connected and instead:
                print(instead)
            return
        if kind == FAILURE:
            self._fail(Failure(**json.loads(body)))
        else:
            try:
                self.results[start] = pickle.loads(body)  # noqa: S301  (from our own copy)
            except Exception as error:
                self._fail(Failure.of(start, error))
        self._give_chunk(worker)

    def _fail(self, failure: Failure) -> None:
        if self.failure is None or failure.position < self.failure.position:
            self.failure = failure

    def _bury(self, worker: _Worker) -> None:
        """A worker is gone. If it was at work, its item is what ended it."""
        self.poller.unregister(worker.results)
        _, status = os.waitpid(worker.pid, 0)
        if worker.chunk is not None:
            start, stop = worker.chunk
            position = self.board[2 * worker.slot]
            position = position if start <= position < stop else start
            self._fail(Failure(position, "WorkerDied", how_it_ended(status)))
        self._forget(worker)

    def _forget(self, worker: _Worker) -> None:
        del self.workers[worker.results]
        os.close(worker.tasks)
        os.close(worker.results)

    def end(self) -> None:
        """No worker is left when this returns, whatever it was doing."""
        for worker in list(self.workers.values()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)
        for worker in list(self.workers.values()):
            with contextlib.suppress(ChildProcessError):  # the program waits for its children itself
                os.waitpid(worker.pid, 0)
            self._forget(worker)


_WHY = {
    "SIGKILL": "; most often the system does that when memory runs out",
    "SIGSEGV": "; compiled code read memory that is not its own",
    "SIGXCPU": "; the processor time is used up",
}


def how_it_ended(status: int) -> str:
    """What the end of a worker's process means, in words."""
    if not os.WIFSIGNALED(status):
        return f"the worker process left with exit code {os.waitstatus_to_exitcode(status)} instead of a result"
    number = os.WTERMSIG(status)
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    why = _WHY.get(name, "")
    return f"the worker process was ended by {name}{why}"


class _Work:
    """The loop of one worker, in the forked process."""

    def __init__(self, call: Callable[[int], Any], tasks: int, results: int, board: memoryview, slot: int) -> None:
        self.call, self.tasks, self.results, self.board, self.slot = call, tasks, results, board, slot
        self.lock = threading.Lock()

    def until_told_to_stop(self) -> None:
        global in_worker
        in_worker = True
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the program that was interrupted ends its workers
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        gc.freeze()  # a collection would copy every page it marks
        channel.relay = self._relay
        _widen(self.results)
        _renew_random_numbers()
        try:
            while chunk := self._next_chunk():
                self._do(*chunk)
        except BrokenPipeError:
            pass  # the program is gone

    def _next_chunk(self) -> tuple[int, int] | None:
        data = b""
        while len(data) < _TASK.size:
            more = os.read(self.tasks, _TASK.size - len(data))
            if not more:
                return None
            data += more
        start, stop = _TASK.unpack(data)
        return start, stop

    def _do(self, start: int, stop: int) -> None:
        results = []
        for position in range(start, stop):
            self.board[2 * self.slot] = position
            try:
                results.append(self.call(position))
            except BaseException as error:  # sys.exit() in an item is a failure of it, too
                self._send_failure(Failure.of(position, error))
                return
            self.board[2 * self.slot + 1] += 1
        try:
            body = dumps(results)
        except Exception as error:
            self._send_failure(first_unpicklable(results, start, error))
            return
        self._send(RESULTS, start, body)

    def _relay(self, message: dict[str, Any]) -> None:
        """Messages of workers go through the program, or lines of two of them could mix. It has a bar of its own."""
        if message.get("type") != "progress":
            self._send(MESSAGE, 0, json.dumps(message, default=channel.plain).encode())

    def _send_failure(self, failure: Failure) -> None:
        self._send(FAILURE, failure.position, json.dumps(vars(failure)).encode())

    def _send(self, kind: bytes, start: int, body: bytes) -> None:
        flush_texts()  # what an item printed is out before its result is, as the program may end us after that
        with self.lock:
            write_all(self.results, _FRAME.pack(kind, start, len(body)))
            write_all(self.results, body)


def dumps(value: Any) -> bytes:
    """Pickled; by cloudpickle where it is installed and the standard library cannot (a lambda, a local class)."""
    try:
        return pickle.dumps(value, protocol=5)
    except Exception:
        try:
            import cloudpickle
        except ImportError:
            cloudpickle = None
        if cloudpickle is None:
            raise
        return cloudpickle.dumps(value, protocol=5)


def first_unpicklable(results: list[Any], start: int, error: Exception) -> Failure:
    """Which of the results cannot be sent back."""
    for position, result in enumerate(results, start):
        try:
            dumps(result)
        except Exception as its_error:
            text = f"the result, of type {type(result).__name__}, cannot be sent back: {its_error}"
            return Failure(position, type(its_error).__name__, text[:MAX_MESSAGE])
    return Failure(start, type(error).__name__, f"the results cannot be sent back: {error}"[:MAX_MESSAGE])


def flush_texts() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # the program closed or replaced it
            stream.flush()


def write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _widen(descriptor: int) -> None:
    """A larger pipe means fewer turns between the two processes; the system may refuse."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _renew_random_numbers() -> None:
    """All workers are copies: NumPy's global generator would give the same numbers in each of them."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
