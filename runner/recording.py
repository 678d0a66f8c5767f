"""The stored output of a run: a file of its events, one JSON object a line, appended while the run goes on.

The line number is the event's sequence number, so a reader that has seen event n continues at line n + 1. The file is
the record; the Redis stream of runner.events is only the wire. A finished recording is compressed.
"""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, TextIO
from uuid import UUID

from django.conf import settings


def directory_of(run_id: UUID | str) -> Path:
    """Where everything a run left lies: RUNS_DIR/<first two hex digits>/<run>."""
    name = str(UUID(str(run_id)))
    return Path(settings.RUNS_DIR) / name[:2] / name


def make_folder(folder: Path) -> None:
    """One below RUNS_DIR, into which no other account of the machine may look."""
    if not folder.is_dir():
        Path(settings.RUNS_DIR).mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)


def printed(events: Iterable[dict[str, Any]]) -> list[str]:
    """What a page without scripts shows of them: what was printed, and what input() asked and was told."""
    typed = {"answer": "{prompt}{text}\n", "stdout": "{text}", "stderr": "{text}"}
    return [typed[event["type"]].format_map(event) for event in events if event["type"] in typed]


class Recording:
    """The events of one run on disk. The holder of the run's lease writes them, but for the first and the last, which
    may be somebody else's; any number of readers.
    """

    def __init__(self, run_id: UUID | str) -> None:
        self.directory = directory_of(run_id)
        self.path = self.directory / "events.jsonl"
        self.compressed_path = self.directory / "events.jsonl.gz"
        self._last = 0  # the number of the last event, and the bytes of the file that ends with it
        self._size = 0

    def append(self, events: Collection[dict[str, Any]], only_first: bool = False) -> list[tuple[int, str]]:
        """Number the events and add them: their numbers and lines, which are on disk as far as the kernel is concerned
        when this returns. only_first: where there are none yet. Another process may do the same: a run may have begun
        before it is told that it waits.

        None are added once the recording is closed: a worker that had been taken for lost and goes on after all must
        not write behind the end.
        """
        if self.compressed_path.exists():
            return []
        make_folder(self.directory)
        with self.path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_size != self._size:  # somebody else has written
                self._last = self.last_sequence_number()
                self._size = os.fstat(file.fileno()).st_size
            if only_first and self._last:
                return []
            # ASCII: text from a box may hold halves of surrogate pairs, which UTF-8 cannot carry.
            numbers = range(self._last + 1, self._last + 1 + len(events))
            lines = [
                json.dumps({**event, "seq": number}, allow_nan=False)
                for number, event in zip(numbers, events, strict=True)
            ]
            self._size += file.write("".join(line + "\n" for line in lines).encode("ascii"))
            self._last += len(lines)
        return list(zip(numbers, lines, strict=True))

    def last_sequence_number(self) -> int:
        """The number of complete events; a line cut short by a killed writer is removed first."""
        if self.compressed_path.exists():
            return sum(1 for _ in self._lines())
        if not self.path.exists():
            return 0
        with self.path.open("rb+") as file:
            count, complete = 0, 0
            for line in file:
                if not line.endswith(b"\n"):
                    break
                count, complete = count + 1, complete + len(line)
            file.truncate(complete)
        return count

    def read(self, after: int = 0, limit: int | None = None) -> list[dict[str, Any]]:
        """The events after sequence number `after`, oldest first."""
        stop = None if limit is None else after + limit
        return [json.loads(line) for line in islice(self._lines(), after, stop)]

    def read_kinds(self, kinds: Collection[str], limit: int) -> Iterator[dict[str, Any]]:
        """Those of some kinds among the first events, oldest first. Charts and texts beside them may be long: they are
        not parsed.
        """
        marks = [f'"type": "{kind}"' for kind in kinds]
        for line in islice(self._lines(), limit):
            if any(mark in line for mark in marks) and (event := json.loads(line))["type"] in kinds:
                yield event

    def _lines(self) -> Iterator[str]:
        try:
            file = self._open()
        except FileNotFoundError:
            return
        with file:
            for line in file:
                if not line.endswith("\n"):
                    return  # still being written
                yield line

    def _open(self) -> TextIO:
        """The compressed file replaces the plain one in one step, so whichever is missing now, the other is there."""
        for _ in range(2):
            with suppress(FileNotFoundError):
                return gzip.open(self.compressed_path, "rt", encoding="utf-8")
            with suppress(FileNotFoundError):
                return self.path.open(encoding="utf-8")
        raise FileNotFoundError(self.path)

    def compress(self) -> None:
        """Called once after the last event. A reader sees the plain or the compressed file, never neither."""
        if not self.path.exists():
            return
        if self.compressed_path.exists():  # what came after the end, while it was being closed
            self.path.unlink()
            return
        unfinished = self.compressed_path.with_suffix(".part")
        with self.path.open("rb") as source, gzip.open(unfinished, "wb", compresslevel=6) as target:
            shutil.copyfileobj(source, target)
        unfinished.replace(self.compressed_path)
        self.path.unlink()

    def save_artefact(self, sha256: str, content: bytes) -> None:
        """Files are named by their hash: nothing a user called a file ever becomes a path of ours."""
        folder = self.directory / "files"
        make_folder(folder)
        unfinished = folder / f"{sha256}.part"
        unfinished.write_bytes(content)
        unfinished.replace(folder / sha256)

    def artefact_path(self, sha256: str) -> Path:
        return self.directory / "files" / sha256

    @property
    def parallel_work(self) -> Path:
        """Where chunks of pmap lie as long as the run goes on."""
        return self.directory / "parallel"

    def forget_parallel_work(self) -> None:
        """The worker that made them may be gone."""
        shutil.rmtree(self.parallel_work, ignore_errors=True)

    def delete(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
