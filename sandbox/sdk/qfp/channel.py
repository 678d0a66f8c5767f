"""How does a running program hand charts, tables, progress and results to the page, and ask it for something?

One JSON object a line, on a descriptor of its own named by QFP_CHANNEL_FD; answers come back on another one,
QFP_INBOX_FD, with their length in four bytes in front. On a laptop there are no such descriptors and
`connected` is False.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import select
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

from qfp import packing

_packer = packing.Packer()
_lock = threading.Lock()
_packing_lock = threading.Lock()
_inbox_lock = threading.Lock()
_half_a_line = False  # has been written, and its rest will not come
# In a box: called before a message is written (True) and after (False), so that it keeps its place among
# the texts.
order: Callable[[int, bool], None] | None = None
# In a worker of pmap(): takes messages to the program, which sends them on.
relay: Callable[[dict[str, Any]], None] | None = None


def _renew_locks() -> None:
    """In a forked child: another thread of the parent may have held the locks, and is not there to release
    them.
    """
    global _lock, _packing_lock
    _lock, _packing_lock = threading.Lock(), threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew_locks)


def _descriptor(variable: str) -> int | None:
    text = os.environ.get(variable, "")
    if not text.isdigit():
        return None
    try:
        os.fstat(int(text))
    except OSError:
        return None
    return int(text)


_fd: int | None = None
_inbox: int | None = None
connected: bool = False


def connect() -> None:
    """Look for the descriptors; called again by a box that was there before its program."""
    global _fd, _inbox, _owner, connected
    _fd, _inbox = _descriptor("QFP_CHANNEL_FD"), _descriptor("QFP_INBOX_FD")
    _owner = os.getpid()
    connected = _fd is not None


_owner = os.getpid()
connect()


def emit(message: dict[str, Any], in_order: bool = True) -> bool:
    """Send one message; False when nobody listens, and for a backtest of which nothing can be sent but that it was
    tried. Numbers that JSON has no word for (NaN, infinity) become null. in_order: its place among the texts matters.
    """
    global connected, _fd, _half_a_line
    if _fd is None:
        return False
    if relay is not None:
        relay(message)
        return True
    text = _written(message)
    if len(text) > packing.LONG and message.get("type") == "backtest":
        with _packing_lock:
            packed = _packer.pack(message["claim"], _written)
        if packed is None:
            if message.get("attempt") is not True:
                tried = packing.attempt_of(message["claim"])
                emit({"type": "backtest", "claim": tried, "number": None, "attempt": True}, in_order)
            return False
        text = _written({**message, "claim": packed})
    with _lock:
        view = memoryview((b"\n" if _half_a_line else b"") + text.encode("utf-8", "replace") + b"\n")
        try:
            if order is not None and in_order:
                order(_fd, True)
            _half_a_line = True  # an interrupt may end this here
            while view:
                view = view[os.write(_fd, view) :]
            _half_a_line = False
            if order is not None and in_order:
                order(_fd, False)
        except OSError:
            # The program closed the descriptor itself. Its output is its own to lose; the program goes on.
            _fd, connected = None, False
            return False
    return True


def _written(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=plain)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), default=plain)


def begin_claims() -> None:
    """Another cell: the site counts what its claims have anew."""
    global _packer
    _packer = packing.Packer()


def begin_line() -> None:
    """The next message stands on a line of its own, whatever others may have written into the channel."""
    global _half_a_line
    _half_a_line = True


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def plain(value: Any) -> Any:
    """The JSON form of what numpy, pandas and datetime have types of their own for; text for anything
    else.
    """
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return _finite(value.tolist())
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    return str(value)


# Questions to the host


class Unanswered(Exception):
    """Nobody answered: no host listens, it took too long, or the host could not do it. The text says which."""


_numbers = itertools.count(1)
_incoming = bytearray()
_answers: dict[int, dict[str, Any]] = {}
# In a live interpreter, whose main thread reads the inbox between the cells: other threads cannot.
only_thread = False
_FRAME = struct.Struct(">I")


def ask(what: str, body: dict[str, Any], timeout: float | None = None) -> dict[str, Any]:
    """Ask the host for something and wait for its answer.

    what: the kind of question, such as "pmap". body: a JSON object. timeout: seconds; None waits as long as
    the program may run. Raises Unanswered.
    """
    if _fd is None or _inbox is None:
        raise Unanswered("This program is not connected to a host that could answer.")
    if os.getpid() != _owner:
        raise Unanswered("Only the program itself can ask the host, not a process that it has forked.")
    if only_thread and threading.current_thread() is not threading.main_thread():
        raise Unanswered("In a session only the cell itself can ask the host, not a thread of it.")
    number = next(_numbers)
    if not emit({"type": "ask", "id": number, "what": what, "body": body}):
        raise Unanswered("The connection to the host is closed.")
    deadline = None if timeout is None else time.monotonic() + timeout
    with _inbox_lock:
        while number not in _answers:
            message = receive(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if message.get("type") == "answer":
                _answers[message.get("id", 0)] = message.get("body") or {}
    answer = _answers.pop(number)
    if "error" in answer:
        raise Unanswered(str(answer["error"]))
    return answer


def receive(timeout: float | None = None) -> dict[str, Any]:
    """The next message of the host, in a box. Raises Unanswered when it takes longer than `timeout` seconds."""
    if _inbox is None:
        raise Unanswered("This program is not connected to a host.")
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        if len(_incoming) >= _FRAME.size:
            end = _FRAME.size + _FRAME.unpack_from(_incoming)[0]
            if len(_incoming) >= end:
                text = bytes(_incoming[_FRAME.size : end])
                del _incoming[:end]
                return json.loads(text)
        poller = select.poll()
        poller.register(_inbox, select.POLLIN)
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not poller.poll(None if left is None else left * 1000):
            raise Unanswered("The host did not answer in time.")
        data = os.read(_inbox, 1 << 18)
        if not data:
            raise Unanswered("The host has closed the connection.")
        _incoming.extend(data)
