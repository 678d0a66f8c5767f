"""Which files does a program leave? Those of its working directory, within limits, with what was left out and why.

Process 1 of a box looks once nothing of the program runs any more. It never follows a link or opens a FIFO.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator

MOST_ENTRIES = 20_000  # of directories, looked at before we stop
DEPTH = 16
SECONDS = 4.0
SKIPPED_NAMED = 50
SKIPPED_DIRECTORIES = {"__pycache__"}


def collect(folder: str, job: dict, send: Callable[[dict], None], send_bytes: Callable[[bytes], None]) -> None:
    """Send the regular files of a folder, within the limits of the job; say which were left out and why."""
    budget = job["artefacts"]["bytes"]
    places = job["artefacts"]["count"]
    skipped: list[dict] = []
    sources = job["files"]
    for path, directory, name, info in walk_regular_files(folder):
        if path in sources and is_unchanged(directory, name, info, sources[path]):
            continue
        if info.st_size > budget or places <= 0:
            why = "count" if places <= 0 else "size"
            if len(skipped) < SKIPPED_NAMED:
                skipped.append({"name": path, "why": why, "size": info.st_size})
            continue
        descriptor = open_regular(directory, name)
        if descriptor is None:
            continue
        try:
            send({"type": "artefact", "name": path, "size": info.st_size})
            remaining = info.st_size
            while remaining:
                data = os.read(descriptor, min(remaining, 1 << 18))
                if not data:
                    break
                send_bytes(data)
                remaining -= len(data)
        finally:
            os.close(descriptor)
        budget -= info.st_size
        places -= 1
    send({"type": "skipped", "files": skipped})


def walk_regular_files(folder: str) -> Iterator[tuple[str, int, str, os.stat_result]]:
    """Yield (path, directory descriptor, name, lstat) of regular files: opened by directory, links never followed."""
    deadline = time.monotonic() + SECONDS
    entries = 0
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    stack: list[tuple[int, str, int]] = [(root, "", 0)]
    while stack:
        directory, prefix, depth = stack.pop()
        try:
            names = []
            with os.scandir(directory) as listing:
                for entry in listing:
                    entries += 1
                    if entries > MOST_ENTRIES or time.monotonic() > deadline:
                        return
                    names.append(entry.name)
            for name in sorted(names):
                if not is_plain_name(name):
                    continue
                path = prefix + name
                try:
                    info = os.stat(name, dir_fd=directory, follow_symlinks=False)
                    if stat.S_ISREG(info.st_mode):
                        yield path, directory, name, info
                    elif stat.S_ISDIR(info.st_mode) and depth < DEPTH and name not in SKIPPED_DIRECTORIES:
                        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                        stack.append((os.open(name, flags, dir_fd=directory), path + "/", depth + 1))
                except OSError:
                    continue  # unreadable by its own mode, or too many directories: not an artefact
        finally:
            os.close(directory)


def is_plain_name(name: str) -> bool:
    """Hidden files stay in the box, and so do names that would not survive a page or a download."""
    return not name.startswith(".") and name.isprintable() and len(name) <= 120


def open_regular(directory: int, name: str) -> int | None:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return descriptor


def is_unchanged(directory: int, name: str, info: os.stat_result, text: str) -> bool:
    content = text.encode("utf-8", "replace")
    if info.st_size != len(content):
        return False
    descriptor = open_regular(directory, name)
    if descriptor is None:
        return True
    try:
        return os.read(descriptor, len(content) + 1) == content
    finally:
        os.close(descriptor)
