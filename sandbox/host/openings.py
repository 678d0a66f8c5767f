"""Which files of its market data has a program opened? What the kernel says, whatever the program does or says itself.

Where the engine may ask for it, the kernel says which process opened a file, and every box has a user id of its own.
Otherwise, and where that process has ended meanwhile, a watch is on the file alone: another program with the same file,
or the site, may have been the one. So the answer may name too much, and never too little.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

logger = logging.getLogger("sandbox.engine")

_OPEN, _OVERFLOW, _ONESHOT = 0x20, 0x4000, 0x80000000
_EVENT = struct.Struct("iIII")
_FORMS = (".arrow", ".parquet")  # an object has one of them
MOST_FILES = 20_000  # of one box: putting watches on them keeps all others waiting

# Of fanotify: close on exec, do not block, any number of files, tell the process in a way that no other can take over.
_INIT = 0x1 | 0x2 | 0x20 | 0x80
_ADD, _REMOVE, _HERE = 0x1, 0x2, -100
_HEAD, _MORE, _OF_PROCESS = struct.Struct("=IBBHQii"), struct.Struct("=BBHi"), 4
_AT_ONCE = 1 << 12  # bytes: every event comes with two descriptors
MOST_TIMES = 200  # that one file may be opened until nobody asks any more who it was


class Opening:
    """What of one box's files has been opened since its watch began. uids: what it may run as."""

    def __init__(self, openings: Openings) -> None:
        self._openings = openings
        self._names: set[str] = set()
        self.known = True
        self.uids: set[int] = set()

    def names(self) -> list[str] | None:
        """Of the files; None when nobody can say."""
        self._openings.read()
        return sorted(self._names) if self.known else None

    def add(self, name: str) -> None:
        self._names.add(name)

    def has(self, name: str) -> bool:
        return name in self._names

    def end(self) -> None:
        self._openings.forget(self)


