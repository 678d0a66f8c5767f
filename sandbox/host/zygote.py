"""Where do forked boxes come from? A zygote in an outer jail: started, asked every 2 s whether it lives, replaced.

The zygote's jail holds two processes of ours (sandbox/inside/zygote.py): the keeper, which forks process 1 of each box,
and the zygote, which forks its program. When the zygote dies or hangs, the boxes there are go on; new ones start cold
until another zygote is ready, tried at once and then with growing pauses. A new one also takes over every few hours,
after many boxes, and when the packages have changed: a secret that all forks share, such as the layout of their memory,
should not be worth finding out.
"""

from __future__ import annotations

import array
import asyncio
import base64
import json
import logging
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any
from weakref import WeakSet

from sandbox.host.cgroups import Group, Parent
from sandbox.host.cold import Jail
from sandbox.host.environment import STAMP
from sandbox.host.launching import Ends, Identity, Launched, LaunchFailed, Place
from sandbox.host.nsjail import MAX_INODES, OWN_PROCESSES, zygote_command
from sandbox.host.seccomp import filter_program
from sandbox.host.staging import Staging

logger = logging.getLogger(__name__)

PING_SECONDS = 2.0
START_SECONDS = 60.0  # importing everything on a busy machine
BACK_OFF_SECONDS = (0.0, 1.0, 2.0, 5.0, 15.0, 60.0)
KEEPER_SECONDS = 30.0  # that a keeper may hang before its jail is ended, with the boxes in it
HEALTHY_SECONDS = 60.0  # a zygote that lived this long was healthy: its end is counted as the first
MAX_AGE_SECONDS = 6 * 3600.0
MAX_BOXES = 5000
MEMORY_BYTES = 3 << 30
MAX_ASKED = 64
PROCESSES = 4096  # of the zygote's group: boxes are counted in their own, but are born in this one


