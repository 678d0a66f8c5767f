"""How do bars lie on disk? Files of Arrow named by the hash of their bytes, and snapshots that pin them.

<store>/objects/<sha256>.arrow              every object once, never changed; bars of minutes are .parquet
<store>/snapshots/<id>/manifest.json        the series of a snapshot; its id is the hash of this file
<store>/snapshots/<id>/objects/<sha256>.arrow   hard links to what the manifest names, and nothing else
"""

from __future__ import annotations

import hashlib
import io
import json
import mmap
import os
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qfp import minutes

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "ARROW",
    "FORMS",
    "PARQUET",
    "arrow_bytes",
    "bars_bytes",
    "content_hash",
    "named_objects",
    "object_path",
    "put",
    "rank",
    "read",
    "read_block",
    "snapshot_id",
    "write_snapshot",
]


ARROW, PARQUET = FORMS = ".arrow", ".parquet"


def object_path(folder: Path, digest: str, form: str = "") -> Path:
    """Where an object lies below a store or below a snapshot. form: ARROW or PARQUET, where that is known; else the one
    in which it lies there.
    """
    path = folder / "objects" / f"{digest}{form or ARROW}"
    if not form and not path.exists() and (other := path.with_suffix(PARQUET)).exists():
        return other
    return path


def bars_bytes(interval: str, dates: np.ndarray, columns: Mapping[str, np.ndarray]) -> tuple[bytes, str]:
    """Bars as an object, and its form."""
    if minutes.are_minutes(interval):
        return minutes.parquet_bytes(dates, columns), PARQUET
    return arrow_bytes(dates, columns), ARROW


