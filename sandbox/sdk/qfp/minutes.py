"""How do bars of minutes lie on disk? As Parquet, compressed with zstd: a group of rows for each month, so that a few
days of one column are read without the rest.

They take a third to a fifth of what Arrow takes. What is read is unpacked into memory of the reader, which a mapped
file is not; so days and everything coarser, of which all is read again and again, stay Arrow.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

__all__ = ["are_minutes", "parquet_bytes", "read"]


def are_minutes(interval: str) -> bool:
    """Whether bars of this interval are kept so: "1m" to "30m", but not "1mo"."""
    return interval.endswith("m")


def parquet_bytes(dates: np.ndarray, columns: Mapping[str, np.ndarray]) -> bytes:
    """A Parquet file: the column date (microseconds, no zone), then float64 columns, NaN for missing, to the last bit.
    The same values give the same bytes with the same pyarrow.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    moments = dates.astype("datetime64[us]")
    arrays = [pa.array(moments, type=pa.timestamp("us"))]
    arrays += [pa.array(np.asarray(values, dtype=np.float64), from_pandas=False) for values in columns.values()]
    table = pa.table(arrays, names=["date", *columns])
    months = moments.astype("datetime64[M]")
    begins = [0, *(np.flatnonzero(months[1:] != months[:-1]) + 1).tolist()] if len(moments) else []
    sink = io.BytesIO()
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        use_dictionary=list(columns),
        column_encoding={"date": "DELTA_BINARY_PACKED"},
        write_statistics=["date"],  # by which months are found
        store_schema=False,
    ) as writer:
        for begin, end in zip(begins, [*begins[1:], len(moments)], strict=True):
            writer.write_table(table.slice(begin, end - begin), row_group_size=end - begin)
    return sink.getvalue()


def read(
    path: Path,
    names: Collection[str] | None = None,
    first: np.datetime64 | None = None,
    last: np.datetime64 | None = None,
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """The dates from first to last, both included, the names of the other columns, and those as the rows of one array.

    names: of the columns that are read; None for all.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pa.memory_map(str(path)) as source:
        file = pq.ParquetFile(source)
        held = [name for name in file.schema_arrow.names if name != "date" and (names is None or name in names)]
        groups = [group for group in _groups(file.metadata) if _meets(group, first, last)]
        rows = sum(group.num_rows for _, group in groups)
        dates, values = np.empty(rows, "datetime64[us]"), np.empty((len(held), rows))
        at = 0
        for number, group in groups:  # each into its place, so that no more than a month is held twice
            # No thread of pyarrow's: waiting for one takes longer than unpacking a month.
            part = file.read_row_group(number, columns=["date", *held], use_threads=False)
            end = at + group.num_rows
            dates[at:end] = part.column("date").to_numpy()
            for row, name in zip(values, held, strict=True):
                row[at:end] = part.column(name).to_numpy()
            at = end
    low = 0 if first is None else int(np.searchsorted(dates, first, side="left"))
    high = rows if last is None else int(np.searchsorted(dates, last, side="right"))
    return dates[low:high], held, values[:, low:high]


def _groups(meta: Any) -> list[tuple[int, Any]]:
    return [(number, meta.row_group(number)) for number in range(meta.num_row_groups)]


def _meets(group: tuple[int, Any], first: np.datetime64 | None, last: np.datetime64 | None) -> bool:
    import numpy as np

    found = group[1].column(0).statistics
    begins, ends = np.datetime64(found.min, "us"), np.datetime64(found.max, "us")
    return bool((last is None or begins <= last) and (first is None or ends >= first))