class Zygote:
    """The launcher of forked boxes. `usable` says whether it is worth asking."""

    start = "fork"
    local = counts = enters = True

    def __init__(
        self,
        nsjail: Path,
        staging: Staging,
        first_uid: int | None,
        parent: Parent | None,
        prove: Callable[[], Awaitable[str]],
    ) -> None:
        self.state = "off"
        self.started = 0  # zygotes, in the life of this engine
        self.boxes = 0  # made by the present one
        self.facts: dict[str, Any] = {}
        self.usable_since = 0.0
        self._nsjail, self._staging, self._parent = nsjail, staging, parent
        self._first_uid = first_uid
        self._prove = prove  # what is wrong with a box of the present zygote; nothing if it works
        self._group: Group | None = None
        self._jail: Jail | None = None
        self._keeper: socket.socket | None = None
        self._living: _Living | None = None
        self._unborn: WeakSet[_Forked] = WeakSet()  # asked of the keeper, and not heard of yet
        self._failures = 0
        self._stamp = ""

    @property
    def present(self) -> bool:
        return self._living is not None

    @property
    def usable(self) -> bool:
        """Worth asking: it is there, and a box of it has worked."""
        return self._living is not None and self.state == "ready"

    @property
    def shared_bytes(self) -> int:
        return int(self.facts.get("resident_bytes", 0))

    @property
    def pid(self) -> int:
        return self._living.pid if self._living is not None else 0

    # The launcher

    async def launch(self, ends: Ends, identity: Identity, place: Place) -> Launched:
        """Process 1 comes from the keeper; what the zygote needs to find it is on the link."""
        if self._keeper is None or self._living is None:
            raise LaunchFailed("there is no zygote at the moment")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            descriptors = [ends.control.fileno(), theirs.fileno(), *ends.entrances]
            socket.send_fds(self._keeper, [b"box"], descriptors, socket.MSG_DONTWAIT)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        launched = _Forked(ours, self._start_program)
        self._unborn.add(launched)
        return launched

    def _start_program(self, descriptors: list[int], launched: _Forked) -> None:
        self._unborn.discard(launched)
        living = self._living
        if living is None:
            raise LaunchFailed("there is no zygote at the moment")
        try:
            living.send(descriptors, launched)
        except OSError as error:
            self._lose(living, f"does not take messages ({error})")
            raise LaunchFailed(f"the zygote did not answer: {error}") from error
        self.boxes += 1

    def go(self, identity: Identity, place: Place) -> dict[str, Any]:
        return {
            "filter": base64.b64encode(filter_program(self._staging.device)).decode("ascii"),
            "uid": None if self._first_uid is None else identity.uid - self._first_uid,
            "place": {**asdict(place), "inodes": MAX_INODES, **self._for_the_device(place)},
        }

    def _for_the_device(self, place: Place) -> dict[str, Any]:
        """How this box differs from one without a device. not_for_it: nodes that are other boxes'."""
        device = self._staging.device
        if device is None:
            return {"not_for_it": (), "network": False, "processes": ""}
        processes = OWN_PROCESSES if device.processes else ""
        return {"not_for_it": device.others(place.unit), "network": device.sockets, "processes": processes}

    # Its life

    async def live(self) -> None:
        """Keep one going until cancelled."""
        try:
            while True:
                pause = BACK_OFF_SECONDS[min(self._failures, len(BACK_OFF_SECONDS) - 1)]
                if pause:
                    self.state = "backing off"
                    await asyncio.sleep(pause)
                self.state = "starting"
                try:
                    await self._start()
                except (OSError, LaunchFailed, TimeoutError) as error:
                    self._failures += 1
                    log = self._jail.log() if self._jail is not None else ""
                    logger.error("the zygote did not start: %s %s", error or "too slow", log[-1000:])
                    await self._close_jail()
                    continue
                await self._watch()
                lived = time.monotonic() - self.usable_since
                self._failures = 0 if lived > HEALTHY_SECONDS else self._failures + 1
        finally:
            self.state = "off"
            await self.close()

    async def close(self) -> None:
        self._lose(self._living, "")
        await self._close_jail()
        if self._group is not None:
            self._group.kill()
            await self._group.remove_soon()
            self._group = None

    async def _start(self) -> None:
        if self._jail is None or self._jail.ended.is_set():
            await self._close_jail()
            await self._open_jail()
        self._living = await self._another()
        if wrong := await self._prove():
            self._lose(self._living, "")
            raise LaunchFailed(wrong)
        if self._living is None:
            raise LaunchFailed("it ended while it was tried")
        self.boxes = 0
        self._stamp = self._environment_stamp()
        self.usable_since = time.monotonic()
        self.state = "ready"

    async def _open_jail(self) -> None:
        ours, theirs = _ask_who()
        null = os.open("/dev/null", os.O_RDWR)
        first, number = self._first_uid, theirs.fileno()
        try:
            self._jail = Jail(
                lambda log: zygote_command(self._nsjail, self._staging, first, number, log),
                (number,),
                (null, null, null),
            )
            if self._parent is not None:
                if self._group is None:
                    self._group = self._parent.make("zygote")
                    self._group.limit(MEMORY_BYTES, PROCESSES, os.cpu_count() or 1)
                self._group.add(self._jail.process.pid)
            self._keeper = ours
            keeper = await _first_message(ours, b"keeper", self._jail)
            if self._group is not None:
                self._group.add(keeper)  # before it starts a zygote, which is then born in the group
        finally:
            theirs.close()
            os.close(null)

    async def _close_jail(self) -> None:
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None
        if self._jail is not None:
            self._jail.kill()
            await self._jail.clear()
            self._jail = None

    async def _another(self) -> _Living:
        """One more zygote beside the one there is."""
        assert self._keeper is not None and self._jail is not None
        ours, theirs = _ask_who()
        try:
            socket.send_fds(self._keeper, [b"zygote"], [theirs.fileno()])
        finally:
            theirs.close()
        try:
            pid = await _first_message(ours, b"zygote", self._jail)
            living = _Living(ours, pid)
        except BaseException:
            ours.close()
            raise
        try:
            self.facts = await asyncio.wait_for(living.ready, START_SECONDS)
        except BaseException:
            living.kill()
            living.close()
            raise
        self.started += 1
        if self.facts.get("threads") != 1:
            logger.warning("the zygote has %s threads; forks of it keep one", self.facts.get("threads"))
        return living

    async def _watch(self) -> None:
        """Until the present zygote is lost; replaces it in time without a gap."""
        hanging: float | None = None  # since when the keeper does not answer
        while (living := self._living) is not None:
            if not await living.answers_ping(PING_SECONDS):
                self._lose(living, "was killed" if living.closed else f"has not answered for {PING_SECONDS:g} s")
                return
            if await self._keeper_answers():
                self.state, hanging = "ready", None
            elif hanging is None:
                logger.error("the keeper has not answered for %g s; boxes start cold until it does", PING_SECONDS)
                self.state, hanging = "keeper hangs", time.monotonic()
                for launched in list(self._unborn):
                    launched.ended.set()  # to be made cold
            elif time.monotonic() - hanging > KEEPER_SECONDS:
                self._lose(living, "has a keeper that hangs")
                await self._close_jail()
                return
            if hanging is not None:
                continue
            if self._is_due():
                try:
                    replacement = await self._another()
                except (OSError, LaunchFailed, TimeoutError) as error:
                    logger.error("no zygote to take over: %s", error)
                    self.usable_since = time.monotonic()  # not again at once
                    continue
                self._living = replacement
                if wrong := await self._prove():
                    logger.error("the zygote that was to take over is not used: %s", wrong)
                    self._living = living
                    replacement.kill()
                    replacement.close()
                    self.usable_since = time.monotonic()
                    continue
                self.boxes, self.usable_since, self._stamp = 0, time.monotonic(), self._environment_stamp()
                living.retire()  # it ends; its boxes go on
                continue
            await living.wait_closed(PING_SECONDS)

    async def _keeper_answers(self) -> bool:
        """Without it no box begins; those that have begun go on."""
        if self._keeper is None:
            return False
        try:
            while self._keeper.recv(64):
                pass  # answers that came too late
        except BlockingIOError:
            pass
        except OSError:
            return False
        try:
            self._keeper.send(b"ping", socket.MSG_DONTWAIT)
            return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self._keeper, 64), PING_SECONDS) != b""
        except (OSError, TimeoutError):
            return False

    def _is_due(self) -> bool:
        too_old = time.monotonic() - self.usable_since > MAX_AGE_SECONDS
        return too_old or self.boxes >= MAX_BOXES or self._environment_stamp() != self._stamp

    def _environment_stamp(self) -> str:
        try:
            return (self._staging.environment / STAMP).read_text()
        except OSError:
            return ""

    def _lose(self, living: _Living | None, why: str) -> None:
        if living is None:
            return
        if why:
            logger.error("the zygote %s; boxes start cold until there is another", why)
        living.kill()
        living.close()
        if self._living is living:
            self._living = None
            self.state = "starting"


