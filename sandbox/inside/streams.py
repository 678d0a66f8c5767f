"""How do texts, charts and questions of a program reach the engine in the order the program made them?

stdout, stderr and the rich channel are three pipes, and a reader of three pipes cannot know what came first. So the
writer waits: before it writes to another pipe than last time, what it wrote before has been read. It costs a
fraction of a millisecond where the streams take turns, nothing where they do not, and never more than BUDGET_SECONDS
in a run.
"""

from __future__ import annotations

import fcntl
import io
import os
import struct
import sys
import termios
import time

BUDGET_SECONDS = 2.0
ONE_WAIT_SECONDS = 0.25
STDIN, STDOUT, STDERR = 0, 1, 2


class _Order:
    last = STDOUT
    budget = BUDGET_SECONDS


def begin() -> None:
    """A program begins: what was written before it does not count."""
    _Order.last, _Order.budget = STDOUT, BUDGET_SECONDS


def take_turn(descriptor: int) -> None:
    """Call before writing to `descriptor`."""
    if _Order.last != descriptor:
        wait_until_read(_Order.last)
        _Order.last = descriptor


def wait_until_read(descriptor: int) -> None:
    if _Order.budget <= 0:
        return
    start = time.monotonic()
    while unread_bytes(descriptor):
        waited = time.monotonic() - start
        if waited > ONE_WAIT_SECONDS:
            break
        time.sleep(0.0001)
    _Order.budget -= time.monotonic() - start


def unread_bytes(descriptor: int) -> int:
    try:
        return struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0\0\0\0"))[0]
    except OSError:
        return 0  # closed, or a file of the program's own


def flush() -> None:
    """What print() still holds goes into the pipes."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass  # the program closed or replaced it


class _Text(io.TextIOWrapper):
    """print()'s end of a pipe.

    Turns are taken here and not in a raw stream of our own: below this line everything is C, which an interrupt cannot
    part from its own book-keeping, so that nothing is written twice.
    """

    def write(self, text: str) -> int:
        if _Order.last != self.fileno():
            flush()  # the part of a line that the other stream still holds comes first
            take_turn(self.fileno())
        return super().write(text)


class _Questions(io.RawIOBase):
    """stdin: says that the program waits for a line before it waits."""

    name = "<stdin>"
    mode = "rb"

    def __init__(self, ask) -> None:
        self.ask = ask

    def fileno(self) -> int:
        return STDIN

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        if not unread_bytes(STDIN):
            self.ask()
        data = os.read(STDIN, len(buffer))
        buffer[: len(data)] = data
        return len(data)


stdin: tuple[_Questions, io.TextIOWrapper]  # ours, whatever the program puts in place of sys.stdin


def install(ask) -> None:
    """Replace sys.stdin, sys.stdout and sys.stderr; `ask` is called when a line is wanted and none is there."""
    sys.stdout = sys.__stdout__ = _text(STDOUT, "<stdout>")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _text(STDERR, "<stderr>")  # type: ignore[misc]
    global stdin
    questions = _Questions(ask)
    lines = io.TextIOWrapper(io.BufferedReader(questions), encoding="utf-8", errors="replace")
    stdin = questions, lines
    sys.stdin = sys.__stdin__ = lines  # type: ignore[misc]


def _text(descriptor: int, name: str) -> io.TextIOWrapper:
    raw = io.FileIO(descriptor, "wb", closefd=False)
    raw.name = name
    return _Text(io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace", line_buffering=True)