def arrow_bytes(dates: np.ndarray, columns: Mapping[str, np.ndarray]) -> bytes:
    """An uncompressed Arrow IPC file: the column date (microseconds, no zone), then float64 columns, NaN for missing.

    The same values give the same bytes: no schema metadata, one batch, no compression.
    """
    import numpy as np
    import pyarrow as pa

    arrays = [pa.array(dates.astype("datetime64[us]"), type=pa.timestamp("us"))]
    arrays += [pa.array(np.asarray(values, dtype=np.float64), from_pandas=False) for values in columns.values()]
    batch = pa.record_batch(arrays, names=["date", *columns])
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(metadata_version=pa.ipc.MetadataVersion.V5, compression=None)
    with pa.ipc.new_file(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def read(
    folder: Path,
    digest: str,
    names: Collection[str] | None = None,
    first: np.datetime64 | None = None,
    last: np.datetime64 | None = None,
) -> dict[str, Any]:
    """The columns of an object by name. Those of Arrow are read-only, and numbers and dates lie on the memory-mapped
    file and are not copied. `date` is datetime64[us].

    names, first, last: the columns beside the date, and the rows, that are asked for. Of minutes, nothing else is read;
      of Arrow, on which more costs nothing, all rows are given.
    """
    path = object_path(folder, digest)
    if path.suffix == PARQUET:
        dates, held, values = minutes.read(path, names, first, last)
        return {"date": dates, **dict(zip(held, values, strict=True))}
    batch = open_mapped(path)
    return {
        name: column.to_numpy(zero_copy_only=False)
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
        if names is None or name == "date" or name in names
    }


def read_block(path: Path) -> tuple[np.ndarray, list[str], np.ndarray] | None:
    """A file of bars of Arrow as its dates, the names of the other columns, and those as the rows of one array on the
    mapped file: pandas takes one array several times faster than many. None for an object that is not laid out so.
    """
    import numpy as np
    import pyarrow as pa

    mapped, held = _mapped(path)
    if not isinstance(held, pa.RecordBatch) or held.schema.names[:1] != ["date"] or held.num_columns < 2:
        return None
    columns = held.columns[1:]
    number = pa.float64()
    if not held.num_rows or any(each.type != number or each.null_count for each in columns):
        return None
    # Every column is filled up to a multiple of 64 bytes, so they begin at equal distances.
    places = [column.buffers()[1].address for column in columns]
    apart = places[1] - places[0] if len(places) > 1 else 8 * held.num_rows
    if any(place != places[0] + apart * row for row, place in enumerate(places)):
        return None
    start = places[0] - np.frombuffer(mapped, np.uint8).__array_interface__["data"][0]
    whole = np.frombuffer(mapped, np.float64, apart // 8 * (len(places) - 1) + held.num_rows, start)
    shape, strides = (len(places), held.num_rows), (apart, 8)
    values = np.lib.stride_tricks.as_strided(whole, shape, strides, writeable=False)
    return held.column(0).to_numpy(zero_copy_only=False), held.schema.names[1:], values


def open_mapped(path: Path) -> Any:
    """The record batch of an Arrow file, or a table where somebody brought one in several batches."""
    return _mapped(path)[1]


def _mapped(path: Path) -> tuple[mmap.mmap, Any]:
    """An Arrow file is a stream with eight bytes before it and an index behind it. Read as a stream it needs no thread
    of pyarrow's; waiting for that takes longer than everything else, and much longer on a busy machine.
    """
    import pyarrow as pa

    descriptor = os.open(path, os.O_RDONLY)
    try:
        mapped = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)
    reader = pa.ipc.open_stream(pa.py_buffer(mapped).slice(8))
    batches = list(reader)
    return mapped, batches[0] if len(batches) == 1 else pa.Table.from_batches(batches, reader.schema)


def content_hash(dates: np.ndarray, columns: Mapping[str, np.ndarray]) -> str:
    """A hash of the values alone, so that it does not hang on how a pyarrow version writes a file."""
    import numpy as np

    digest = hashlib.sha256()
    for name, values in {"date": dates.astype("<i8"), **columns}.items():
        digest.update(f"{name}:{len(values)}:{values.dtype.str};".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def put(store: Path, content: bytes, form: str = ARROW) -> str:
    """Keep an object; its name. What is there already is kept, unless it was damaged, and counts as used now."""
    digest = hashlib.sha256(content).hexdigest()
    path = object_path(store, digest, form)
    try:
        unharmed = path.read_bytes() == content
    except FileNotFoundError:
        unharmed = False
    if unharmed:
        os.utime(path)
    else:
        write_whole(path, content, 0o444)
    return digest


def named_objects(manifest: Mapping[str, Any]) -> set[str]:
    """The objects that a manifest needs."""
    held = [*manifest["series"], *manifest.get("universes", [])]
    return {entry[key] for entry in held for key in ("object", "actions", "panel", "panel_dates") if entry.get(key)}


def rank(entry: Mapping[str, Any]) -> int:
    """Which series of several with one symbol code gets that asks for the symbol: the highest. Somebody's own come
    before those of the catalogue, what was traded before panels for education, and those before what is made up.
    """
    if entry.get("rights", "redistribute") != "redistribute":
        return 3
    return {"S": 0, "C": 1}.get(entry.get("tier", ""), 2)


def snapshot_id(manifest: Mapping[str, Any]) -> str:
    """Under which a manifest is written."""
    return hashlib.sha256(_manifest_bytes(manifest)).hexdigest()


def _manifest_bytes(manifest: Mapping[str, Any]) -> bytes:
    return json_bytes({**manifest, "series": sorted(manifest["series"], key=lambda entry: entry["id"])})


def write_snapshot(store: Path, manifest: Mapping[str, Any]) -> str:
    """Write a snapshot of objects that are in the store; its id. Doing it twice changes nothing."""
    content = _manifest_bytes(manifest)
    snapshot = hashlib.sha256(content).hexdigest()
    folder = store / "snapshots" / snapshot
    (folder / "objects").mkdir(parents=True, exist_ok=True)
    for digest in sorted(named_objects(manifest)):
        path = object_path(store, digest)
        link_or_copy(path, object_path(folder, digest, path.suffix))
    for made in (store, store / "objects", store / "snapshots", folder, folder / "objects"):
        made.chmod(0o755)
    write_whole(folder / "manifest.json", content, 0o644)  # last: a folder with a manifest is complete
    return snapshot


def link_or_copy(source: Path, link: Path) -> None:
    if link.exists() and link.samefile(source):
        return
    link.unlink(missing_ok=True)
    try:
        os.link(source, link)
    except FileNotFoundError:
        raise
    except OSError:
        write_whole(link, source.read_bytes(), 0o444)  # a file system without hard links


def json_bytes(value: Any) -> bytes:
    """In one line: indenting is done in Python, and takes fifty times as long for hundreds of series."""
    return (json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def write_whole(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Whole or not at all, readable by everybody."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
