"""How do several pipes travel on one stream? In frames, each with its channel, and no more of them than are read.

Where a box cannot be handed descriptors (a container, a pod), both ends of the stream run this: the engine beside the
box's pipes, process 1 inside beside the program's. A frame is a channel, a 4-byte length and the body; an empty body
closes the channel. `+` gives credit: so many bytes of a channel may come. Without credit nothing is sent, so a program
whose output nobody takes waits as it would on a full pipe, and what init says never waits behind it.

Neither end believes the other: a frame that is too long, unknown or without credit ends the stream.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
from collections import deque
from collections.abc import Callable

CONTROL, STDIN, INBOX, STDOUT, STDERR, RICH = b"C", b"I", b"N", b"O", b"E", b"R"
CREDIT = b"+"
HEADER = struct.Struct(">cI")
COUNT = struct.Struct(">cI")
# Half a pipe: however small the pieces it comes in, it fits into one that nobody reads.
WINDOW = 32 << 10
MOST_UNSENT = 1 << 20
UNREAD_MILLISECONDS = 2  # until a pipe is looked at again that has not been emptied; no event tells


class StreamBroken(Exception):
    """The other end sent what this one does not know, or more than it may."""


class _End:
    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor  # -1 when it is closed


class _Source(_End):
    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self.credit = 0


class _Sink(_End):
    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self.waiting: deque[bytes] = deque()
        self.allowed = WINDOW  # bytes the other end may still send
        self.written = 0  # into the pipe, and not yet given back as credit


class Relay:
    """sources: what is read here and sent. sinks: what arrives and is written here. The descriptors are its own.

    `ordered` channels are written in the order of their frames, one pipe being empty before the next is written to;
    what comes on the others does not wait. Who does not speak first is silent until it has heard something: whoever
    attaches to a container hears only what comes after. read() gives bytes, b"" at the end, or raises BlockingIOError,
    as does write(), which gives how much it took.
    """

    def __init__(
        self,
        descriptor: tuple[int, int],
        read: Callable[[], bytes],
        write: Callable[[bytes], int],
        sources: dict[bytes, int],
        sinks: dict[bytes, int],
        ordered: tuple[bytes, ...] = (),
        speaks_first: bool = True,
    ) -> None:
        self._in, self._out = descriptor
        self._read, self._write = read, write
        self._sources = {channel: _Source(each) for channel, each in sources.items()}
        self._sinks = {channel: _Sink(each) for channel, each in sinks.items()}
        self._ordered = ordered
        self._may_speak = speaks_first
        self._order: deque[bytes] = deque()
        self._last = b""
        self._unsent = bytearray()
        self._received = bytearray()
        self.moved = 0  # bytes sent, ever
        self.ended = False
        for each in [*sources.values(), *sinks.values()]:
            os.set_blocking(each, False)
        for channel in sinks:
            self._send(CREDIT, COUNT.pack(channel, WINDOW))

    def run(self) -> None:
        """Until the stream ends. Then what has come is written, and every pipe is closed."""
        try:
            while not self.ended:
                self.step()
        finally:
            self.close()

    def close(self) -> None:
        self.ended = True
        self._ordered = ()
        self._order.clear()
        for channel in self._sinks:
            self._deliver(channel)
        ends: list[_End] = [*self._sources.values(), *self._sinks.values()]
        for end in ends:
            self._close(end)

    def is_sent(self, channels: tuple[bytes, ...]) -> bool:
        """Whether nothing more can come from these sources and all they gave is on its way."""
        open_ones = [channel for channel in channels if self._sources[channel].descriptor >= 0]
        return self.ended or (not open_ones and not self._unsent)

    def step(self) -> None:
        """Wait until something can be moved, and move it."""
        poller = select.poll()
        interests: dict[int, int] = {}

        def want(descriptor: int, event: int) -> None:
            interests[descriptor] = interests.get(descriptor, 0) | event

        want(self._in, select.POLLIN)
        if self._unsent and self._may_speak:
            want(self._out, select.POLLOUT)
        readable = {}
        for channel, source in self._sources.items():
            if source.descriptor >= 0 and source.credit > 0 and len(self._unsent) < MOST_UNSENT:
                want(source.descriptor, select.POLLIN)
                readable[source.descriptor] = channel
        for channel, sink in self._sinks.items():
            if sink.waiting and sink.descriptor >= 0 and channel not in self._ordered:
                want(sink.descriptor, select.POLLOUT)
        for descriptor, event in interests.items():
            poller.register(descriptor, event)
        unread = any(self._sinks[channel].written for channel in self._ordered)
        ready = dict(poller.poll(UNREAD_MILLISECONDS if unread or self._order else None))
        for descriptor, channel in readable.items():
            if descriptor in ready:
                self._take(channel)
        if self._in in ready and ready[self._in] & ~select.POLLOUT:
            self._receive()
        self._give()
        self._flush()

    # Out

    def _take(self, channel: bytes) -> None:
        source = self._sources[channel]
        try:
            data = os.read(source.descriptor, min(source.credit, WINDOW))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        source.credit -= len(data)
        self._send(channel, data)
        if not data:
            self._close(source)

    def _send(self, kind: bytes, body: bytes) -> None:
        self._unsent += HEADER.pack(kind, len(body)) + body

    def _flush(self) -> None:
        try:
            while self._unsent and self._may_speak:
                taken = self._write(bytes(self._unsent[:WINDOW]))
                del self._unsent[:taken]
                self.moved += taken
        except BlockingIOError:
            pass
        except OSError:
            self.ended = True

    # In

    def _receive(self) -> None:
        try:
            data = self._read()
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.ended = True
            return
        self._may_speak = True
        self._received += data
        while len(self._received) >= HEADER.size:
            kind, length = HEADER.unpack_from(self._received)
            if length > WINDOW:
                raise StreamBroken(f"a frame of {length} bytes")
            end = HEADER.size + length
            if len(self._received) < end:
                return
            body = bytes(self._received[HEADER.size : end])
            del self._received[:end]
            self._accept(kind, body)

    def _accept(self, kind: bytes, body: bytes) -> None:
        if kind == CREDIT and len(body) == COUNT.size:
            channel, count = COUNT.unpack(body)
            if channel in self._sources:
                self._sources[channel].credit = min(self._sources[channel].credit + count, WINDOW)
            return
        sink = self._sinks.get(kind)
        if sink is None or len(body) > sink.allowed:
            raise StreamBroken(f"a frame of {len(body)} bytes of {kind!r}")
        sink.allowed -= len(body)
        sink.waiting.append(body)
        if kind in self._ordered:
            self._order.append(kind)

    def _give(self) -> None:
        """Write what has come where there is room, and give credit for what is gone."""
        while self._order and self._may_write(self._order[0]):
            channel = self._order[0]
            before = len(self._sinks[channel].waiting)
            self._deliver(channel, pieces=1)
            if len(self._sinks[channel].waiting) == before:
                break  # a part of it is left
            self._last = self._order.popleft()
        for channel, sink in self._sinks.items():
            if channel not in self._ordered:
                self._deliver(channel)
            left = _unread_bytes(sink.descriptor) if channel in self._ordered else 0
            if sink.written > left:
                sink.allowed += sink.written - left
                self._send(CREDIT, COUNT.pack(channel, sink.written - left))
                sink.written = left

    def _may_write(self, channel: bytes) -> bool:
        return self._last in (b"", channel) or not _unread_bytes(self._sinks[self._last].descriptor)

    def _deliver(self, channel: bytes, pieces: int = 1 << 30) -> None:
        sink = self._sinks[channel]
        while sink.waiting and pieces:
            data = sink.waiting[0]
            if not data:
                self._close(sink)
            try:
                taken = os.write(sink.descriptor, data) if sink.descriptor >= 0 else len(data)
            except BlockingIOError:
                return
            except OSError:
                self._close(sink)  # nobody reads it any more
                taken = len(data)
            sink.written += taken
            if taken < len(data):
                sink.waiting[0] = data[taken:]
                continue
            sink.waiting.popleft()
            pieces -= 1

    def _close(self, end: _End) -> None:
        if end.descriptor >= 0:
            os.close(end.descriptor)
            end.descriptor = -1


def _unread_bytes(descriptor: int) -> int:
    """In a pipe, as its writing end sees it."""
    if descriptor < 0:
        return 0
    try:
        return struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0\0\0\0"))[0]
    except OSError:
        return 0
