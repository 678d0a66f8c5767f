"""What do the engine and those who ask it for boxes say to each other? Limits, requests, frames, and nothing else.

A frame is a 4-byte big-endian length and a JSON object in UTF-8, on a unix stream socket. One connection carries one
conversation: `{"op": "status"}` and its answer, or `{"op": "start", ...}`, the answer to it, and then the events of
that box one way and `cancel`, `interrupt`, `input` and `answer` the other way. The box lives no longer than its
connection.

A session is a box that does: a live interpreter, held by the engine under an id. Its conversations, all but the first
with `session` (the id) and `owner` (another's session is answered like one that never was):

    open_session     request (its run_id is the session's id), idle_seconds, most (sessions of this owner)
                     -> opened {idle_left} | refused {reason, code}
    run_cell         cell (Cell, below) -> accepted | refused, then events as of a box, `ended` with a `session`:
                     {alive, why, idle_left}. `cancel` and the end of the connection interrupt the cell and keep
                     the session.
    ask_session      what: "variables" | "page" (name, first, count, left, width, sort, descending)
                     -> answer {body} | refused
    keep_session     -> done {idle_left}: used, so the time without use begins anew
    interrupt_session, close_session -> done | refused
    sessions         (without session) -> sessions {sessions: [{id, owner, state, run, idle_left, memory_bytes,
                     started}]}

`start` and whatever is asked of sessions carry `protocol`, and so does what the engine answers to them and to
`status`: where it is another than one's own, one side was updated without the other, and nothing is run.

Codes of refusals: gone (reason says why it ended), busy, full, unanswered, crashed, invalid.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

OTHER_RELEASE = (
    "The sandbox engine and the site are of different releases, so no program is run. The operator has to restart both "
    "with the same code."
)
# The largest file a box may hand over (see runner.quotas) must fit in base64, which adds a third.
MAX_FRAME = 64 * 1024 * 1024
MAX_SOURCE_BYTES = 4 * 1024 * 1024
MAX_SOURCE_FILES = 200
MAX_PARAMS_BYTES = 256 * 1024
MAX_INPUT_BYTES = 64 * 1024
MAX_LINE = 1_000_000
MAX_NOTES = 20_000  # characters, of a report
TABLES = "tables"  # folder of the store: files that take the place of packages' ones, see host/tables.py
SESSION_SECONDS = 12 * 3600  # the longest life of a session, whatever its cells may use

SUCCEEDED = "succeeded"
FAILED = "failed"
TIMED_OUT = "timed_out"
OUT_OF_MEMORY = "out_of_memory"
OUTPUT_EXCEEDED = "output_exceeded"
DISK_FULL = "disk_full"
CANCELLED = "cancelled"
CRASHED = "crashed"

_HEADER = struct.Struct(">I")


def _protocol() -> str:
    """Of the text that says what is said, here and in events; so nobody has to remember to raise a number."""
    here = Path(__file__).resolve().parent
    return hashlib.sha256(b"".join((here / name).read_bytes() for name in SAID_IN)).hexdigest()[:12]


SAID_IN = ("protocol.py", "host/messages.py")
PROTOCOL = _protocol()


class ProtocolError(Exception):
    """The other side sent what this protocol does not know; the connection is of no more use."""


@dataclass(frozen=True)
class Limits:
    """What one box may use. Sizes in bytes, times in seconds."""

    cpu_seconds: float  # of all its processes together
    wall_seconds: float
    memory_bytes: int  # of one process (MemoryError) and, with the disk on top, of all together (killed)
    disk_bytes: int  # everything it writes: working directory, /tmp and /dev/shm are one place
    processes: int  # threads count as well
    output_bytes: int  # stdout and stderr together
    rich_bytes: int  # charts, tables and other messages together
    rich_message_bytes: int  # one of them; a larger one is left out with a notice
    events: int
    artefact_bytes: int  # files kept from the working directory, together
    artefact_count: int
    cores: float = 1.0  # processors used at the same time, by all its processes

    def __post_init__(self) -> None:
        for name in (each.name for each in fields(self)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ValueError(f"{name} must be a number, not {value!r}")
            if value < 0 or (value == 0 and name not in {"artefact_bytes", "artefact_count"}):
                raise ValueError(f"{name} must be more than 0")

    @classmethod
    def from_json(cls, value: Any) -> Limits:
        if not isinstance(value, Mapping):
            raise ValueError("limits must be an object")
        unknown = set(value) - {each.name for each in fields(cls)}
        if unknown:
            raise ValueError(f"unknown limits: {', '.join(sorted(map(str, unknown)))}")
        try:
            return cls(**value)
        except TypeError as error:
            raise ValueError(str(error)) from None


@dataclass(frozen=True)
class BoxRequest:
    """One program to run: its files (path -> text), the file to start with, its parameters and its data."""

    run_id: str
    owner: str
    files: dict[str, str]
    entry: str
    params: dict[str, Any]
    limits: Limits
    snapshot: str | None = None  # of market data, below the engine's store
    layer: str | None = None  # of packages, below the engine's layers
    session: bool = False  # a live interpreter that waits for cells instead of ending
    device: str = ""  # such as "gpu"; what that means is the engine's policy
    watched: list[str] = field(default_factory=list)  # objects of the snapshot whose opening is told at the end

    def __post_init__(self) -> None:
        for name in ("run_id", "owner"):
            value = getattr(self, name)
            if not isinstance(value, str) or len(value) > 200:
                raise ValueError(f"{name} must be a text of at most 200 characters")
        if not isinstance(self.files, dict) or len(self.files) > MAX_SOURCE_FILES:
            raise ValueError(f"files must be an object of at most {MAX_SOURCE_FILES} paths")
        total = 0
        for path, text in self.files.items():
            check_source_path(path)
            if not isinstance(text, str):
                raise ValueError(f"{path}: the content must be text")
            total += len(text.encode("utf-8", "replace"))
        if total > MAX_SOURCE_BYTES:
            raise ValueError(f"the source files are larger than {MAX_SOURCE_BYTES // 2**20} MB together")
        if self.entry not in self.files:
            raise ValueError(f"there is no file {self.entry}")
        if not isinstance(self.params, dict) or len(dump_json(self.params)) > MAX_PARAMS_BYTES:
            raise ValueError("params must be an object of reasonable size")
        for name in ("snapshot", "layer"):
            value = getattr(self, name)
            # It becomes part of a path on the host: a hash, and nothing else.
            if value is not None and not _is_hash(value):
                raise ValueError(f"{name} must be a SHA-256 in lower-case hexadecimal")
        if not isinstance(self.session, bool):
            raise ValueError("session must be true or false")
        watched = self.watched
        if not isinstance(watched, list) or not all(map(_is_hash, watched)):
            raise ValueError("watched must be SHA-256 in lower-case hexadecimal")
        if not isinstance(self.device, str) or len(self.device) > 20:
            raise ValueError("device must be a short name")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> BoxRequest:
        return _from_json(cls, value, "a request")


@dataclass(frozen=True)
class Cell:
    """A piece of a file to run in a session; `line` is where in the file it stands, from 1."""

    run_id: str
    source: str
    limits: Limits  # processor time, length and output are the cell's; the others are the session's
    line: int = 1
    params: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.run_id, str) or len(self.run_id) > 200:
            raise ValueError("run_id must be a text of at most 200 characters")
        if not isinstance(self.source, str) or len(self.source.encode("utf-8", "replace")) > MAX_SOURCE_BYTES:
            raise ValueError(f"the source must be text of at most {MAX_SOURCE_BYTES // 2**20} MB")
        if not isinstance(self.line, int) or isinstance(self.line, bool) or not 1 <= self.line <= MAX_LINE:
            raise ValueError("line must be a whole number from 1")
        if not isinstance(self.params, dict) or len(dump_json(self.params)) > MAX_PARAMS_BYTES:
            raise ValueError("params must be an object of reasonable size")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> Cell:
        return _from_json(cls, value, "a cell")


Asked = TypeVar("Asked", BoxRequest, Cell)


def _from_json(cls: type[Asked], value: Any, what: str) -> Asked:
    """A request or a cell, its limits among its fields. Raises ValueError."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{what} must be an object")
    try:
        return cls(**{**value, "limits": Limits.from_json(value.get("limits"))})
    except TypeError as error:
        raise ValueError(str(error)) from None


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def check_source_path(path: Any) -> None:
    """Refuse a path that could leave the working directory or hide in it."""
    if not isinstance(path, str) or not 0 < len(path) <= 200 or not path.isprintable():
        raise ValueError(f"not a usable file name: {path!r:.80}")
    parts = path.split("/")
    if len(parts) > 8 or any(not part or part.startswith(".") or "\\" in part for part in parts):
        raise ValueError(f"not a usable file name: {path!r:.80}")


