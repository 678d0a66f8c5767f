"""What did a program print and show? Texts and rich messages, read under its limits and turned into events in order.

Order is kept by both ends: the program's side waits until a pipe is empty before it writes to another one
(sandbox/inside/streams.py), and this side looks at the rich channel first.

All boxes share one event loop, so no box may make it expensive: lines of the rich channel are read a few at a time,
each one counts, and so few may be junk that writing it is never cheaper than reading it.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import time
from collections import deque
from typing import Any, Protocol

from sandbox.host import messages
from sandbox.protocol import Limits, dump_json

FLUSH_SECONDS = 0.05
PROGRESS_SECONDS = 0.1
CHUNK = 1 << 16
MAX_PENDING_PIECES = 40
MAX_REFUSAL_NOTICES = 3
MAX_REFUSED = 1000  # lines of the rich channel that are no message of ours
LINES_PER_TURN = 50  # of the rich channel, before the event loop looks at the other boxes


class Reader(Protocol):
    """Who hears what a program says, and is told when it is too much."""

    limits: Limits

    def emit(self, event: dict[str, Any]) -> None: ...
    def may_send(self) -> bool: ...
    def note_error(self, error: dict[str, Any], number: int | None) -> None: ...
    def stop(self, reason: str) -> None: ...
    def guarded(self, callback: Any) -> Any: ...


class Output:
    """stdout, stderr and the rich channel of a box, read under its limits and turned into events in order."""

    def __init__(
        self, box: Reader, out: int, err: int, rich: int, read_message: Any = messages.read_message, begun: bytes = b""
    ) -> None:
        """begun: of a line of the rich channel, what an earlier reader of the same pipe has had of it."""
        self._box = box
        self._read_message = read_message
        self._loop = asyncio.get_running_loop()
        self._texts = {out: "stdout", err: "stderr"}
        self._rich = rich
        self._open = {out, err, rich}
        self._decoders = {out: _decoder(), err: _decoder()}
        self._pieces: list[list[Any]] = []  # [stream, text], in order of arrival
        self._last_flush = 0.0
        self._flush_timer: asyncio.TimerHandle | None = None
        self._progress: dict[str, tuple[float, dict[str, Any] | None]] = {}
        self._line = bytearray(begun)
        self.unfinished = b""  # a line that had only begun when this ended
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
        self.unfinished = bytes(self._line)
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

    def count_typed(self, size: int) -> None:
        """What is typed for input() is kept with what is printed, and counts like it. size: in bytes."""
        self._text_bytes += size
        self._look_at_text_bytes()

    def _look_at_text_bytes(self) -> bool:
        """Whether there may be more; the box is stopped where there was too much."""
        if self._text_bytes <= self._box.limits.output_bytes:
            return True
        self._flush()
        self._box.stop("output_bytes")
        return False

    def _take_text(self, descriptor: int, data: bytes) -> None:
        room = int(self._box.limits.output_bytes) - self._text_bytes
        self._text_bytes += len(data)
        self._add_text(self._texts[descriptor], self._decoders[descriptor].decode(data[: max(0, room)]))
        if not self._look_at_text_bytes():
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
            message, number = self._read_message(line)
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
