"""Who starts boxes on this machine? This daemon: `python -m sandbox.host.engine --socket S --env E --store D --state
D`.

It trusts whoever may open its socket and has the same uid (or is root), and nobody else. It imports no Django and
holds no credentials, so there is nothing in it for a box to find. A box lives no longer than the connection that asked
for it, a session's no longer than it is used, and none longer than this process.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import logging
import os
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

from sandbox.host import backends, devices, outcome
from sandbox.host.admission import Admission
from sandbox.host.box import Box
from sandbox.host.boxes import Boxes
from sandbox.host.cells import CellRun
from sandbox.host.identities import NoFreeNumbers
from sandbox.host.launching import LaunchFailed
from sandbox.host.listening import Listener, next_frame
from sandbox.host.metrics import Metrics
from sandbox.host.outcome import Observed
from sandbox.host.sessions import OPERATIONS, Sessions
from sandbox.protocol import (
    OTHER_RELEASE,
    PROTOCOL,
    BoxRequest,
    FrameReader,
    ProtocolError,
    encode_frame,
)

logger = logging.getLogger("sandbox.engine")

VERSION = "fork-1"
QUEUE_SECONDS = 20.0
RECHECK_SECONDS = 15.0
HIGH_WATER_BYTES = 4 << 20


class Engine:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.metrics = Metrics()
        self.boxes = Boxes(options, self.metrics)
        self.reason = self.boxes.prepare()  # why programs are refused; nothing if they are not
        self.admission = Admission(options.max_boxes, options.per_owner)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._checked_at = 0.0
        self._looked = asyncio.Event()  # set when the first trial box has ended
        self._check_lock = asyncio.Lock()
        self.sessions = Sessions(self.boxes.run, options.max_sessions)

    # Start and end

    async def serve(self) -> None:
        path = self.options.socket
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(str(path))
        finally:
            os.umask(before)
        server = await asyncio.start_unix_server(self._serve_connection, sock=listener, limit=1 << 20)
        loop = asyncio.get_running_loop()
        ending = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ending.set)
        for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:
            if signal.getsignal(number) is signal.SIG_IGN:  # by nohup, say: a handler ends with exec, ignoring does not
                signal.signal(number, lambda *_: None)
        await self.check()
        self._looked.set()
        logger.info("ready" if not self.reason else f"not ready: {self.reason}")
        living = asyncio.create_task(self.boxes.live())
        await ending.wait()
        server.close()
        path.unlink(missing_ok=True)
        self.boxes.end_all()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        living.cancel()
        await asyncio.wait([living])

    # Is this machine able to?

    async def check(self) -> None:
        """Run a real box, cold, as that needs least; its failure becomes the reason."""
        async with self._check_lock:
            if not self.boxes.possible and self.options.backend != "nsjail":
                self.reason = await asyncio.to_thread(self.boxes.prepare_backend)  # it may have come since
                self.admission = Admission(self.options.max_boxes, self.options.per_owner)  # a device says how many
            self._checked_at = time.monotonic()
            if not self.boxes.possible:
                return
            self.reason = await self.boxes.why_not("cold")
            unlimited = self.boxes.parent is None and self.options.backend == "nsjail"
            if not self.reason and self.options.production and unlimited:
                self.reason = (
                    "There are no control groups here, so the memory and processor time of a program's processes "
                    "together cannot be limited. In production programs are refused then: run the engine as root or "
                    "with a delegated control group."
                )

    async def status(self) -> dict[str, Any]:
        await self._looked.wait()
        if self.reason and time.monotonic() - self._checked_at > RECHECK_SECONDS:
            await self.check()
        return {
            "type": "status",
            "ready": not self.reason,
            "reason": self.reason,
            "weaknesses": self.boxes.weaknesses,
            "boxes": len(self.boxes.living),
            "sessions": len(self.sessions),
            "max_boxes": self.options.max_boxes,
            "waiting": self.admission.waiting,
            "version": VERSION,
            "protocol": PROTOCOL,
            "root": os.geteuid() == 0,
            "cgroups": self.boxes.parent.version if self.boxes.parent is not None else "none",
            "backend": self.options.backend,
            "device": self.options.device,
            "zygote": self.boxes.zygote_status(),
            "ready_boxes": self.boxes.standing_ready,
        }

    def _gauges(self) -> dict[str, float]:
        zygote = self.boxes.zygote
        return {
            "ready": not self.reason,
            "boxes_running": len(self.boxes.living),
            "boxes_most": self.options.max_boxes,
            "boxes_ready": self.boxes.standing_ready,
            "sessions_open": len(self.sessions),
            "programs_waiting": self.admission.waiting,
            "zygote_usable": zygote is not None and zygote.usable,
            "zygotes_started": zygote.started if zygote is not None else 0,
            "zygote_resident_bytes": zygote.facts.get("resident_bytes", 0) if zygote is not None else 0,
        }

    # Connections

    async def _serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if not _is_trusted(writer.get_extra_info("socket")):
                logger.warning("refused a connection of another user")
                return
            await self._converse(reader, writer)
        except (ConnectionError, ProtocolError, asyncio.IncompleteReadError) as error:
            logger.info("connection ended: %s", error)
        except Exception:
            logger.exception("a conversation failed")  # the client sees a closed connection
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = FrameReader()
        message = await next_frame(reader, frames)
        if message is None:
            return
        if message.get("op") == "status":
            writer.write(encode_frame(await self.status()))
            await writer.drain()
        elif message.get("op") == "metrics":
            writer.write(encode_frame({"type": "metrics", "text": self.metrics.text(self._gauges())}))
            await writer.drain()
        elif message.get("protocol") != PROTOCOL:
            self.metrics.refused += 1
            writer.write(encode_frame({"type": "refused", "reason": OTHER_RELEASE}))
            await writer.drain()
        elif message.get("op") == "start":
            await self._start(message, reader, frames, writer)
        elif message.get("op") in OPERATIONS:
            client = _Client(self, reader, frames, writer)
            try:
                await self.sessions.serve(message, client)
                await writer.drain()
            finally:
                client.leave()
        else:
            raise ProtocolError("unknown operation")

    async def _start(
        self,
        message: dict[str, Any],
        reader: asyncio.StreamReader,
        frames: FrameReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        try:
            request = BoxRequest.from_json(message.get("request"))
        except ValueError as error:
            writer.write(encode_frame({"type": "refused", "reason": f"This program cannot be run: {error}."}))
            return
        if request.session:
            raise ProtocolError("a session is opened, not started")
        reason = await self._why_not(request)
        if reason is not None:
            self.metrics.refused += 1
            writer.write(encode_frame({"type": "refused", "reason": reason}))
            await writer.drain()
            return
        listener = Listener(reader, frames)
        listening = asyncio.create_task(listener.listen())
        accepted = entered = False
        transport = writer.transport

        def accept() -> None:
            nonlocal accepted
            if not accepted:
                writer.write(encode_frame({"type": "accepted", "protocol": PROTOCOL}))
                accepted = True

        def begin(box: Box) -> None:
            accept()
            listener.attach(box)

        def send(event: dict[str, Any]) -> None:
            if not transport.is_closing():
                writer.write(encode_frame(event))

        def may_send() -> bool:
            return transport.get_write_buffer_size() < HIGH_WATER_BYTES

        try:
            if not self.admission.has_place(request.owner):
                accept()  # so that the client can change its mind while it waits
            entered = await self._enter(request, listener, send)
            if entered and self.options.backend == "nsjail":
                await self.boxes.run(request, send, may_send, begin)
            elif entered:  # where making a box may take minutes
                accept()
                await self._run_elsewhere(request, send, may_send, listener)
            if entered:
                self.admission.leave(request.owner)  # a client that reads slowly keeps no place
                entered = False
            await writer.drain()
        except (OSError, LaunchFailed, NoFreeNumbers, TimeoutError) as error:
            logger.exception("run %s: no box", request.run_id)
            if accepted:
                raise ConnectionError(str(error)) from error
            why = getattr(error, "strerror", None) or error
            self.metrics.refused += 1
            reason = f"This machine has no room for another program at the moment ({why}). Try again later."
            writer.write(encode_frame({"type": "refused", "reason": reason}))
            await writer.drain()
        finally:
            listening.cancel()
            if entered:
                self.admission.leave(request.owner)

    async def _enter(self, request: BoxRequest, listener: Listener, send: Any) -> bool:
        """Wait for a place. False: there was none in time, or it is not wanted any more, and the client was told."""
        entering = asyncio.create_task(self.admission.enter(request.owner, QUEUE_SECONDS))
        listener.when_unwanted(entering.cancel)
        try:
            if await entering:
                return True
        except asyncio.CancelledError:
            if not listener.unwanted:
                raise
            send(ended_without_box("cancelled", request, self.options.backend))
            return False
        self.metrics.refused += 1
        reason = self.admission.why_not(request.owner)
        send({**ended_without_box("crashed", request, self.options.backend), "refused": reason})
        return False

    async def _run_elsewhere(self, request: BoxRequest, send: Any, may_send: Any, listener: Listener) -> None:
        """Who does not want the box any more does not wait for it; why there is none is for operators."""
        running = asyncio.create_task(self.boxes.run(request, send, may_send, listener.attach))
        listener.when_unwanted(running.cancel)
        try:
            await running
        except asyncio.CancelledError:
            if not listener.unwanted:
                raise
            send(ended_without_box("cancelled", request, self.options.backend))
        except LaunchFailed as error:
            logger.error("run %s: no box: %s", request.run_id, error)
            send(ended_without_box("crashed", request, self.options.backend))

    async def _why_not(self, request: BoxRequest) -> str | None:
        if self.reason or not self._looked.is_set():
            status = await self.status()  # looks again when the last look was a while ago
            if not status["ready"]:
                return f"Programs cannot run here at the moment. {self.reason}"
        if request.device != self.options.device:
            wanted = request.device or "no device"
            return f"This engine's boxes have {self.options.device or 'no device'}, and the run asks for {wanted}."
        if request.layer is not None and not (self.options.layers / request.layer).is_dir():
            return "The packages this run asks for are not installed. Install them, then run again."
        if request.snapshot is not None:
            folder = self.options.store / "snapshots" / request.snapshot
            if not folder.is_dir():
                return "The market data this run asks for is not in the store. Load it, then run again."
            if (folder / "archived").exists():  # the site takes it out before it asks for a box
                return "The market data this run asks for could not be taken out of the archive. Tell the operator."
        return None


def ended_without_box(reason: str, request: BoxRequest, start: str) -> dict[str, Any]:
    """The last event of a run for which no box could be made, or was wanted."""
    observed = Observed(stopped_for=reason)
    return {**outcome.ended(observed, request.limits, start, 0.0, 0.0, 0, []), "t": 0.0}


def _is_trusted(connection: socket.socket) -> bool:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, uid, _gid = struct.unpack("3i", credentials)
    return uid in (0, os.geteuid())


class _Client:
    """Who asks for something of a session, on one connection."""

    def __init__(
        self, engine: Engine, reader: asyncio.StreamReader, frames: FrameReader, writer: asyncio.StreamWriter
    ) -> None:
        self._engine = engine
        self._writer = writer
        self._listener = Listener(reader, frames)
        self._listening: asyncio.Task[None] | None = None
        self._owner: str | None = None  # of the place that this has
        self.why_not = engine._why_not

    def say(self, message: dict[str, Any]) -> None:
        if not self._writer.transport.is_closing():
            self._writer.write(encode_frame(message))

    def may_send(self) -> bool:
        return self._writer.transport.get_write_buffer_size() < HIGH_WATER_BYTES

    def listen(self, cell: CellRun) -> None:
        self._listener.attach(cell)
        self._listening = asyncio.create_task(self._listener.listen())

    async def enter(self, owner: str) -> str | None:
        """Take one of the places that running programs share, or hear why not; an idle session has none."""
        if not await self._engine.admission.enter(owner, QUEUE_SECONDS):
            self._engine.metrics.refused += 1
            return self._engine.admission.why_not(owner)
        self._owner = owner
        return None

    def leave(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
        if self._owner is not None:
            self._engine.admission.leave(self._owner)


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sandbox.host.engine", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True, help="where to listen")
    parser.add_argument("--env", type=Path, required=True, help="the virtual environment of the boxes")
    parser.add_argument("--store", type=Path, required=True, help="market data; its snapshots are what boxes see")
    parser.add_argument("--layers", type=Path, help="locked packages; boxes see the one they ask for (STATE/layers)")
    parser.add_argument("--state", type=Path, required=True, help="a directory of the engine's own")
    parser.add_argument("--backend", choices=("nsjail", *backends.NAMES), default="nsjail", help="who makes the boxes")
    backends.add_options(parser)
    parser.add_argument("--device", default="", help="that every box gets, such as gpu")
    parser.add_argument("--devices", type=Path, default=devices.DEVICES, help="what a device is (policy/devices.toml)")
    parser.add_argument("--no-zygote", dest="zygote", action="store_false", help="every box starts cold")
    parser.add_argument("--ready", type=int, default=2 * (os.cpu_count() or 1), help="most boxes built ahead of need")
    parser.add_argument("--max-boxes", type=int, default=max(4, 2 * (os.cpu_count() or 1)))
    parser.add_argument("--production", action="store_true", help="refuse programs where a wall is missing")
    parser.add_argument("--per-owner", type=int, help="most boxes of one user (all but one)")
    parser.add_argument("--max-sessions", type=int, default=max(16, 8 * (os.cpu_count() or 1)))
    parser.add_argument("--no-cgroups", action="store_true", help="as if this machine had none; for tests")
    return parser.parse_args(arguments)


def main() -> int:
    options = parse_options()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s engine %(levelname)s %(message)s")
    options.layers = options.layers or options.state / "layers"
    options.per_owner = options.per_owner or max(1, options.max_boxes - 1)
    for name in ("socket", "env", "store", "layers", "state"):
        setattr(options, name, Path(os.path.abspath(getattr(options, name))))
    options.state.mkdir(parents=True, exist_ok=True)
    lock = (options.state / "engine.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"Another engine is running with the state directory {options.state}.", file=sys.stderr)
        return 1
    lock.write(json.dumps({"pid": os.getpid()}))
    lock.flush()

    async def serve() -> None:
        await Engine(options).serve()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
