"""What do spreadsheets, Parquet and Feather hold? Their columns, with nested and odd types refused by name."""

from __future__ import annotations

import io
from datetime import date, datetime, time, timedelta
from typing import Any

from .delimited import Column, Raw, is_typed
from .limits import MEGABYTE, MOST_ROWS, MOST_TABLE_BYTES, Refused, check_table

_BATCH_ROWS = 1 << 15


# Excel


def read_excel(content: bytes, choices: dict[str, Any]) -> Raw:
    from python_calamine import CalamineError, CalamineWorkbook

    raw = Raw([], None)
    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(content))
        sheets = [str(name) for name in workbook.sheet_names]
        wanted = str(choices.get("sheet") or "")
        if wanted and wanted not in sheets:
            raise Refused(f"The workbook has no sheet {wanted[:60]!r}. It has: {', '.join(sheets)[:300]}.")
        found = {}
        for name in [wanted] if wanted else sheets:
            found[name] = workbook.get_sheet_by_name(name).to_python(skip_empty_area=False)
            if wanted or len(found[name]) > 1:
                break
    except (CalamineError, ValueError, OSError, LookupError):
        # What the reader says may be no more than a name out of the file.
        raise Refused("The workbook cannot be read: a part of it is damaged. Save it again, or as CSV.") from None
    sheet = list(found)[-1]
    raw.choices |= {"sheet": sheet}
    raw.options["sheet"] = {name: name for name in sheets}
    if len(sheets) > 1 and not wanted:
        raw.warnings.append(
            f"The workbook has {len(sheets)} sheets; “{sheet}” is read. Choose another if it is not it."
        )
    _from_cells(raw, found[sheet], str(choices.get("header") or ""))
    return raw


