"""Which files of its market data has a program opened? What the kernel says, whatever the program does or says itself.

A watch is on the file, not on who opens it: another program with the same file, or the site, may have been the one.
So the answer may name too much, and never too little.
"""

from __future__ import annotations

import ctypes
import logging
import os
import struct
from collections.abc import Sequence
from pathlib import Path

logger = logging.getLogger("sandbox.engine")

_OPEN, _OVERFLOW, _ONESHOT = 0x20, 0x4000, 0x80000000
_EVENT = struct.Struct("iIII")
_FORMS = (".arrow", ".parquet")  # an object has one of them
MOST_FILES = 20_000  # of one box: putting watches on them keeps all others waiting


class Opening:
    """What of one box's files has been opened since its watch began."""

    def __init__(self, openings: Openings) -> None:
        self._openings = openings
        self._names: set[str] = set()
        self.known = True

    def names(self) -> list[str] | None:
        """Of the files; None when nobody can say."""
        self._openings.read()
        return sorted(self._names) if self.known else None

    def add(self, name: str) -> None:
        self._names.add(name)

    def end(self) -> None:
        self._openings.forget(self)


class Openings:
    """All watches of this engine. Each tells of the first time only, so no program can keep us reading."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._watched: dict[int, dict[Opening, str]] = {}
        self._living: set[Opening] = set()
        if self._descriptor < 0:
            logger.warning("what programs open cannot be watched: %s", os.strerror(ctypes.get_errno()))

    def watch(self, folder: Path, names: Sequence[str]) -> Opening:
        """names: of objects of the snapshot that lies in the folder."""
        self.read()
        opening = Opening(self)
        self._living.add(opening)
        if len(names) > MOST_FILES:
            opening.known, names = False, ()
        for name in names:
            number = -1
            for form in _FORMS:
                path = os.fsencode(folder / "objects" / f"{name}{form}")
                number = self._libc.inotify_add_watch(self._descriptor, path, ctypes.c_uint32(_OPEN | _ONESHOT))
                if number >= 0:
                    break
            if number < 0:
                logger.warning("a file of market data cannot be watched: %s", os.strerror(ctypes.get_errno()))
                opening.known = False
                break
            self._watched.setdefault(number, {})[opening] = name
        return opening

    def read(self) -> None:
        """Take what the kernel has to tell."""
        while self._descriptor >= 0:
            try:
                data = os.read(self._descriptor, 1 << 16)
            except BlockingIOError:
                return
            for place in range(0, len(data), _EVENT.size):  # events of files have no name behind them
                number, mask, _, _ = _EVENT.unpack_from(data, place)
                if mask & _OVERFLOW:
                    for opening in self._living:
                        opening.known = False
                # Also where the watch ended for another reason: then nobody would have told.
                for opening, name in self._watched.pop(number, {}).items():
                    opening.add(name)

    def forget(self, gone: Opening) -> None:
        self.read()
        self._living.discard(gone)
        for number in [number for number, openings in self._watched.items() if gone in openings]:
            del self._watched[number][gone]
            if not self._watched[number]:
                del self._watched[number]
                self._libc.inotify_rm_watch(self._descriptor, number)
