"""How do series stand side by side? Lined up by time, and kept that way for universes, as one file.

A kept panel is two objects: its dates, and a table with a row per series that holds all its values. So a box maps one
file instead of opening hundreds, and the values of a series lie next to each other, as pandas keeps columns.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qfp import objects

__all__ = ["derive", "line_up", "read"]


def line_up(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """(dates, values) pairs on the union of their dates: the dates, and a row of values per pair, NaN where it has
    none.
    """
    first = parts[0][0]
    if all(len(dates) == len(first) and np.array_equal(dates, first) for dates, _ in parts[1:]):
        return first, np.stack([values for _, values in parts])
    union = np.unique(np.concatenate([dates for dates, _ in parts]))
    values = np.full((len(parts), len(union)), np.nan)
    for row, (dates, own) in zip(values, parts, strict=True):
        row[np.searchsorted(union, dates)] = own
    return union, values


def derive(
    store: Path,
    universes: Iterable[Mapping[str, Any]],
    entries: Iterable[Mapping[str, Any]],
    columns: Callable[[Mapping[str, Any]], Mapping[str, np.ndarray]],
) -> list[dict[str, Any]]:
    """The universes with the fully adjusted closes of all that ever were members, kept as objects of the store. One
    whose members are what they were keeps its panel.

    columns: gives the adjusted columns of an entry.
    """
    known = {entry["id"]: entry for entry in entries}
    derived = []
    for universe in universes:
        members = dict.fromkeys(member["series"] for member in universe["members"])
        held = [known[name] for name in members if "close" in known.get(name, {"columns": ()})["columns"]]
        made_of = objects.json_bytes([[entry["id"], entry["object"], entry["actions"]] for entry in held])
        panel = {"panel_of": hashlib.sha256(made_of).hexdigest()}
        if held and universe.get("panel_of") != panel["panel_of"]:
            dates, values = line_up([(found["date"], found["close"]) for found in map(columns, held)])
            panel["panel_dates"] = objects.put(store, objects.arrow_bytes(dates, {}))
            panel["panel"] = objects.put(store, _table([entry["id"] for entry in held], values))
        derived.append({**universe, **panel})
    return derived


def _table(names: list[str], values: np.ndarray) -> bytes:
    import pyarrow as pa

    flat = pa.array(np.ascontiguousarray(values, dtype=np.float64).ravel(), from_pandas=False)
    rows = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    batch = pa.record_batch([pa.array(names), rows], names=["series", "close"])
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def read(folder: Path, universe: Mapping[str, Any]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Ids of the series, dates, and a row of closes per series, on the memory-mapped file."""
    dates = objects.read(folder, universe["panel_dates"])["date"]
    batch = objects.open_mapped(objects.object_path(folder, universe["panel"]))
    return batch.column(0).to_pylist(), dates, batch.column(1).values.to_numpy().reshape(batch.num_rows, len(dates))
