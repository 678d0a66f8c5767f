"""Runs in a box: asks for the file piece by piece, looks at it or reads it, and leaves the answer as files.

found.json      what look() found, or {"refused": why}
<n>.numbers     a column of 64-bit floats; of the dates, 64-bit microseconds since 1970
<n>.text, <n>.ends   a column of text: UTF-8 without separators, and 32-bit ends of each

Plain numbers on purpose: who reads them outside needs no parser that a hostile file could have prepared them for.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from .limits import Refused
from .table import FIRST_ROWS, Table, understand

PIECE = 4_000_000


def main() -> None:
    from qfp import channel

    task = json.loads(Path("task.json").read_text())
    content = bytearray()
    while len(content) < task["size"]:
        piece = channel.ask("file", {"offset": len(content), "length": PIECE})
        content += base64.b64decode(piece["content"])
    try:
        table = understand(bytes(content), task["choices"])
        found = answer(table)
        if task["read"] and table.is_ready:
            write_columns(table, Path())
    except Refused as refusal:
        found = {"refused": refusal.reason}
    except MemoryError:
        found = {"refused": "Reading it takes more memory than an upload may use. Split it, or leave out columns."}
    Path("found.json").write_text(json.dumps(found))


def answer(table: Table) -> dict[str, Any]:
    """What the site is told: everything but the columns themselves."""
    ready = table.moments is not None and bool(table.names)
    columns = zip(table.names, table.values, strict=True) if ready else []
    return {
        "kind": table.kind,
        "choices": table.choices,
        "options": table.options,
        "questions": table.questions,
        "remarks": table.remarks[:100],
        "sources": table.sources,
        "rows": len(table.moments) if ready else 0,
        "columns": [
            {"name": name, "holds": "number" if hasattr(values, "dtype") else "text"} for name, values in columns
        ],
        "interval": table.interval,
        "zone": table.zone,
        "first": str(table.moments[0]) if ready and len(table.moments) else "",
        "last": str(table.moments[-1]) if ready and len(table.moments) else "",
        "preview": preview(table),
    }


def preview(table: Table) -> dict[str, Any]:
    """The first rows as they were understood, as text; their dates as written where those are still a question."""
    if table.moments is None:
        return {"names": ["date", *table.names], "rows": [[_shown(cell) for cell in row] for row in table.unplaced]}
    rows = []
    for place in range(min(FIRST_ROWS, len(table.moments)) if table.values else 0):
        day = str(table.moments[place]).replace("T", " ").removesuffix(".000000")
        cells = [_shown(values[place]) for values in table.values]
        rows.append([day.removesuffix(" 00:00:00") if not table.zone else day, *cells])
    return {"names": ["date", *table.names], "rows": rows}


def _shown(cell: Any) -> str:
    if hasattr(cell, "as_py"):
        return str(cell.as_py())[:60]
    text = format(float(cell), ".15g") if cell.dtype.kind == "f" else str(cell)
    return "" if text in ("nan", "NaT") else text


def write_columns(table: Table, folder: Path) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    (folder / "0.numbers").write_bytes(table.moments.astype("<i8").tobytes())
    for number, values in enumerate(table.values, 1):
        if isinstance(values, np.ndarray):
            (folder / f"{number}.numbers").write_bytes(values.astype("<f8").tobytes())
            continue
        ends = np.cumsum(pc.binary_length(values).to_numpy(zero_copy_only=False))
        (folder / f"{number}.ends").write_bytes(ends.astype("<i4").tobytes())
        joined = pc.binary_join(pa.ListArray.from_arrays([0, len(values)], values), "")[0].as_py()
        (folder / f"{number}.text").write_bytes(joined.encode())