class Openings:
    """All watches of this engine. No program can keep us reading: each file is told of the first time only, or so many
    times where the process is asked for.

    boxes: the user ids of boxes, where each box has its own; nobody else's opening is told then.
    """

    def __init__(self, boxes: range | None = None) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._boxes = boxes
        self._descriptor = -1
        if boxes is not None:
            self._descriptor = self._libc.fanotify_init(_INIT, os.O_RDONLY | os.O_CLOEXEC)
        self.by_process = self._descriptor >= 0
        if not self.by_process:
            self._descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._watched: dict[Any, dict[Opening, str]] = {}  # by what the kernel tells of a file
        self._paths: dict[Any, bytes] = {}
        self._times: Counter[Any] = Counter()
        self._living: set[Opening] = set()
        if self._descriptor < 0:
            logger.warning("what programs open cannot be watched: %s", os.strerror(ctypes.get_errno()))

    def watch(self, folder: Path, names: Sequence[str]) -> Opening:
        """names: of objects of the snapshot that lies in the folder."""
        self.read()
        if self.by_process:  # soon: a process that has ended cannot be asked for
            with suppress(RuntimeError):  # without a loop it is read when somebody wants to know
                asyncio.get_running_loop().add_reader(self._descriptor, self.read)
        opening = Opening(self)
        self._living.add(opening)
        if len(names) > MOST_FILES:
            opening.known, names = False, ()
        for name in names:
            key = None
            for form in _FORMS:
                path = os.fsencode(folder / "objects" / f"{name}{form}")
                if (key := self._mark(path)) is not None:
                    break
            if key is None:
                logger.warning("a file of market data cannot be watched: %s", os.strerror(ctypes.get_errno()))
                opening.known = False
                break
            self._watched.setdefault(key, {})[opening] = name
            self._times.pop(key, None)
        return opening

    def _mark(self, path: bytes) -> Any:
        """Have the kernel tell of this file; what it will call it, or None."""
        if not self.by_process:
            number = self._libc.inotify_add_watch(self._descriptor, path, ctypes.c_uint32(_OPEN | _ONESHOT))
            return number if number >= 0 else None
        if self._libc.fanotify_mark(self._descriptor, _ADD, ctypes.c_uint64(_OPEN), _HERE, path) < 0:
            return None
        status = os.stat(path)
        self._paths[status.st_dev, status.st_ino] = path
        return status.st_dev, status.st_ino

    def read(self) -> None:
        """Take what the kernel has to tell."""
        while self._descriptor >= 0:
            try:
                data = os.read(self._descriptor, _AT_ONCE if self.by_process else 1 << 16)
            except BlockingIOError:
                return
            except OSError as error:  # such as no descriptors left: what was to be told is lost
                logger.warning("what programs opened cannot be read: %s", error)
                self._know_nothing()
                return
            for key, mask, uid in self._processes(data) if self.by_process else self._files(data):
                if mask & _OVERFLOW:
                    self._know_nothing()
                elif self.by_process:
                    self._opened_by(key, uid)
                else:
                    # Also where the watch ended for another reason: then nobody would have told.
                    for opening, name in self._watched.pop(key, {}).items():
                        opening.add(name)

    def _files(self, data: bytes) -> Iterator[tuple[Any, int, None]]:
        for place in range(0, len(data), _EVENT.size):  # events of files have no name behind them
            number, mask, _, _ = _EVENT.unpack_from(data, place)
            yield number, mask, None

    def _processes(self, data: bytes) -> Iterator[tuple[Any, int, int | None]]:
        """Of each event the file, what happened, and whose process it was; None where that has ended."""
        place = 0
        while place < len(data):
            length, _, _, head, mask, file, pid = _HEAD.unpack_from(data, place)
            process = -1
            if length > head:
                kind, _, _, process = _MORE.unpack_from(data, place + head)
                process = process if kind == _OF_PROCESS else -1
            place += length
            try:
                key = None
                if file >= 0:
                    status = os.fstat(file)
                    key = status.st_dev, status.st_ino
                yield key, mask, _owner(pid, process)
                if file >= 0 and key not in self._watched:
                    self._libc.fanotify_mark(self._descriptor, _REMOVE, ctypes.c_uint64(_OPEN), file, None)
            finally:
                for descriptor in (file, process):
                    if descriptor >= 0:
                        os.close(descriptor)

    def _opened_by(self, key: Any, uid: int | None) -> None:
        """Told to the box that it was; to all that have the file where nobody can say which."""
        watching = self._watched.get(key, {})
        if uid is not None and self._boxes is not None and uid not in self._boxes:
            among = []  # the site itself
        elif uid is None or not any(uid in opening.uids for opening in self._living):
            among = [*watching]
        else:
            among = [opening for opening in watching if uid in opening.uids]
        self._times[key] += 1
        if self._times[key] > MOST_TIMES:
            among = [*watching]
        for opening in among:
            opening.add(watching[opening])
        if all(opening.has(name) for opening, name in watching.items()):
            self._leave(key)

    def _know_nothing(self) -> None:
        for opening in self._living:
            opening.known = False

    def _leave(self, key: Any) -> None:
        self._watched.pop(key, None)
        self._times.pop(key, None)
        if not self.by_process:
            self._libc.inotify_rm_watch(self._descriptor, key)
        elif (path := self._paths.pop(key, None)) is not None:
            self._libc.fanotify_mark(self._descriptor, _REMOVE, ctypes.c_uint64(_OPEN), _HERE, path)

    def forget(self, gone: Opening) -> None:
        self.read()
        self._living.discard(gone)
        for key in [key for key, openings in self._watched.items() if gone in openings]:
            del self._watched[key][gone]
            if not self._watched[key]:
                self._leave(key)


def _owner(pid: int, process: int) -> int | None:
    """The user id of a process that is still there, and the same. process: a descriptor of it."""
    if process < 0:
        return None
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            uid = next(int(line.split()[1]) for line in status if line.startswith("Uid:"))
        signal.pidfd_send_signal(process, 0)  # now it still has its number, so it had when we read
    except (OSError, ValueError, StopIteration):
        return None
    return uid
