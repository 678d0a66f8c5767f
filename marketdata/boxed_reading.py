"""How does the site learn what is in an uploaded file without opening it? A box reads it (marketdata.reading), and what
comes out of the box is checked here as if its author were hostile.
"""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings

from marketdata.reading.limits import MOST_COLUMNS, MOST_ROWS, MOST_TABLE_BYTES
from sandbox.client import Box, BoxRefused, BoxRequest, EngineClient, EngineUnavailable, Limits
from sandbox.protocol import OUT_OF_MEMORY, SUCCEEDED, TIMED_OUT, load_json

logger = logging.getLogger(__name__)

LIMITS = Limits(
    cpu_seconds=30,
    wall_seconds=45,
    memory_bytes=1_000_000_000,
    disk_bytes=150_000_000,
    processes=48,
    output_bytes=64_000,
    rich_bytes=1_000_000,
    rich_message_bytes=100_000,
    events=500,
    artefact_bytes=MOST_TABLE_BYTES + 20_000_000,
    artefact_count=2 * MOST_COLUMNS + 2,
)
# No message of a box may be longer, whatever it asks for.
MOST_PIECE = 4_000_000
MOST_FOUND_BYTES = 2_000_000
ALIVE_SECONDS = 3.0
FOUND = "found.json"
MAIN = "import reading.program\nreading.program.main()\n"


class NotRead(Exception):
    """The file is refused. The text is for its owner: why, where, what to do."""


class TryLater(Exception):
    """The engine is away or has no room; nothing is known about the file."""


@dataclass(frozen=True)
class Reading:
    """What a box said of a file: `found` is checked; `files` are the columns as raw bytes."""

    found: dict[str, Any]
    files: dict[str, bytes]


def read_in_a_box(
    content: Path, choices: dict[str, Any], *, owner: str, name: str, columns: bool, alive: Callable[[], None]
) -> Reading:
    """Look at the file, or read its columns, too. Raises NotRead or TryLater. alive: called every few seconds."""
    size = content.stat().st_size
    task = {"size": size, "choices": choices, "read": columns}
    files = {"main.py": MAIN, "task.json": json.dumps(task), **_program()}
    request = BoxRequest(name, owner, files, "main.py", {}, LIMITS)
    left: dict[str, bytes] = {}
    errors, ended = "", {}
    try:
        with content.open("rb") as file, EngineClient(settings.ENGINE_SOCKET).start(request) as box:
            said = time.monotonic()
            for event in box.events(poll_seconds=1.0):
                if time.monotonic() - said > ALIVE_SECONDS:
                    alive()
                    said = time.monotonic()
                if event is None:
                    continue
                if event["type"] == "ask":
                    _give_piece(box, event, file)
                elif event["type"] == "stderr":
                    errors = (errors + event["text"])[-2000:]
                elif event["type"] == "artefact":
                    left[str(event["name"])] = base64.b64decode(event["content_base64"])
                elif event["type"] == "ended":
                    ended = event
    except BoxRefused as refusal:
        raise TryLater(refusal.reason) from None
    except EngineUnavailable as error:
        raise TryLater(str(error)) from None
    if ended.get("refused"):
        raise TryLater(str(ended["refused"])[:300])
    _refuse_by_outcome(ended, name, errors)
    found = checked_found(left.pop(FOUND, b""))
    return Reading(found, left)


def _give_piece(box: Box, event: dict[str, Any], file: Any) -> None:
    body = event["body"] if isinstance(event["body"], dict) else {}
    offset, length = body.get("offset"), body.get("length")
    if (
        event["what"] != "file"
        or not isinstance(offset, int)
        or not isinstance(length, int)
        or not 0 <= offset < 1 << 40
    ):
        box.answer(event["id"], {"error": "Only pieces of the file are answered."})
        return
    file.seek(offset)
    piece = file.read(max(0, min(length, MOST_PIECE)))
    box.answer(event["id"], {"content": base64.b64encode(piece).decode("ascii")})


@lru_cache(maxsize=1)
def _program() -> dict[str, str]:
    folder = Path(__file__).parent / "reading"
    return {f"reading/{path.name}": path.read_text() for path in sorted(folder.glob("*.py"))}


def _refuse_by_outcome(ended: dict[str, Any], name: str, errors: str) -> None:
    match ended.get("outcome"):
        case str(outcome) if outcome == SUCCEEDED:
            return
        case str(outcome) if outcome == OUT_OF_MEMORY:
            raise NotRead("Reading it takes more memory than an upload may use (1 GB). Split it, or leave out columns.")
        case str(outcome) if outcome == TIMED_OUT:
            raise NotRead(
                f"Reading it takes longer than {LIMITS.cpu_seconds:.0f} s of processor time. Save it as Parquet, or "
                "split it."
            )
    # The text is the file's author's, at worst: it goes nowhere but into the log, and short.
    logger.error("%s: reading failed (%s): %r", name, ended.get("outcome"), errors[-600:])
    raise NotRead("It could not be read: the file is damaged, or of a kind we do not know. Save it again as CSV.")


# What the box said, checked --------------------------------------------------------------------------------------


