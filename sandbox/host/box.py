"""What happens to one box between its start and its `ended` event? Read from run(): spawn, follow, stop, tell.

Order is kept by both ends: the program's side waits until a pipe is empty before it writes to another one
(sandbox/inside/streams.py), and this side looks at the rich channel first.

All boxes share one event loop, so no box may make it expensive: lines of the rich channel are read a few at a time,
each one counts, and so few may be junk that writing it is never cheaper than reading it. A mistake of ours while we
read one box is the end of that box, told like any other end.
"""

from __future__ import annotations

import array
import asyncio
import base64
import codecs
import ctypes
import dataclasses
import hashlib
import json
import logging
import os
import signal
import socket
import struct
import subprocess
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox.host import messages, outcome
from sandbox.host.cgroups import Group, Parent, Usage
from sandbox.host.nsjail import Identity, command, program_limits
from sandbox.host.outcome import Observed
from sandbox.host.processes import tree_usage
from sandbox.host.staging import Staging
from sandbox.protocol import BoxRequest, dump_json

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 0.05
PROGRESS_SECONDS = 0.1
LOOK_SECONDS = 0.1  # how often the clock, the processor time and the memory are looked at
START_SECONDS = 20.0
STOP_SECONDS = 0.8  # from asking init to end everything until we do
ARTEFACT_SECONDS = 5.0
NSJAIL_SECONDS = 2.0  # from the end of process 1 to that of nsjail, which only has to reap it
CHUNK = 1 << 16
MAX_PENDING_PIECES = 40
GROUP_SLACK_BYTES = 32 << 20  # init, page tables, kernel memory
NEAR_LIMIT = 0.85
MAX_REFUSAL_NOTICES = 3
MAX_REFUSED = 1000  # lines of the rich channel that are no message of ours
LINES_PER_TURN = 50  # of the rich channel, before the event loop looks at the other boxes
OUTPUT_LIMITS = ("output_bytes", "rich_bytes", "events")
OWN_PROCESSES = 2  # of a box's tree: nsjail and init
MAX_STDIN_BACKLOG = 1 << 20

_HEADER = struct.Struct(">Ic")
_LIBC = ctypes.CDLL(None)  # loaded here: nothing may be loaded between fork and exec

Send = Callable[[dict[str, Any]], None]


class BoxFailed(Exception):
    """The box could not be made; the text is for operators."""


