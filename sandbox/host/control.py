"""What do the engine and init say to each other? JSON messages and bytes of files, on a socket no program holds."""

from __future__ import annotations

import array
import asyncio
import json
import socket
import struct
from collections.abc import Callable
from typing import Any

from sandbox.host.launching import LaunchFailed
from sandbox.protocol import dump_json

_HEADER = struct.Struct(">Ic")
MAX_MESSAGE = 1 << 20


class Control:
    """Our end of the socket to init. Messages come before a program is there (hello, ready) and while it runs."""

    def __init__(self, ours: socket.socket) -> None:
        self.closed = False
        self._socket = ours
        self._socket.setblocking(False)
        self._on_message: Callable[[bytes, bytes], None] | None = None
        self._on_closed: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._hello: asyncio.Future[int] = self._loop.create_future()
        self._ready: asyncio.Future[dict[str, float]] = self._loop.create_future()
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self._loop.add_reader(ours, self._read_hello)

    async def hello(self) -> int:
        """Init's pid as we see it, which the kernel tells with its first message; init cannot lie about it."""
        return await asyncio.shield(self._hello)

    async def ready(self) -> dict[str, float]:
        """Wait until init and its program wait for their job; seconds of each step on the way there."""
        return await asyncio.shield(self._ready)

    def listen(self, on_message: Callable[[bytes, bytes], None], on_closed: Callable[[], None]) -> None:
        """From now on there is a program; on_closed is called at once if the box has ended already."""
        self._on_message, self._on_closed = on_message, on_closed
        if self.closed:
            self._loop.call_soon(on_closed)

    def send(self, message: dict[str, Any]) -> None:
        if self.closed:
            return
        body = dump_json(message)
        self._outgoing += _HEADER.pack(len(body), b"J") + body
        self._write()

    def close(self) -> None:
        self._stop_reading()
        if self._socket.fileno() >= 0:
            self._loop.remove_writer(self._socket)
            self._socket.close()

    def _stop_reading(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
        self.closed = True
        for waited in (self._hello, self._ready):
            if not waited.done():
                waited.set_exception(LaunchFailed("the box ended before its program could start"))
                waited.exception()  # nobody may be waiting for it

    def _read_hello(self) -> None:
        try:
            data, ancillary, _flags, _address = self._socket.recvmsg(6, socket.CMSG_SPACE(12))
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        pid = next(
            (array.array("i", part)[0] for _level, kind, part in ancillary if kind == socket.SCM_CREDENTIALS),
            0,
        )
        if data != b"hello\n" or pid <= 0:
            self._end()
            return
        # From here on plain recv(): the kernel drops any descriptor that comes with a message.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        self._loop.remove_reader(self._socket)
        self._loop.add_reader(self._socket, self._read)
        self._hello.set_result(pid)

    def _read(self) -> None:
        try:
            data = self._socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        self._incoming += data
        while len(self._incoming) >= _HEADER.size and not self.closed:
            length, kind = _HEADER.unpack_from(self._incoming)
            if length > MAX_MESSAGE:
                self._end()
                return
            end = _HEADER.size + length
            if len(self._incoming) < end:
                return
            body = bytes(self._incoming[_HEADER.size : end])
            del self._incoming[:end]
            self._take(kind, body)

    def _take(self, kind: bytes, body: bytes) -> None:
        if self._on_message is not None:
            self._on_message(kind, body)
            return
        message = json.loads(body) if kind == b"J" else {}  # nobody but init has spoken so far
        if message.get("type") == "ready" and not self._ready.done():
            self._ready.set_result(message["steps"])
            return
        if not self._ready.done():
            self._ready.set_exception(LaunchFailed(f"process 1 of the box said {body[:600]!r}"))
        self._end()

    def _end(self) -> None:
        self._stop_reading()
        if self._on_closed is not None:
            self._on_closed()

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