def checked_found(content: bytes) -> dict[str, Any]:
    """The answer with nothing in it but what pages and rows of ours expect, every text cut to its length. Raises
    NotRead for a refusal, and for an answer that is none.
    """
    try:
        value = load_json(content) if len(content) <= MOST_FOUND_BYTES else None
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise NotRead("Reading it gave no answer. Save the file again, or as CSV.")
    if "refused" in value:
        raise NotRead(text(value["refused"], 600))
    preview = value.get("preview") if isinstance(value.get("preview"), dict) else {}
    return {
        "kind": text(value.get("kind"), 20),
        "choices": _choices(value.get("choices")),
        "options": {text(key, 30): _options(each) for key, each in _pairs(value.get("options"), 20)},
        "questions": [
            {
                "choice": text(each.get("choice"), 30),
                "text": text(each.get("text"), 400),
                "options": _options(each.get("options")),
            }
            for each in _objects(value.get("questions"), 10)
        ],
        "remarks": [
            {
                "level": each.get("level") if each.get("level") in ("stop", "warning", "note") else "note",
                "kind": text(each.get("kind"), 30),
                "text": text(each.get("text"), 400),
                "rows": [row for row in _items(each.get("rows"), 20) if _is_count(row)],
                "count": each["count"] if _is_count(each.get("count")) else 0,
            }
            for each in _objects(value.get("remarks"), 100)
        ],
        "sources": [
            {key: text(each.get(key), 80) for key in ("name", "target", "holds", "sample")}
            for each in _objects(value.get("sources"), MOST_COLUMNS)
        ],
        "rows": value["rows"] if _is_count(value.get("rows")) and value["rows"] <= MOST_ROWS else 0,
        "columns": [
            {"name": text(each.get("name"), 60), "holds": "number" if each.get("holds") == "number" else "text"}
            for each in _objects(value.get("columns"), MOST_COLUMNS)
        ],
        **{key: text(value.get(key), 60) for key in ("interval", "zone", "first", "last")},
        "preview": {
            "names": [text(each, 60) for each in _items(preview.get("names"), MOST_COLUMNS + 1)],
            "rows": [
                [text(cell, 60) for cell in _items(row, MOST_COLUMNS + 1)] for row in _items(preview.get("rows"), 20)
            ],
        },
    }


def _choices(value: Any) -> dict[str, Any]:
    chosen: dict[str, Any] = {text(key, 30): text(each, 80) for key, each in _pairs(value, 30) if key != "names"}
    names = value.get("names") if isinstance(value, dict) else None
    if isinstance(names, list):
        chosen["names"] = [text(name, 60) for name in names[:MOST_COLUMNS]]
    return chosen


def _options(value: Any) -> dict[str, str]:
    return {text(key, 80): text(each, 80) for key, each in _pairs(value, 300)}


def text(value: Any, most: int) -> str:
    """Text that a database and a page can hold, at most so long; "" for anything else."""
    if not isinstance(value, (str, int, float)):
        return ""
    clean = str(value).replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    return clean[:most]


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _items(value: Any, most: int) -> list[Any]:
    return value[:most] if isinstance(value, list) else []


def _objects(value: Any, most: int) -> list[dict[str, Any]]:
    return [each for each in _items(value, most) if isinstance(each, dict)]


def _pairs(value: Any, most: int) -> list[tuple[Any, Any]]:
    return list(value.items())[:most] if isinstance(value, dict) else []


# Columns -----------------------------------------------------------------------------------------------------------


def arrow_object(reading: Reading) -> bytes:
    """The columns as an Arrow file of our own making: one batch, `date` first, floats and texts. The box hands over
    plain numbers, so nothing here parses a form that a file could have prepared. Raises NotRead when they do not fit
    what was announced.
    """
    import numpy as np
    import pyarrow as pa

    rows, files = reading.found["rows"], reading.files
    names = [column["name"] for column in reading.found["columns"]]
    if not rows or not names or len({*names, "date", ""}) != len(names) + 2:
        raise _unlike_announced()
    moments = np.frombuffer(_exactly(files, "0.numbers", 8 * rows), "<i8")
    if (np.diff(moments) < 0).any() or abs(int(moments[0])) > 10**16 or abs(int(moments[-1])) > 10**16:
        raise _unlike_announced()
    arrays = [pa.array(moments.astype("datetime64[us]"))]
    for number, column in enumerate(reading.found["columns"], 1):
        if column["holds"] == "number":
            values = np.frombuffer(_exactly(files, f"{number}.numbers", 8 * rows), "<f8")
            if np.isinf(values).any():
                raise _unlike_announced()
            arrays.append(pa.array(values))
            continue
        ends = np.frombuffer(_exactly(files, f"{number}.ends", 4 * rows), "<i4")
        body = files.get(f"{number}.text", b"")
        if (np.diff(ends) < 0).any() or int(ends[0]) < 0 or int(ends[-1]) != len(body):
            raise _unlike_announced()
        starts = np.concatenate([[0], ends]).astype("<i4")
        texts = pa.StringArray.from_buffers(rows, pa.py_buffer(starts.tobytes()), pa.py_buffer(body))
        try:
            texts.validate(full=True)
        except pa.ArrowInvalid:
            raise _unlike_announced() from None
        arrays.append(texts)
    batch = pa.record_batch(arrays, names=["date", *names])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def _exactly(files: dict[str, bytes], name: str, size: int) -> bytes:
    content = files.get(name, b"")
    if len(content) != size:
        raise _unlike_announced()
    return content


def _unlike_announced() -> NotRead:
    return NotRead("What came out of reading it is not what was announced. Try again; if it stays, save it as CSV.")
