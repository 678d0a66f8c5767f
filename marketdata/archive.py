"""How is an Arrow file kept as zstd Parquet, so that every byte of it comes back? Read pack() and unpack().

Its numbers become columns that anybody can read with any tool. What is left of the file without them, a few hundred
bytes that say how it is laid out, goes along as metadata: so coming back does not hang on how some later pyarrow would
write the same table. What does not fit this (texts, panels) is kept as pieces of bytes, compressed as well.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any, BinaryIO

FOLDER = "archive"
COMPRESSED = ".zst"  # of files that people sent, which are no tables of ours
PIECE_BYTES = 1 << 20
PIECES = "bytes"
LAYOUT, REST = b"layout", b"rest"


class Damaged(Exception):
    """What comes out is not what was put in."""


def place(digest: str) -> str:
    """Where the object of this hash lies in the archive, below a store or a bucket."""
    return f"{FOLDER}/{digest}.parquet"


def pack(content: bytes) -> bytes | None:
    """A Parquet file out of which unpack() makes these bytes, which was tried; None where it would not be smaller."""
    digest = hashlib.sha256(content).hexdigest()
    for form in (_as_columns, _as_pieces):
        packed = form(content)
        if packed is None:
            continue
        try:
            unpack(packed, digest)
        except Damaged:
            continue
        return packed if len(packed) < len(content) else None
    return None


def unpack(packed: bytes, digest: str) -> bytes:
    """The object of this hash. Raises Damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(pa.BufferReader(packed), use_threads=False)
        content = _content_of(table)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise Damaged(f"The archive of object {digest[:12]} cannot be read: {str(error)[:200]}") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise Damaged(f"The archive of object {digest[:12]} gives other bytes than its name says.")
    return content


def _as_columns(content: bytes) -> bytes | None:
    """None for anything but one batch of numbers and moments without a gap."""
    import pyarrow as pa

    held = pa.py_buffer(content)
    try:
        batches = list(pa.ipc.open_stream(held.slice(8)))
    except (pa.ArrowException, OSError):
        return None
    batch = batches[0] if len(batches) == 1 else None
    if batch is None or not batch.num_rows or len(set(batch.schema.names)) != batch.num_columns:
        return None
    if any(not (pa.types.is_float64(each.type) or pa.types.is_timestamp(each.type)) for each in batch.columns):
        return None
    if any(each.null_count or each.offset for each in batch.columns):
        return None
    starts = [each.buffers()[1].address - held.address for each in batch.columns]
    width = 8 * batch.num_rows
    if starts != sorted(starts) or starts[0] < 0 or starts[-1] + width > len(content):
        return None
    ends = [0, *(start + width for start in starts)]
    rest = [content[end:start] for end, start in zip(ends, [*starts, len(content)], strict=True)]
    layout = {"starts": starts, "bytes": len(content)}
    # The schema that Parquet reads is its own; the Arrow file's lies in the rest.
    table = pa.Table.from_batches([batch]).replace_schema_metadata(
        {LAYOUT: json.dumps(layout).encode(), REST: b"".join(rest)}
    )
    return _write(table)


def _as_pieces(content: bytes) -> bytes:
    import pyarrow as pa

    pieces = [content[at : at + PIECE_BYTES] for at in range(0, len(content), PIECE_BYTES)]
    return _write(pa.table({PIECES: pa.array(pieces, pa.binary())}))


def _write(table: Any) -> bytes:
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    dates = [name for name in table.schema.names if str(table.schema.field(name).type).startswith("timestamp")]
    others = [name for name in table.schema.names if name not in dates and name != PIECES]
    pq.write_table(
        table,
        sink,
        compression="zstd",
        compression_level=9,  # written once, at night
        use_dictionary=others,
        column_encoding=dict.fromkeys(dates, "DELTA_BINARY_PACKED") or None,
        write_statistics=False,
    )
    return sink.getvalue()


def _content_of(table: Any) -> bytes:
    if table.schema.names == [PIECES]:
        return b"".join(table.column(PIECES).to_pylist())
    layout, rest = json.loads(table.schema.metadata[LAYOUT]), table.schema.metadata[REST]
    made, taken = bytearray(layout["bytes"]), 0
    end = 0
    for start, column in zip(layout["starts"], table.columns, strict=True):
        made[end:start] = rest[taken : taken + start - end]
        taken += start - end
        values = column.to_numpy().tobytes()
        end = start + len(values)
        made[start:end] = values
    made[end:] = rest[taken:]
    return bytes(made)


def read_local(store: Path, digest: str) -> bytes | None:
    """From the archive on this machine; None where it is not there. Raises Damaged."""
    try:
        packed = (store / place(digest)).read_bytes()
    except FileNotFoundError:
        return None
    return unpack(packed, digest)


# Any file ---------------------------------------------------------------------------------------------------


def compress(content: bytes) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


def open_compressed(path: Path) -> BinaryIO:
    """What compress() was given, as a file that is read from its beginning on."""
    import pyarrow as pa

    return pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")