class Box:
    def __init__(
        self,
        request: BoxRequest,
        name: str,
        nsjail: Path,
        staging: Staging,
        identity: Identity,
        parent: Parent | None,
        send: Send,
        may_send: Callable[[], bool],
    ) -> None:
        self.request = request
        self.limits = request.limits
        self.name = name
        self._nsjail = nsjail
        self._staging = staging
        self._identity = identity
        self._parent = parent
        self._send = send
        self._may_send = may_send
        self._loop = asyncio.get_running_loop()
        self._started_at = time.monotonic()
        self._observed = Observed()
        self._usage = Usage(0.0, 0, 0, 0, 0)
        self._peak_memory = 0
        self._most_processes = 0
        self._group: Group | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._init_descriptor: int | None = None  # pidfd of process 1 of the box
        self._ended = asyncio.Event()
        self._descriptors: set[int] = set()
        self._output: Output | None = None
        self._control: Control | None = None
        self._stdin = -1
        self._stdin_backlog = bytearray()
        self._kill_timer: asyncio.TimerHandle | None = None
        self._artefacts: list[dict[str, Any]] = []
        self._skipped: list[dict[str, Any]] = []
        self._log = b""
        self._log_descriptor = -1
        self._early_errors = -1

    # What the engine may ask of a box

    def cancel(self) -> None:
        self.stop("cancelled")

    def abandon(self) -> None:
        """Nobody is there to hear how it ends."""
        self.stop("cancelled")
        self.kill()

    def log(self) -> str:
        """What nsjail wrote about this box; for operators, never for users."""
        return self._log.decode("utf-8", "replace")

    def interrupt(self) -> None:
        self._observed.interrupted = True
        if self._control is not None:
            self._control.send({"type": "interrupt"})

    def write_input(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        if self._stdin < 0 or len(self._stdin_backlog) + len(data) > MAX_STDIN_BACKLOG:
            return
        self._stdin_backlog += data
        self._write_stdin()

    def stop(self, reason: str) -> None:
        """End the program for a reason that becomes the outcome; the first reason counts."""
        first = self._observed.stopped_for is None
        living = not self._observed.reported and not self._ended.is_set()
        too_much = reason in OUTPUT_LIMITS
        if first and (living or (too_much and self._observed.reported)):
            self._observed.stopped_for = reason  # what an ended program left in its pipes counts all the same
        if too_much and self._output is not None:
            self._output.close()
        if not first or not living:
            return
        if self._control is not None:
            self._control.send({"type": "stop"})
        self._kill_timer = self._loop.call_later(STOP_SECONDS, self.kill)

    def kill(self) -> None:
        """SIGKILL to process 1: the kernel ends its pid namespace before the box can answer, and nsjail reaps it."""
        if self._init_descriptor is not None:
            try:
                signal.pidfd_send_signal(self._init_descriptor, signal.SIGKILL)
            except ProcessLookupError:
                pass
        elif self._process is not None and self._process.poll() is None:
            self._process.kill()

    def fail(self, error: Exception) -> None:
        """A mistake of ours: this box ends as crashed, now, and the others do not notice."""
        logger.error("run %s: the engine failed", self.request.run_id, exc_info=error)
        self._observed.stopped_for = "crashed"
        self._observed.crash = f"{type(error).__name__}: {error}"
        if self._output is not None:
            self._output.drop()
        self.kill()
        self._ended.set()

    def guarded(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        """For callbacks of the event loop, whose errors nobody would hear of."""

        def call(*arguments: Any) -> Any:
            try:
                return callback(*arguments)
            except Exception as error:
                self.fail(error)
                return None

        return call

    # The life of the box

    async def run(self) -> None:
        """From nothing to the `ended` event. Whatever happens, nothing of the box is left when this returns."""
        looking: asyncio.Task[None] | None = None
        try:
            await self._spawn()
            looking = asyncio.create_task(self._look())
            await self._ended.wait()
        except (BoxFailed, OSError, TimeoutError) as error:
            self._observed.stopped_for = self._observed.stopped_for or "crashed"
            self._observed.crash = str(error) or type(error).__name__
        except Exception as error:
            self.fail(error)
        finally:
            if looking is not None:
                looking.cancel()
            try:
                await self._clean_up()
            except Exception as error:
                self.fail(error)
        self._tell()

    async def _spawn(self) -> None:
        if self._parent is not None:
            memory = int(self.limits.memory_bytes) + int(self.limits.disk_bytes) + GROUP_SLACK_BYTES
            self._group = self._parent.make(self.name, memory, int(self.limits.processes) + 1)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        stdin_read, self._stdin = os.pipe()
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        rich_read, rich_write = os.pipe()
        log_read, log_write = os.pipe()
        self._descriptors |= {self._stdin, out_read, err_read, rich_read, log_read}
        for descriptor in (self._stdin, out_read, err_read, rich_read, log_read):
            os.set_blocking(descriptor, False)
        words = command(
            self._nsjail,
            self._staging,
            self._identity,
            self.limits,
            self.request.snapshot,
            theirs.fileno(),
            rich_write,
            log_write,
        )
        try:
            self._process = subprocess.Popen(  # noqa: ASYNC220  (a millisecond; the pidfd says when it ends)
                words,
                stdin=stdin_read,
                stdout=out_write,
                stderr=err_write,
                pass_fds=(theirs.fileno(), rich_write, log_write),
                env={},
                cwd="/",
                start_new_session=True,
                preexec_fn=_die_with_the_engine,
            )
        finally:
            for descriptor in (stdin_read, out_write, err_write, rich_write, log_write):
                os.close(descriptor)
            theirs.close()
        self._log_descriptor = log_read
        self._early_errors = err_read  # until the program runs, only nsjail and its loader can write there
        self._loop.add_reader(log_read, self._read_log)
        self._control = Control(ours, self.guarded(self._on_control), self._on_control_closed)
        nsjail_descriptor = os.pidfd_open(self._process.pid)
        self._descriptors.add(nsjail_descriptor)
        self._loop.add_reader(nsjail_descriptor, self._on_nsjail_ended, nsjail_descriptor)

        pid = await asyncio.wait_for(self._control.hello(), START_SECONDS)
        self._init_descriptor = os.pidfd_open(pid)
        self._descriptors.add(self._init_descriptor)
        if self._group is not None:
            self._group.add(pid)  # everything the box does comes after this
        if self._observed.stopped_for is not None:
            raise BoxFailed("stopped before it had started")
        self._output = Output(self, out_read, err_read, rich_read)
        self._control.send(
            {
                "files": self.request.files,
                "entry": self.request.entry,
                "params": self.request.params,
                "rlimits": program_limits(self.limits, self._group is not None),
                "limits": {
                    "disk_bytes": int(self.limits.disk_bytes),
                    "artefact_bytes": int(self.limits.artefact_bytes),
                    "artefact_count": int(self.limits.artefact_count),
                },
            }
        )

    def seconds(self) -> float:
        return round(time.monotonic() - self._started_at, 4)

    async def _look(self) -> None:
        while not self._ended.is_set():
            await asyncio.sleep(LOOK_SECONDS)
            self.guarded(self._look_once)()

    def _look_once(self) -> None:
        if self.seconds() > self.limits.wall_seconds:
            self.stop("wall_seconds")
        self._look_at_usage()
        if self._output is not None:
            self._output.resume_when_possible()

    def _look_at_usage(self) -> None:
        usage = self._measure()
        self._usage = usage
        self._peak_memory = max(self._peak_memory, usage.memory_bytes)
        self._most_processes = max(self._most_processes, usage.processes)
        self._observed.out_of_memory_kills = usage.out_of_memory_kills
        self._observed.refused_processes = usage.refused_processes
        if usage.cpu_seconds > self.limits.cpu_seconds:
            self.stop("cpu_seconds")
        elif usage.out_of_memory_kills or (
            self._group is None and usage.memory_bytes > self.limits.memory_bytes + self.limits.disk_bytes
        ):
            self.stop("memory_bytes")

    def _measure(self) -> Usage:
        if self._group is not None:
            return self._group.usage()
        if self._process is None:
            return self._usage
        usage = tree_usage(self._process.pid, self.limits.memory_bytes)
        return Usage(
            max(usage.cpu_seconds, self._usage.cpu_seconds),  # what ended between two looks is not in the tree any more
            usage.memory_bytes,
            usage.processes,
            0,
            int(usage.processes - OWN_PROCESSES >= self.limits.processes),
        )

    def _on_control(self, kind: bytes, body: bytes) -> None:
        """A message of init. It is ours, but it lives in the box: believe no size and no type."""
        if kind == b"D":
            self._add_artefact_bytes(body)
            return
        try:
            message = json.loads(body)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            self.kill()
            return
        kind_name = message.get("type")
        if kind_name == "running":
            self.emit({"type": "started"})
        elif kind_name == "exited" and not self._observed.reported:
            self._on_exited(message)
        elif kind_name == "artefact":
            size = message.get("size")
            if isinstance(size, int) and len(self._artefacts) < self.limits.artefact_count:
                self._artefacts.append({"name": str(message.get("name"))[:2000], "size": size, "content": bytearray()})
        elif kind_name == "skipped":
            files = message.get("files")
            for file in files[:100] if isinstance(files, list) else []:
                if isinstance(file, dict):
                    self._skipped.append({"name": str(file.get("name"))[:2000], "why": str(file.get("why"))[:100]})
        elif kind_name == "done":
            self._ended.set()

    def _on_exited(self, message: dict[str, Any]) -> None:
        observed = self._observed
        observed.reported = True
        observed.exit_code = message["code"] if isinstance(message.get("code"), int) else None
        observed.exit_signal = message["signal"] if isinstance(message.get("signal"), int) else None
        observed.disk_full = message.get("disk_full") is True
        if isinstance(message.get("max_rss_bytes"), int):
            self._peak_memory = max(self._peak_memory, min(message["max_rss_bytes"], int(self.limits.memory_bytes)))
        if self._group is None and isinstance(message.get("cpu_seconds"), float):
            used = max(self._usage.cpu_seconds, message["cpu_seconds"])
            self._usage = dataclasses.replace(self._usage, cpu_seconds=used)
        if isinstance(message.get("processes"), int):
            self._most_processes = max(self._most_processes, message["processes"] + OWN_PROCESSES)
        if self._kill_timer is not None:
            self._kill_timer.cancel()
        self._kill_timer = self._loop.call_later(ARTEFACT_SECONDS, self.kill)

    def _add_artefact_bytes(self, data: bytes) -> None:
        if not self._artefacts:
            return
        artefact = self._artefacts[-1]
        total = sum(len(each["content"]) for each in self._artefacts) + len(data)
        if len(artefact["content"]) + len(data) <= artefact["size"] and total <= self.limits.artefact_bytes:
            artefact["content"] += data

    def _on_control_closed(self) -> None:
        self._ended.set()

    def _on_nsjail_ended(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        if self._control is not None:
            self._control.fail()
        # Its end may overtake what init wrote just before; that is still in the socket.
        self._loop.call_later(0.2, self._ended.set)

    def _read_log(self) -> None:
        try:
            data = os.read(self._log_descriptor, CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._loop.remove_reader(self._log_descriptor)
        self._log = (self._log + data)[-8000:]

    def _write_stdin(self) -> None:
        try:
            while self._stdin_backlog:
                del self._stdin_backlog[: os.write(self._stdin, self._stdin_backlog[:4096])]
        except BlockingIOError:
            self._loop.add_writer(self._stdin, self._write_stdin)
            return
        except OSError:
            self._stdin_backlog.clear()
        self._loop.remove_writer(self._stdin)

    async def _clean_up(self) -> None:
        if self._group is not None:
            self._look_at_usage()
        self.kill()
        if self._kill_timer is not None:
            self._kill_timer.cancel()
        if self._output is not None:
            try:
                await self._output.finish()
            except Exception as error:
                self.fail(error)
        if self._process is not None:
            patience = time.monotonic() + NSJAIL_SECONDS
            while self._process.poll() is None:
                if time.monotonic() > patience:
                    self._process.kill()
                await asyncio.sleep(0.002)
            self._read_log()
        if self._output is None and self._early_errors >= 0:
            try:
                self._log += os.read(self._early_errors, CHUNK)
            except BlockingIOError:
                pass
        if self._control is not None:
            self._control.close()
        for descriptor in self._descriptors:
            self._loop.remove_reader(descriptor)
            self._loop.remove_writer(descriptor)
            os.close(descriptor)
        self._descriptors.clear()
        self._init_descriptor = None  # its number may be another box's by now
        self._stdin = -1
        if self._group is not None:
            self._group.kill()
            if not self._group.remove():
                logger.warning("run %s: control group %s is still busy", self.request.run_id, self.name)

    # What the client hears

    def emit(self, event: dict[str, Any]) -> None:
        self._send({**event, "t": self.seconds()})

    def note_error(self, error: dict[str, Any], number: int | None) -> None:
        self._observed.error = error
        self._observed.error_number = number

    def may_send(self) -> bool:
        return self._may_send()

    def _tell_files(self) -> None:
        for artefact in self._artefacts:
            content = bytes(artefact["content"])
            if len(content) != artefact["size"]:
                self._skipped.append({"name": artefact["name"], "why": "incomplete"})
                continue
            self.emit(
                {
                    "type": "artefact",
                    "name": artefact["name"],
                    "size": len(content),
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "content_base64": base64.b64encode(content).decode("ascii"),
                }
            )

    def _tell(self) -> None:
        self.guarded(self._tell_files)()  # before the outcome is decided: failing is one
        observed = self._observed
        # Sampling cannot see a peak that was refused at once: nearly all of it used counts as met.
        observed.memory_near_limit = self._peak_memory > NEAR_LIMIT * self.limits.memory_bytes
        if self._group is None:
            observed.refused_processes = int(self._most_processes - OWN_PROCESSES >= self.limits.processes)
        result, limit = outcome.decide(observed)
        if result == "crashed":
            logger.error(
                "run %s: the box failed: %s %s",
                self.request.run_id,
                observed.crash,
                self.log().strip()[-2000:],
            )
        self.emit(
            {
                "type": "ended",
                "outcome": result,
                "limit": None if limit is None else {"name": limit, "value": getattr(self.limits, limit)},
                "exit": {"code": observed.exit_code, "signal": observed.exit_signal},
                "error": observed.error,
                "cpu_seconds": round(self._usage.cpu_seconds, 3),
                "wall_seconds": self.seconds(),
                "peak_memory_bytes": self._peak_memory,
                "notices": [
                    {"limit": name, "value": getattr(self.limits, name)} for name in outcome.limits_met(observed, limit)
                ],
                "artefacts_skipped": self._skipped,
            }
        )


class Control:
    """Our end of the socket to init."""

    def __init__(
        self, ours: socket.socket, on_message: Callable[[bytes, bytes], None], on_closed: Callable[[], None]
    ) -> None:
        self._socket = ours
        self._socket.setblocking(False)
        self._on_message = on_message
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._hello: asyncio.Future[int] = self._loop.create_future()
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self._loop.add_reader(ours, self._read_hello)

    async def hello(self) -> int:
        """Init's pid as we see it, which the kernel tells with its first message; init cannot lie about it."""
        return await self._hello

    def fail(self) -> None:
        if not self._hello.done():
            self._hello.set_exception(BoxFailed("nsjail ended before the box had started"))

    def send(self, message: dict[str, Any]) -> None:
        body = dump_json(message)
        self._outgoing += _HEADER.pack(len(body), b"J") + body
        self._write()

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()
        if not self._hello.done():
            self._hello.cancel()

    def _read_hello(self) -> None:
        try:
            data, ancillary, _flags, _address = self._socket.recvmsg(6, socket.CMSG_SPACE(12))
        except OSError:
            data, ancillary = b"", []
        self._loop.remove_reader(self._socket)
        pid = next(
            (array.array("i", part)[0] for _level, kind, part in ancillary if kind == socket.SCM_CREDENTIALS),
            0,
        )
        if self._hello.done():
            return
        if data != b"hello\n" or pid <= 0:
            self._hello.set_exception(BoxFailed("process 1 of the box did not answer"))
            return
        # From here on plain recv(): the kernel drops any descriptor that comes with a message.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        self._hello.set_result(pid)
        self._loop.add_reader(self._socket, self._read)

    def _read(self) -> None:
        try:
            data = self._socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._socket)
            self._on_closed()
            return
        self._incoming += data
        while len(self._incoming) >= _HEADER.size:
            length, kind = _HEADER.unpack_from(self._incoming)
            if length > 1 << 20:
                self._loop.remove_reader(self._socket)
                self._on_closed()
                return
            end = _HEADER.size + length
            if len(self._incoming) < end:
                return
            body = bytes(self._incoming[_HEADER.size : end])
            del self._incoming[:end]
            self._on_message(kind, body)

    def _write(self) -> None:
        try:
            while self._outgoing:
                del self._outgoing[: self._socket.send(self._outgoing[: 1 << 18])]
        except BlockingIOError:
            self._loop.add_writer(self._socket, self._write)
            return
        except OSError:
            self._outgoing.clear()
        if self._socket.fileno() >= 0:
            self._loop.remove_writer(self._socket)


class Output:
    """stdout, stderr and the rich channel of a box, read under its limits and turned into events in order."""

    def __init__(self, box: Box, out: int, err: int, rich: int) -> None:
        self._box = box
        self._loop = asyncio.get_running_loop()
        self._texts = {out: "stdout", err: "stderr"}
        self._rich = rich
        self._open = {out, err, rich}
        self._decoders = {out: _decoder(), err: _decoder()}
        self._pieces: list[list[Any]] = []  # [stream, text], in order of arrival
        self._last_flush = 0.0
        self._flush_timer: asyncio.TimerHandle | None = None
        self._progress: dict[str, tuple[float, dict[str, Any] | None]] = {}
        self._line = bytearray()
        self._skipping = False
        self._backlog: deque[bytes] = deque()  # lines of the rich channel, read and not yet looked at
        self._continuing = False
        self._text_bytes = 0
        self._rich_bytes = 0
        self._events = 0
        self._lines = 0
        self._refused = 0
        self._closed = False
        self._paused = False
        self._read = box.guarded(self._pump)
        for descriptor in self._open:
            self._loop.add_reader(descriptor, self._read)

    def close(self) -> None:
        """A limit was met: what came before stays, nothing more is read."""
        if not self._closed:
            self._flush()
            self.drop()

    def drop(self) -> None:
        """Nothing more is read or said, not even what has come."""
        self._closed = True
        self._backlog.clear()
        self._line.clear()
        if self._flush_timer is not None:
            self._flush_timer.cancel()
        for descriptor in self._open:
            self._loop.remove_reader(descriptor)

    async def finish(self) -> None:
        """The program has ended: read what the pipes still hold and say it."""
        if self._closed:
            return
        self._paused = True  # its readers; a slow client does not keep a box that has ended
        for descriptor in self._open:
            self._loop.remove_reader(descriptor)
        while self._pump():
            await asyncio.sleep(0)  # the other boxes' turn
            if self._closed:
                return
        if self._closed:
            return
        for descriptor, decoder in self._decoders.items():
            self._add_text(self._texts[descriptor], decoder.decode(b"", True))
        for name in list(self._progress):
            self._flush_progress(name)
        self.close()

    def resume_when_possible(self) -> None:
        if self._paused and not self._closed and self._box.may_send():
            self._paused = False
            for descriptor in self._open:
                self._loop.add_reader(descriptor, self._read)
            self._read()

    def _pump(self) -> bool:
        """Read each pipe once, the rich channel first. True when anything came."""
        if self._closed:
            return False
        if not self._box.may_send() and not self._paused:
            # The client is slow: stop reading, the pipes fill, the program waits.
            self._paused = True
            for descriptor in self._open:
                self._loop.remove_reader(descriptor)
            return False
        if self._backlog:
            self._take_lines()
            return True
        came = False
        for descriptor in (self._rich, *self._texts):
            if descriptor not in self._open or self._closed:
                continue
            try:
                data = os.read(descriptor, CHUNK)
            except BlockingIOError:
                continue
            if not data:
                self._open.discard(descriptor)
                self._loop.remove_reader(descriptor)
                continue
            came = True
            if descriptor == self._rich:
                self._take_rich(data)
                if self._backlog:
                    break  # the texts come after all of it
            else:
                self._take_text(descriptor, data)
        return came

    # Text

    def _take_text(self, descriptor: int, data: bytes) -> None:
        limits = self._box.limits
        room = int(limits.output_bytes) - self._text_bytes
        self._text_bytes += len(data)
        self._add_text(self._texts[descriptor], self._decoders[descriptor].decode(data[: max(0, room)]))
        if self._text_bytes > limits.output_bytes:
            self._flush()
            self._box.stop("output_bytes")
            return
        now = time.monotonic()
        if now - self._last_flush >= FLUSH_SECONDS:
            self._flush()
        elif self._flush_timer is None and self._pieces:
            flush = self._box.guarded(self._flush)
            self._flush_timer = self._loop.call_later(FLUSH_SECONDS - (now - self._last_flush), flush)

    def _add_text(self, stream: str, text: str) -> None:
        if not text:
            return
        text = text.replace("\x00", "\ufffd")
        if self._pieces and self._pieces[-1][0] == stream:
            self._pieces[-1][1] += text
        elif len(self._pieces) >= MAX_PENDING_PIECES:
            # Two streams taking turns thousands of times a second: order within this moment is given up.
            next(piece for piece in self._pieces if piece[0] == stream)[1] += text
        else:
            self._pieces.append([stream, text])

    def _flush(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        self._last_flush = time.monotonic()
        pieces, self._pieces = self._pieces, []
        for stream, text in pieces:
            if not self._emit({"type": stream, "text": text}):
                return

    # Rich messages

    def _take_rich(self, data: bytes) -> None:
        limits = self._box.limits
        self._rich_bytes += len(data)
        if self._rich_bytes > limits.rich_bytes:
            self._box.stop("rich_bytes")
            return
        *lines, rest = data.split(b"\n")
        for line in lines:
            if self._skipping:
                self._skipping = False
                continue
            self._line += line
            self._backlog.append(bytes(self._line))
            self._line.clear()
        self._take_lines()
        if not self._skipping and not self._closed:
            self._line += rest
            if len(self._line) > limits.rich_message_bytes:
                self._line.clear()
                self._skipping = True
                self._lines += 1
                self._refuse_size()

    def _take_lines(self) -> None:
        """A few of the lines that have come; the rest when the other boxes have had their turn."""
        for _ in range(LINES_PER_TURN):
            if not self._backlog:
                return
            self._take_line(self._backlog.popleft())
        if self._backlog and not self._continuing and not self._paused:
            self._continuing = True  # the pipes may have nothing more that would wake us
            self._loop.call_soon(self._continue)

    def _continue(self) -> None:
        self._continuing = False
        if self._backlog and not self._paused:
            self._read()

    def _take_line(self, line: bytes) -> None:
        self._lines += 1
        if self._lines > self._box.limits.events:
            self._box.stop("events")
            return
        if not line.strip():
            return
        if len(line) > self._box.limits.rich_message_bytes:
            self._refuse_size()
            return
        try:
            message, number = messages.read_message(line)
            dump_json(message)
        except messages.Refused as refusal:
            self._notice(f"A result could not be shown: it was {refusal}.")
            return
        except (ValueError, RecursionError):
            self._notice("A result could not be shown: it was not JSON.")
            return
        if message["type"] == "error":
            self._box.note_error({key: message[key] for key in message if key != "type"}, number)
        if message["type"] == "progress":
            self._take_progress(message)
            return
        self._flush()
        self._emit(message)

    def _take_progress(self, message: dict[str, Any]) -> None:
        """At most ten a second of each bar; the last one is never lost."""
        name = message["id"]
        if name not in self._progress and len(self._progress) >= 100:
            return
        now = time.monotonic()
        last, pending = self._progress.get(name, (0.0, None))
        if now - last >= PROGRESS_SECONDS:
            self._progress[name] = (now, None)
            self._flush()
            self._emit(message)
            return
        self._progress[name] = (last, message)
        if pending is None:
            flush = self._box.guarded(self._flush_progress)
            self._loop.call_later(PROGRESS_SECONDS - (now - last), flush, name)

    def _flush_progress(self, name: str) -> None:
        _last, pending = self._progress.get(name, (0.0, None))
        if pending is not None and not self._closed:
            self._progress[name] = (time.monotonic(), None)
            self._emit(pending)

    def _refuse_size(self) -> None:
        megabytes = self._box.limits.rich_message_bytes / 2**20
        self._notice(f"A result was left out: it was larger than {megabytes:.3g} MB, the limit for one.")

    def _notice(self, text: str) -> None:
        self._refused += 1
        if self._refused <= MAX_REFUSAL_NOTICES:
            self._flush()
            self._emit({"type": "notice", "text": text})
        elif self._refused > MAX_REFUSED:
            self._box.stop("events")

    def _emit(self, event: dict[str, Any]) -> bool:
        if self._closed:
            return False
        self._events += 1
        if self._events > self._box.limits.events:
            self._pieces.clear()
            self._box.stop("events")
            return False
        self._box.emit(event)
        return True


def _decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")("replace")


def _die_with_the_engine() -> None:
    """In the child before nsjail starts: the kernel kills it when the engine is gone, and with it the box."""
    _LIBC.prctl(1, signal.SIGKILL, 0, 0, 0)
