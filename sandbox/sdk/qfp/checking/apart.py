"""How is something tried without a trace in the program? In a forked copy of it that is heard once and then ends.

The copy prints nothing, asks nothing and hands nothing to the page; what it changes in memory goes with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qfp import channel, checking
from qfp.checking.clock import Clock

__all__ = ["CANNOT", "TOOK_TOO_LONG", "Told", "can_fork", "error_text", "told", "tried_apart", "why_failed"]

CANNOT = "a copy of the program could not be started"
TOOK_TOO_LONG = "time ran out, as when the site is busy. Run it again for the whole test"
MAX_ANSWER = 16 << 20
SHARE_OF_MEMORY = 0.45
LOOKED_AT = 0.2  # seconds, after which it is seen whether the copy still works


class Told(LookupError):
    """What kept a test from saying anything, in words that people are shown as they are."""


def can_fork() -> bool:
    return hasattr(os, "fork")


def tried_apart(action: Callable[[Callable[[Any], None]], Any], seconds: float) -> dict[str, Any]:
    """What `action` returns in a forked copy: {"value": ..., "said": [...]}, or {"failed": why, "said": [...]}.

    action: is given a function that hands over a JSON value at once, in case time runs out before it returns. seconds:
      of processor time, after them the copy is ended, with everything it started. So it is where it does nothing at
      all for as long, and before the run has used half of the time that it has left.
    """
    if _little_memory():
        return {"failed": "there is not enough memory left for a copy of the program", "said": []}
    try:
        read, write = os.pipe()
        with _flushed():
            child = os.fork()
    except OSError:
        return {"failed": CANNOT, "said": []}
    if child == 0:
        _act(action, read, write)
    os.close(write)
    try:
        return _heard(read, child, seconds)
    finally:
        os.close(read)
        for end in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                end(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):  # the program may collect all its children itself
            os.waitpid(child, 0)


def _little_memory() -> bool:
    """Whether a copy that grows as the program did could go beyond the limit, which would end the program, too."""
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if limit == resource.RLIM_INFINITY:
        return False
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return False
    own = next((int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon")), 0)
    return own > SHARE_OF_MEMORY * limit


@contextlib.contextmanager
def _flushed() -> Any:
    """What waits in the buffers is printed by the program, not once more by the copy; no interrupt comes between."""
    from qfp.forking import flush_texts

    flush_texts()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _act(action: Callable[[Callable[[Any], None]], Any], read: int, write: int) -> None:
    try:
        os.setpgid(0, 0)
        os.close(read)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115  until this process ends
        channel.relay = lambda message: None
        channel._fd, channel.connected = nowhere, True

        def say(value: Any, key: str = "said") -> None:
            text = json.dumps({key: value}, default=channel.plain).encode() + b"\n"
            view = memoryview(text)
            while view:
                view = view[os.write(write, view) :]

        try:
            say(action(say), "value")
        except BaseException as error:
            say(told(error), "failed")
    finally:
        os._exit(0)


def told(error: BaseException) -> str:
    """The error in a line, with the line of the program it came from."""
    text = error_text(error)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name != "_act"]
    return f"{text} (line {frames[-1].lineno})" if frames and "/qfp/" not in frames[-1].filename else text


def why_failed(failed: str) -> str:
    """Why a copy says nothing: by what it did, or because it was not heard to the end."""
    return failed if failed == TOOK_TOO_LONG else f"run again, {failed}"


def error_text(error: BaseException) -> str:
    try:
        text = str(error)
        if isinstance(error, Told):
            return text[:300]
        return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
    except Exception:  # a __str__ of the program's own may do anything
        return type(error).__name__


class Patience:
    """With a copy: for as long as it may work, and no longer than that while it does nothing at all."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds = clock, seconds
        self.worked = self.since = 0.0  # what it had worked when it was last seen to, and when that was

    @property
    def is_over(self) -> bool:
        if self.clock.worked > self.worked:
            self.worked, self.since = self.clock.worked, self.clock.elapsed
        return self.clock.passed > self.seconds or self.clock.elapsed - self.since > self.seconds


def _heard(read: int, child: int, seconds: float) -> dict[str, Any]:
    # What processes of the copy's own work is not seen, so what the run has left to work bounds the wait as well.
    text, patience = b"", Patience(Clock.within(checking.spare(), seconds, child), seconds)
    found: dict[str, Any] = {"said": []}
    poller = select.poll()
    poller.register(read, select.POLLIN | select.POLLHUP)
    while "value" not in found and "failed" not in found:
        if poller.poll(1000 * LOOKED_AT):
            text = _take(read, text, found)
        if "value" not in found and patience.is_over:
            found.setdefault("failed", TOOK_TOO_LONG)
    return found


def _take(read: int, text: bytes, found: dict[str, Any]) -> bytes:
    """What is there to be read is put into `found`. text: the beginning of a line, as the rest that is returned."""
    part = os.read(read, 1 << 16)
    text += part
    if not part or len(text) > MAX_ANSWER:
        found["failed"] = "its answer was too long" if part else "it ended without an answer"
        return b""
    *lines, text = text.split(b"\n")
    for line in lines:
        for key, value in json.loads(line).items():
            if key == "said":
                found["said"].append(value)
            else:
                found[key] = value
    return text
