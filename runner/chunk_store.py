"""Where do the bytes of a pmap() lie, and what are its keys in Redis called? What both sides know: parallel.py, which
hands chunks out, and chunks.py, which works on them.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from runner.recording import Recording

MAX_STORED_BYTES = 256_000_000  # of one run, function, items and results together
KEY_SECONDS = 3 * 3600


class NotPossible(Exception):
    """The program asked for what it cannot have; the text is for its author."""


def cpu_key(run_id: Any) -> str:
    return f"run:{run_id}:pmap:cpu"


def bytes_key(run_id: Any) -> str:
    return f"run:{run_id}:pmap:bytes"


@dataclass(frozen=True)
class Names:
    """The keys of one call in Redis."""

    run_id: str
    call: str

    @property
    def prefix(self) -> str:
        return f"run:{self.run_id}:pmap:{self.call}"

    @property
    def open(self) -> str:
        """There as long as somebody waits for the results."""
        return f"{self.prefix}:open"

    @property
    def news(self) -> str:
        """A list: what became of chunks."""
        return f"{self.prefix}:news"

    def chunk(self, number: int) -> str:
        """Hashes of the chunk's function and items."""
        return f"{self.prefix}:chunk:{number}"

    def claim(self, number: int, attempt: int) -> str:
        """Whoever sets it works on this attempt."""
        return f"{self.prefix}:claim:{number}:{attempt}"

    def alive(self, number: int, attempt: int) -> str:
        """The sign of life of whoever works on this attempt."""
        return f"{self.prefix}:alive:{number}:{attempt}"

    def job(self, number: int, attempt: int) -> str:
        return f"pmap-{self.run_id}-{self.call}-{number}-{attempt}"


class Storage:
    """The bytes of a run's calls, below its directory, named by their hash."""

    def __init__(self, run_id: Any, client: redis.Redis) -> None:
        self.folder = folder_of(run_id)
        self.key = bytes_key(run_id)
        self.client = client

    def put(self, text: Any) -> str:
        """Store what a box sent, base64 of anything."""
        if not isinstance(text, str):
            raise NotPossible("What is sent must be base64 in a text.")
        try:
            data = b64decode(text, validate=True)
        except ValueError:
            raise NotPossible("What is sent must be base64 in a text.") from None
        if self.client.incrby(self.key, len(data)) > MAX_STORED_BYTES:
            raise NotPossible(
                f"Items and results of a run's further boxes are limited to {MAX_STORED_BYTES // 10**6} MB together."
            )
        self.client.expire(self.key, KEY_SECONDS)
        digest = hashlib.sha256(data).hexdigest()
        unfinished = self.folder / f"{digest}.{uuid.uuid4().hex}.part"
        try:
            unfinished.write_bytes(data)
            unfinished.replace(self.folder / digest)
        except FileNotFoundError:  # the folder went with the run's end, or with the run
            raise NotPossible("The run has ended, so nobody waits for this any more.") from None
        return digest

    def get(self, digest: str) -> str:
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise ValueError("not the name of stored bytes")
        return b64encode((self.folder / digest).read_bytes()).decode("ascii")


def folder_of(run_id: Any) -> Path:
    return Recording(run_id).parallel_work
