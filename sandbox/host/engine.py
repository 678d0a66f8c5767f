"""Who starts boxes on this machine? This daemon: `python -m sandbox.host.engine --socket S --env E --store D --state
D`.

It trusts whoever may open its socket and has the same uid (or is root), and nobody else. It imports no Django and
holds no credentials, so there is nothing in it for a box to find. One cold nsjail per box; a box lives no longer
than the connection that asked for it, and no longer than this process.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import hashlib
import json
import logging
import os
import signal
import socket
import struct
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

from sandbox.host import cgroups, diagnosis
from sandbox.host.box import Box
from sandbox.host.identities import Identities, NoFreeNumbers
from sandbox.host.nsjail import NsjailMissing, find_nsjail
from sandbox.host.staging import StagingError, prepare
from sandbox.protocol import (
    PROTOCOL_VERSION,
    BoxRequest,
    FrameReader,
    Limits,
    ProtocolError,
    encode_frame,
)

logger = logging.getLogger("sandbox.engine")

VERSION = "cold-1"
QUEUE_SECONDS = 20.0
RECHECK_SECONDS = 15.0
HIGH_WATER_BYTES = 4 << 20
SELF_CHECK_SOURCE = "print(6 * 7)\n"
SELF_CHECK_LIMITS = Limits(10, 20, 256 << 20, 8 << 20, 16, 65536, 65536, 65536, 100, 0, 0)


class Engine:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.boxes: dict[str, Box] = {}
        self.reason = "The sandbox engine is starting."
        self.weaknesses: list[str] = []
        self.parent: cgroups.Parent | None = None
        self._counter = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._running = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._checked_at = 0.0
        self._looked = asyncio.Event()  # set when the first trial box has ended
        self._check_lock = asyncio.Lock()

    # Start and end

    def prepare(self) -> None:
        """Everything boxes need, once. What is missing becomes the reason runs are refused with."""
        options = self.options
        # The socket's name makes the groups' name: two engines on a machine must not sweep each other's boxes.
        self.group_name = "playground-" + hashlib.sha256(os.fsencode(options.state.resolve())).hexdigest()[:10]
        self.reason = diagnosis.missing_environment(options.env)
        try:
            self.nsjail = find_nsjail()
            options.store.mkdir(parents=True, exist_ok=True)
            self.identities = Identities()
            self.staging = prepare(options.env, options.store, options.state)
        except NsjailMissing as error:
            self.reason = str(error)
        except StagingError as error:
            self.reason = f"The engine could not make its private mounts: {error}."
        except NoFreeNumbers as error:
            self.reason = f"The engine found no user ids for boxes: {error}."
        if not hasattr(self, "staging"):
            return
        # Also when only the environment is missing: it may come later, and its boxes must not lack their groups.
        if not options.no_cgroups:
            self.parent = cgroups.find_parent(self.group_name)
        if self.parent is not None:
            removed = self.parent.sweep()
            if removed:
                logger.info("removed %d control groups of an earlier engine", removed)
        self.weaknesses = diagnosis.weaknesses(self.parent, self.identities.distinct)

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
        await self.check()
        self._looked.set()
        logger.info("ready" if not self.reason else f"not ready: {self.reason}")
        ender = asyncio.create_task(ending.wait())
        await ender
        server.close()
        path.unlink(missing_ok=True)
        await self._end_boxes()
        if self.parent is not None:
            self.parent.remove()

    async def _end_boxes(self) -> None:
        for box in list(self.boxes.values()):
            box.stop("crashed")
            box.kill()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    # Is this machine able to?

    async def check(self) -> None:
        """Run a real box; its failure becomes the reason."""
        async with self._check_lock:
            if self.reason and not hasattr(self, "staging"):
                return
            self._checked_at = time.monotonic()
            events: list[dict[str, Any]] = []
            request = BoxRequest("self-check", "", {"main.py": SELF_CHECK_SOURCE}, "main.py", {}, SELF_CHECK_LIMITS)
            try:
                log = await self._run_box(request, events.append, lambda: True)
            except (OSError, NoFreeNumbers) as error:
                self.reason = f"A box could not be started: {error}."
                return
            printed = "".join(event["text"] for event in events if event["type"] == "stdout")
            ended = events[-1] if events else {}
            if ended.get("outcome") == "succeeded" and printed == "42\n":
                self.reason = ""
            else:
                errors = "".join(event["text"] for event in events if event["type"] == "stderr")
                self.reason = diagnosis.why_a_box_failed(ended.get("outcome", "nothing"), log, errors)

    async def status(self) -> dict[str, Any]:
        await self._looked.wait()
        if self.reason and time.monotonic() - self._checked_at > RECHECK_SECONDS:
            await self.check()
        return {
            "type": "status",
            "ready": not self.reason,
            "reason": self.reason,
            "weaknesses": self.weaknesses,
            "boxes": len(self.boxes),
            "max_boxes": self.options.max_boxes,
            "waiting": len(self._waiting),
            "version": VERSION,
            "protocol": PROTOCOL_VERSION,
            "root": os.geteuid() == 0,
            "cgroups": self.parent.version if self.parent is not None else "none",
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
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = FrameReader()
        message = await _next_frame(reader, frames)
        if message is None:
            return
        if message.get("op") == "status":
            writer.write(encode_frame(await self.status()))
            await writer.drain()
        elif message.get("op") == "start":
            await self._start(message, reader, frames, writer)
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
        reason = await self._why_not(request)
        if reason is None and not await self._wait_for_a_place():
            reason = f"All {self.options.max_boxes} boxes of this machine are in use. Try again in a moment."
        if reason is not None:
            writer.write(encode_frame({"type": "refused", "reason": reason}))
            await writer.drain()
            return
        listening: asyncio.Task[None] | None = None
        try:
            writer.write(encode_frame({"type": "accepted"}))
            transport = writer.transport

            def send(event: dict[str, Any]) -> None:
                if not transport.is_closing():
                    writer.write(encode_frame(event))

            def may_send() -> bool:
                return transport.get_write_buffer_size() < HIGH_WATER_BYTES

            def begin(box: Box) -> None:
                nonlocal listening
                listening = asyncio.create_task(_listen(reader, frames, box))

            await self._run_box(request, send, may_send, begin)
            await writer.drain()
        except (OSError, NoFreeNumbers) as error:
            logger.exception("run %s: no box", request.run_id)
            raise ConnectionError(str(error)) from error
        finally:
            if listening is not None:
                listening.cancel()
            self._leave_a_place()

    async def _why_not(self, request: BoxRequest) -> str | None:
        if self.reason or not self._looked.is_set():
            status = await self.status()  # looks again when the last look was a while ago
            if not status["ready"]:
                return f"Programs cannot run here at the moment. {self.reason}"
        if request.snapshot is not None and not (self.options.store / "snapshots" / request.snapshot).is_dir():
            return "The market data this run asks for is not in the store. Load it, then run again."
        return None

    async def _run_box(self, request: BoxRequest, send: Any, may_send: Any, begin: Any = None) -> str:
        """One box from start to end; what nsjail logged."""
        self._counter += 1
        name = f"box-{self._counter}"
        identity = self.identities.take()
        box = Box(request, name, self.nsjail, self.staging, identity, self.parent, send, may_send)
        self.boxes[name] = box
        try:
            if begin is not None:
                begin(box)
            await box.run()
        finally:
            del self.boxes[name]
            self.identities.give_back(identity)
        return box.log()

    # Admission: first come, first served

    async def _wait_for_a_place(self) -> bool:
        if self._running < self.options.max_boxes and not self._waiting:
            self._running += 1
            return True
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await asyncio.wait_for(place, QUEUE_SECONDS)
        except TimeoutError:
            return False
        finally:
            if place in self._waiting:
                self._waiting.remove(place)
        return True

    def _leave_a_place(self) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)  # handed on: the number of running boxes stays
                return
        self._running -= 1


def _is_trusted(connection: socket.socket) -> bool:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, uid, _gid = struct.unpack("3i", credentials)
    return uid in (0, os.geteuid())


async def _next_frame(reader: asyncio.StreamReader, frames: FrameReader) -> dict[str, Any] | None:
    while (message := frames.next_frame()) is None:
        data = await reader.read(1 << 18)
        if not data:
            return None
        frames.feed(data)
    return message


async def _listen(reader: asyncio.StreamReader, frames: FrameReader, box: Box) -> None:
    """What the client says while its box runs; its going away ends the box."""
    try:
        while (message := await _next_frame(reader, frames)) is not None:
            operation = message.get("op")
            if operation == "cancel":
                box.cancel()
            elif operation == "interrupt":
                box.interrupt()
            elif operation == "input" and isinstance(message.get("text"), str):
                box.write_input(message["text"])
    except (ConnectionError, ProtocolError):
        pass
    box.abandon()


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sandbox.host.engine", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True, help="where to listen")
    parser.add_argument("--env", type=Path, required=True, help="the virtual environment of the boxes")
    parser.add_argument("--store", type=Path, required=True, help="market data; its snapshots are what boxes see")
    parser.add_argument("--state", type=Path, required=True, help="a directory of the engine's own")
    parser.add_argument("--max-boxes", type=int, default=max(4, 2 * (os.cpu_count() or 1)))
    parser.add_argument("--no-cgroups", action="store_true", help="as if this machine had none; for tests")
    return parser.parse_args(arguments)


def main() -> int:
    options = parse_options()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s engine %(levelname)s %(message)s")
    for name in ("socket", "env", "store", "state"):
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
        engine = Engine(options)
        engine.prepare()
        await engine.serve()

    asyncio.run(serve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