class _Living:
    """A connection to one zygote."""

    def __init__(self, connection: socket.socket, pid: int) -> None:
        self.pid = pid
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._connection = connection
        self._connection.setblocking(False)
        self._descriptor = os.pidfd_open(pid)
        self._pong = asyncio.Event()
        self._gone = asyncio.Event()
        self._number = 0
        self._asked: dict[int, _Forked] = {}  # those that hear of a fork that failed; a box that is there does not look
        self._loop.add_reader(connection, self._read)

    def send(self, descriptors: list[int], launched: _Forked) -> None:
        self._number += 1
        socket.send_fds(self._connection, [b"%d" % self._number], descriptors)
        self._asked[self._number] = launched
        self._asked.pop(self._number - MAX_ASKED, None)

    async def answers_ping(self, seconds: float) -> bool:
        self._pong.clear()
        try:
            self._connection.send(b"ping")
        except OSError:
            return False
        waiting = [asyncio.create_task(event.wait()) for event in (self._pong, self._gone)]
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        while not self._pong.is_set() and self._read():
            pass  # it may lie there unread: uvloop tells the time first when the engine itself was held up
        return self._pong.is_set() and not self.closed

    async def wait_closed(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._gone.wait(), seconds)
        except TimeoutError:
            pass

    def kill(self) -> None:
        if self._descriptor >= 0:
            try:
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def close(self) -> None:
        self._end()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def retire(self) -> None:
        """Like close(), but what it has been asked for is still made."""
        self._asked.clear()
        self.close()

    def _read(self) -> bool:
        """Take one message; whether there was one."""
        try:
            data = self._connection.recv(1 << 16)
            message = json.loads(data) if data else None
        except BlockingIOError:
            return False
        except (OSError, ValueError):
            message = None
        if not isinstance(message, dict):
            self._end()
        elif "ready" in message and not self.ready.done():
            self.ready.set_result(message)
        elif "failed" in message:
            logger.warning("the zygote could not fork: %s", message["failed"])
            if (launched := self._asked.get(message["number"])) is not None:
                launched.ended.set()
        elif "pong" in message:
            self._pong.set()
        return isinstance(message, dict)

    def _end(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._connection)
        self._connection.close()
        self._gone.set()
        if not self.ready.done():
            self.ready.set_exception(LaunchFailed("it ended while it was loading"))
            self.ready.exception()
        for launched in self._asked.values():
            launched.ended.set()


class _Forked:
    """A box that the keeper has been asked for. What it is made of ends with its process 1."""

    lost = False

    def __init__(self, link: socket.socket, start: Callable[[list[int], _Forked], None]) -> None:
        self.ended = asyncio.Event()
        self._link = link  # from process 1 to the program's process
        self._start = start

    def start_program(self, ends: Ends) -> None:
        try:
            self._start([*ends.programs, self._link.fileno(), *ends.entrances], self)
        finally:
            self._link.close()

    def kill(self) -> None:
        """Nothing is known of it yet; its process 1 leaves when the control socket is closed."""

    async def clear(self) -> None:
        self._link.close()

    def log(self) -> str:
        return ""

    def usage(self) -> None:
        return None


def _ask_who() -> tuple[socket.socket, socket.socket]:
    """Two ends; the first hears who writes into the other, from before anybody can: what came earlier has no sender."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return ours, theirs


async def _first_message(connection: socket.socket, expected: bytes, jail: Jail) -> int:
    """Wait for it on a connection of _ask_who(), and give the sender's pid as the kernel tells it."""
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    loop.add_reader(connection, came.set)
    waiting = [asyncio.create_task(event.wait()) for event in (came, jail.ended)]
    try:
        await asyncio.wait(waiting, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        loop.remove_reader(connection)
    if not came.is_set():
        raise LaunchFailed("its jail did not start")
    message, ancillary, _flags, _address = connection.recvmsg(64, socket.CMSG_SPACE(12))
    pid = next((array.array("i", data)[0] for _, kind, data in ancillary if kind == socket.SCM_CREDENTIALS), 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
    if message != expected or pid <= 0:
        raise LaunchFailed(f"its jail said {message[:40]!r}")
    return pid
