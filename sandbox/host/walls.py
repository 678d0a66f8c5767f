"""What is there of a box before a program is in it? Pipes, init behind walls, a control group: from nothing to ready.

Walls are built for one program only and are never used again. Those built ahead of need are the ready boxes.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from sandbox.host.cgroups import Group, Parent, Usage
from sandbox.host.control import Control
from sandbox.host.launching import Ends, Identity, Launched, Launcher, LaunchFailed, Place

logger = logging.getLogger(__name__)

START_SECONDS = 20.0
CHUNK = 1 << 16
MAX_BACKLOG = 64 << 20  # of what waits to be written into a pipe
T = TypeVar("T")
INWARD = ("stdin", "inbox")  # pipes to the box; the others come from it


class Walls:
    """One box without a program. build() or an exception; remove() in any case."""

    def __init__(self, name: str, launcher: Launcher, identity: Identity, place: Place, parent: Parent | None) -> None:
        self.name = name
        self.place = place
        self.start = launcher.start
        self.shared_bytes = launcher.shared_bytes
        self.local = launcher.local
        self.counted = launcher.counts
        self.lost = False  # where it ran is gone
        self.identity = identity
        self.group: Group | None = None
        self.pid = 0  # of init, as this machine counts; none where it is not this machine's
        self.used_before = 0.0  # processor seconds of the building, which are not the program's
        self.built_at = 0.0
        self.steps: dict[str, float] = {}  # of the building, in seconds
        self.control: Control | None = None
        self._launcher = launcher
        self._parent = parent
        self._launched: Launched | None = None
        self._init_descriptor: int | None = None
        self._pipes: dict[str, int] = {}
        self._writers: dict[str, Writer] = {}
        self._loop = asyncio.get_running_loop()
        self._log = ""
        self._last_usage: Usage | None = None

    # Building

    async def build(self) -> None:
        """Until init waits for its job. Raises LaunchFailed, OSError or TimeoutError."""
        if self._parent is not None and self.local:
            self.group = self._parent.make(self.name)
        begun = time.monotonic()
        ends = self._make_pipes()
        assert self.control is not None
        try:
            self._launched = await self._launcher.launch(ends, self.identity, self.place)
            ends.control.close()
            pid = await self._unless_it_ends(self.control.hello(), "process 1 of the box did not answer")
            if self.local:
                self.pid = pid
                self._init_descriptor = os.pidfd_open(pid)
            if self.group is not None and not self._launcher.enters:
                self.group.add(pid)  # everything the box does comes after this
            self.control.send({"type": "go", **self._launcher.go(self.identity, self.place)})
            born = time.monotonic()
            self._launched.start_program(ends)
        finally:
            ends.close()
        steps = await self._unless_it_ends(self.control.ready(), "the program's process did not get ready")
        if self.group is not None:
            self.used_before = self.group.cpu_seconds()
        self.built_at = time.monotonic()
        self.steps = {"process 1": born - begun, **steps}
        self.steps["messages"] = self.built_at - begun - sum(self.steps.values())

    async def _unless_it_ends(self, answer: Coroutine[Any, Any, T], otherwise: str) -> T:
        assert self._launched is not None
        waiting = asyncio.create_task(answer)
        gone = asyncio.create_task(self._launched.ended.wait())
        try:
            done, _ = await asyncio.wait({waiting, gone}, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if waiting not in done:
                raise LaunchFailed(otherwise)
            return waiting.result()
        finally:
            waiting.cancel()
            gone.cancel()

    def _make_pipes(self) -> Ends:
        """All of them or none: an engine short of descriptors must not lose those it got, nor wait for them."""
        theirs: dict[str, int] = {}
        control, their_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            for name in ("stdin", "stdout", "stderr", "rich", "inbox"):
                read, write = os.pipe()
                ours, theirs[name] = (write, read) if name in INWARD else (read, write)
                os.set_blocking(ours, False)
                self._pipes[name] = ours
                if name in INWARD:
                    self._writers[name] = Writer(ours)
            entrances = self.group.open_entrances() if self.group is not None and self._launcher.enters else ()
        except BaseException:
            for descriptor in theirs.values():
                os.close(descriptor)
            control.close()
            their_control.close()
            raise
        self.control = Control(control)
        return Ends(**theirs, control=their_control, entrances=entrances)

    # Use

    def reading_ends(self) -> tuple[int, int, int]:
        """stdout, stderr and the rich channel."""
        return self._pipes["stdout"], self._pipes["stderr"], self._pipes["rich"]

    def write_stdin(self, data: bytes, backlog: int) -> None:
        """What does not fit into the pipe and `backlog` bytes is dropped."""
        self._writers["stdin"].write(data, backlog)

    def write_inbox(self, data: bytes) -> None:
        self._writers["inbox"].write(data, MAX_BACKLOG)

    @property
    def unread_bytes(self) -> int:
        """What waits to go into the inbox, because the program has not read what came before."""
        return self._writers["inbox"].backlog_bytes

    @property
    def alive(self) -> bool:
        return self.control is not None and not self.control.closed

    def usage(self) -> Usage | None:
        """What the program has used so far; None where there is nobody to ask."""
        if self.group is not None:
            return self.group.usage().since(self.used_before)
        return self._launched.usage() if self._launched is not None else self._last_usage

    @property
    def limited(self) -> bool:
        """Whether the sums over all processes are limited by the kernel, and not only looked at."""
        return self.group is not None or (self._launcher.counts and not self.local)

    def kill(self) -> None:
        """SIGKILL to process 1: the kernel ends its pid namespace before the box can answer."""
        if self._init_descriptor is not None:
            try:
                signal.pidfd_send_signal(self._init_descriptor, signal.SIGKILL)
            except ProcessLookupError:
                pass
        elif self._launched is not None:
            self._launched.kill()

    def log(self) -> str:
        return self._log

    # The end

    async def end(self) -> None:
        """No process of the box is left afterwards; what is in its pipes can still be read."""
        self.kill()
        if self.control is not None:
            self.control.close()
        if self._init_descriptor is not None:
            await _wait_for_end(self._init_descriptor)
            os.close(self._init_descriptor)
            self._init_descriptor = None  # its number may be another box's by now
        if self._launched is not None:
            await self._launched.clear()
            self._log, self._last_usage = self._launched.log(), self._launched.usage()
            self.lost = self._launched.lost
            self._launched = None

    async def remove(self) -> None:
        """Nothing of the box is left afterwards."""
        await self.end()
        if not self.pid:
            self._log += self._early_words()
        for writer in self._writers.values():
            writer.close()
        for descriptor in self._pipes.values():
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
        self._pipes.clear()
        if self.group is not None:
            self.group.kill()
            if not await self.group.remove_soon():
                logger.warning("%s: its control group is still busy", self.name)
            self.group = None

    def _early_words(self) -> str:
        """Until the program runs, only what starts it can write on its standard error."""
        try:
            return os.read(self._pipes["stderr"], CHUNK).decode("utf-8", "replace")
        except (OSError, KeyError):
            return ""


async def _wait_for_end(pidfd: int, seconds: float = 2.0) -> None:
    """Until the process has ended; its parent, who is told at the same moment, reaps it."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        await asyncio.wait_for(ended.wait(), seconds)
    except TimeoutError:
        pass
    finally:
        loop.remove_reader(pidfd)


class Writer:
    """Our end of a pipe to the program, which may read as slowly as it likes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._backlog = bytearray()
        self._loop = asyncio.get_running_loop()

    @property
    def backlog_bytes(self) -> int:
        return len(self._backlog)

    def write(self, data: bytes, most: int) -> None:
        if self._descriptor < 0 or len(self._backlog) + len(data) > most:
            return
        self._backlog += data
        self._flush()

    def close(self) -> None:
        if self._descriptor >= 0:
            self._loop.remove_writer(self._descriptor)
            self._descriptor = -1

    def _flush(self) -> None:
        try:
            while self._backlog:
                del self._backlog[: os.write(self._descriptor, self._backlog[:CHUNK])]
        except BlockingIOError:
            self._loop.add_writer(self._descriptor, self._flush)
            return
        except OSError as error:
            if error.errno != errno.EPIPE:
                raise
            self._backlog.clear()
        self._loop.remove_writer(self._descriptor)
