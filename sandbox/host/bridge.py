"""How are the pipes of a box carried to where it runs? By a thread per box with one end of the box's stream.

The engine's event loop does not wait for other machines' programs; the clients of Docker and Kubernetes do.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Callable
from typing import Protocol

from sandbox.host.launching import Ends
from sandbox.inside import relay

logger = logging.getLogger(__name__)

END_SECONDS = 5.0
LOG_BYTES = 8000


class Stream(Protocol):
    """Both directions of what a container says and hears, as bytes."""

    def descriptors(self) -> tuple[int, int]:
        """For reading and for writing; to be polled, and not blocking."""

    def read(self) -> bytes: ...
    def write(self, data: bytes) -> int: ...
    def shut(self) -> None:
        """From any thread: the reader sees the end."""

    def close(self) -> None: ...


class Bridge:
    """The thread and its descriptors. `over` is set when the stream has ended and the pipes hold all that came."""

    def __init__(self, name: str, ends: Ends, stream: Stream) -> None:
        self.over = asyncio.Event()
        self.failure = ""
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        sources = {
            relay.CONTROL: os.dup(ends.control.fileno()),
            relay.STDIN: os.dup(ends.stdin),
            relay.INBOX: os.dup(ends.inbox),
        }
        outputs = {relay.STDOUT: os.dup(ends.stdout), relay.STDERR: os.dup(ends.stderr), relay.RICH: os.dup(ends.rich)}
        sinks = {relay.CONTROL: os.dup(ends.control.fileno()), **outputs}
        self._relay = relay.Relay(stream.descriptors(), stream.read, stream.write, sources, sinks, tuple(outputs))
        self._thread = threading.Thread(target=self._carry, name=name, daemon=True)
        self._thread.start()

    async def end(self) -> None:
        """Once the box has been ended: wait for its last words, but not for ever."""
        try:
            await asyncio.wait_for(self.over.wait(), END_SECONDS)
        except TimeoutError:
            self._stream.shut()
            await self.over.wait()

    def _carry(self) -> None:
        try:
            self._relay.run()
        except relay.StreamBroken as error:
            self.failure = f"the box sent {error}"
        except Exception as error:
            logger.exception("%s: its stream failed", threading.current_thread().name)
            self.failure = f"{type(error).__name__}: {error}"
        finally:
            self._stream.close()
            tell(self._loop, self.over.set)


def tell(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """From a thread; an engine that is ending has closed its loop."""
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:
        pass


class SocketStream:
    """A stream that is a socket. `unpack` turns what arrives into what the container wrote."""

    def __init__(self, connection: socket.socket, unpack: Callable[[bytes], bytes] | None = None) -> None:
        self._socket = connection
        self._socket.setblocking(False)
        self._unpack = unpack

    def descriptors(self) -> tuple[int, int]:
        return self._socket.fileno(), self._socket.fileno()

    def read(self) -> bytes:
        data = self._socket.recv(1 << 16)
        if self._unpack is None or not data:
            return data
        unpacked = self._unpack(data)
        if not unpacked:
            raise BlockingIOError  # a header came, or words of the runtime
        return unpacked

    def write(self, data: bytes) -> int:
        return self._socket.send(data)

    def shut(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> None:
        self._socket.close()