def _from_cells(raw: Raw, cells: list[list[Any]], header: str) -> None:
    import numpy as np

    rows = [(number, row) for number, row in enumerate(cells, 1) if any(cell not in ("", None) for cell in row)]
    if not rows:
        raise Refused("The sheet is empty.")
    used = [i for i in range(len(rows[0][1])) if any(row[i] not in ("", None) for _, row in rows)]
    at = next((i for i, (_, row) in enumerate(rows) if sum(_is_value(row[j]) for j in used) >= (len(used) + 1) // 2), 0)
    above = [row for _, row in rows[:at]]
    fitting = [i for i, row in enumerate(above) if sum(row[j] not in ("", None) for j in used) > len(used) // 2]
    raw.has_header = bool(fitting) and header != "no"
    names = [str(above[fitting[-1]][j]) if raw.has_header else "" for j in used]
    if at > bool(raw.has_header):
        raw.notes.append(f"The table begins in row {rows[at][0]}; other rows above it are left out.")
    raw.choices["header"] = "yes" if raw.has_header else "no"
    data = rows[at:]
    check_table(len(data), len(used), 8 * len(used))
    raw.lines = np.array([number for number, _ in data], dtype=np.int64)
    for name, j in zip(names, used, strict=True):
        raw.columns.append(_column_of_cells(name, [row[j] for _, row in data]))


def _is_value(cell: Any) -> bool:
    if isinstance(cell, str):
        return is_typed(cell)
    return isinstance(cell, (int, float, date, datetime, time, timedelta)) and not isinstance(cell, bool)


def _column_of_cells(name: str, cells: list[Any]) -> Column:
    import numpy as np
    import pyarrow as pa

    present = [cell for cell in cells if cell not in ("", None)]
    if present and all(isinstance(cell, (date, datetime)) for cell in present):
        moments = [np.datetime64(cell if isinstance(cell, (date, datetime)) else "NaT", "us") for cell in cells]
        return Column(name, "moment", np.array(moments, dtype="datetime64[us]"))
    if present and all(isinstance(cell, (int, float)) for cell in present):
        values = [float(cell) if isinstance(cell, (int, float)) else float("nan") for cell in cells]
        return Column(name, "number", np.array(values, dtype=np.float64))
    return Column(name, "text", pa.array([_as_text(cell) for cell in cells], pa.string()))


def _as_text(cell: Any) -> str:
    if isinstance(cell, datetime):
        return cell.strftime("%Y-%m-%d %H:%M:%S").removesuffix(" 00:00:00")
    if isinstance(cell, (date, time)):
        return cell.isoformat()
    if isinstance(cell, timedelta):
        return str(cell)
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return "" if cell is None else str(cell)


# Parquet and Feather


def read_parquet(content: bytes) -> Raw:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        _refuse_types(file.schema_arrow)
        # One long text for two thousand million rows is a few bytes in the file: it stays one until it was counted.
        texts = [entry.name for entry in file.schema_arrow if _is_text(entry.type)]
        file = pq.ParquetFile(pa.BufferReader(content), read_dictionary=texts)
        return _from_batches(file.schema_arrow, file.iter_batches(_BATCH_ROWS, use_threads=False))
    except MemoryError:  # an ArrowException, too, but no fault of the file's form
        raise
    except (pa.ArrowException, OSError) as error:
        raise _damaged("Parquet", error) from None


def read_feather(content: bytes) -> Raw:
    import pyarrow as pa

    try:
        file = pa.ipc.open_file(pa.BufferReader(content))
        _refuse_types(file.schema)
        return _from_batches(file.schema, (file.get_batch(number) for number in range(file.num_record_batches)))
    except MemoryError:  # an ArrowException, too, but no fault of the file's form
        raise
    except (pa.ArrowException, OSError) as error:
        raise _damaged("Feather", error) from None


def _damaged(kind: str, error: Exception) -> Refused:
    return Refused(f"The {kind} file is damaged: {str(error).splitlines()[0][:150]}. Write it again.")


def _refuse_types(schema: Any) -> None:
    import pyarrow as pa

    check_table(0, len(schema), 0)
    for entry in schema:
        kind = entry.type.value_type if pa.types.is_dictionary(entry.type) else entry.type
        good = (
            *(pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean),
            *(pa.types.is_string, pa.types.is_large_string, pa.types.is_timestamp, pa.types.is_date, pa.types.is_null),
        )
        if not any(test(kind) for test in good) and str(kind) != "string_view":
            raise Refused(
                f"Its column {str(entry.name)[:60]!r} has the type {str(entry.type)[:60]}, which is not read: numbers, "
                "text, dates and timestamps are. Leave it out or write it as one of those."
            )


def _from_batches(schema: Any, batches: Any) -> Raw:
    """Batch by batch, so that what a file turns into is counted before it has been made whole."""
    import numpy as np
    import pyarrow as pa

    kept, rows, size = [], 0, 0
    for batch in batches:
        rows, size = rows + batch.num_rows, size + sum(map(_unpacked_bytes, batch.columns))
        if rows > MOST_ROWS:
            check_table(rows, len(schema), 8 * len(schema))
        if size > 2 * MOST_TABLE_BYTES:
            raise Refused(f"Unpacked its columns take more than {2 * MOST_TABLE_BYTES // MEGABYTE} MB.")
        kept.append(batch)
    if not rows:
        raise Refused("The file has no rows.")
    table = pa.Table.from_batches(kept, schema)
    raw = Raw([], np.arange(1, rows + 1, dtype=np.int64))
    for number, entry in enumerate(schema):
        name = "" if str(entry.name).startswith("__index_level_") else str(entry.name)
        raw.columns.append(_column_of_array(name, table.column(number)))
    return raw


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _unpacked_bytes(column: Any) -> int:
    """What it takes with every text written out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type) or not _is_text(column.type.value_type):
        return column.nbytes
    lengths = pc.binary_length(column.dictionary)
    return column.indices.nbytes + (pc.sum(pc.take(lengths, column.indices)).as_py() or 0)


def _column_of_array(name: str, values: Any) -> Column:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    kind = values.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        zoned = pa.types.is_timestamp(kind) and kind.tz is not None
        plain = values.cast(pa.timestamp(kind.unit)) if zoned else values
        moments = plain.cast(pa.timestamp("us"), safe=False).combine_chunks()
        return Column(name, "moment", moments.to_numpy(zero_copy_only=False).astype("datetime64[us]"), zoned)
    if pa.types.is_null(kind):
        return Column(name, "number", np.full(len(values), np.nan))
    if pa.types.is_boolean(kind):
        values = values.cast(pa.int8())
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or str(kind) == "string_view"):
        # 2**53 and above are not exact as floats, but neither prices nor volumes are that large.
        numbers = values.cast(pa.float64(), safe=False).combine_chunks()
        return Column(name, "number", numbers.to_numpy(zero_copy_only=False))
    text = pc.fill_null(values.cast(pa.string()), "").combine_chunks()
    return Column(name, "text", text)