def dump_json(value: Any) -> bytes:
    """JSON without NaN and Infinity, which JSON does not have; lone surrogates become escapes."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def load_json(data: bytes | str) -> Any:
    """Read JSON from someone we do not trust: ValueError for everything that is not JSON, however deep."""
    try:
        return json.loads(data, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def encode_frame(message: Mapping[str, Any]) -> bytes:
    body = dump_json(message)
    if len(body) > MAX_FRAME:
        raise ProtocolError(f"a frame of {len(body)} bytes is larger than {MAX_FRAME}")
    return _HEADER.pack(len(body)) + body


class FrameReader:
    """Cuts a stream of bytes into frames: feed() what arrived, then take what is complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next_frame(self) -> dict[str, Any] | None:
        """The next complete frame, or None. Raises ProtocolError for what is no frame of ours."""
        if len(self._buffer) < _HEADER.size:
            return None
        (length,) = _HEADER.unpack_from(self._buffer)
        if length > MAX_FRAME:
            raise ProtocolError(f"a frame of {length} bytes is larger than {MAX_FRAME}")
        end = _HEADER.size + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_HEADER.size : end])
        del self._buffer[:end]
        try:
            message = load_json(body)
        except ValueError as error:
            raise ProtocolError(f"not JSON: {error}") from None
        if not isinstance(message, dict):
            raise ProtocolError("a frame must be an object")
        return message
