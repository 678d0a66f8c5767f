"""How does a running program hand charts, tables, progress and results to the page? One JSON object a line,
on its own descriptor named by QFP_CHANNEL_FD. On a laptop there is no such descriptor and `connected` is
False.
"""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Callable
from typing import Any

_lock = threading.Lock()
# In a box: called before a message is written (True) and after (False), so that it keeps its place among
# the texts.
order: Callable[[int, bool], None] | None = None


def _renew_lock() -> None:
    """In a forked child: another thread of the parent may have held the lock, and is not there to release
    it.
    """
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew_lock)


def _descriptor() -> int | None:
    text = os.environ.get("QFP_CHANNEL_FD", "")
    if not text.isdigit():
        return None
    try:
        os.fstat(int(text))
    except OSError:
        return None
    return int(text)


_fd = _descriptor()
connected: bool = _fd is not None


def emit(message: dict[str, Any]) -> bool:
    """Send one message; False when nobody listens. Numbers that JSON has no word for (NaN, infinity)
    become null.
    """
    global connected, _fd
    if _fd is None:
        return False
    try:
        text = json.dumps(message, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=plain)
    except ValueError:
        text = json.dumps(_finite(message), ensure_ascii=False, separators=(",", ":"), default=plain)
    view = memoryview(text.encode("utf-8", "replace") + b"\n")
    with _lock:
        try:
            if order is not None:
                order(_fd, True)
            while view:
                view = view[os.write(_fd, view) :]
            if order is not None:
                order(_fd, False)
        except OSError:
            # The program closed the descriptor itself. Its output is its own to lose; the program goes on.
            _fd, connected = None, False
            return False
    return True


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
