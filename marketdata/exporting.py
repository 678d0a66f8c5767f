"""How does a dataset leave as CSV, so that a spreadsheet that opens it runs nothing?"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse

# A spreadsheet takes a cell that begins so for a formula; an apostrophe in front makes it text.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_INVISIBLE = " \u00a0\u200b\u200e\u200f\u2060\ufeff"
# Where the list separator is a semicolon, a spreadsheet cuts a cell of this file there, whatever the quotes.
_AFTER_CUT = re.compile(r"([;|\t\r\n]\s*)(?=[=+\-@＝＋－＠])")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
ROWS_AT_ONCE = 5000


class Download(StreamingHttpResponse):
    """A file whose pieces are made as they are sent. Django would make all of them first, and keep them."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = iter(self.streaming_content)
        while (piece := await sync_to_async(lambda: next(pieces, None))()) is not None:
            yield piece


def safe_cell(value: str) -> str:
    """The text, with an apostrophe before it when a spreadsheet would calculate it. Numbers stay numbers."""
    value = _AFTER_CUT.sub(r"\1'", value)
    if value.lstrip(_INVISIBLE).startswith(_FORMULA) and not _NUMBER.fullmatch(value.strip()):
        return "'" + value
    return value


def csv_lines(path: Path, zone: str) -> Iterator[bytes]:
    """An object of the store as CSV, some thousand rows at a time: ISO dates, a point for decimals, empty for missing.

    zone: of the series; with one its times are written as UTC with a Z.
    """
    import pyarrow as pa

    batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
    yield written([[safe_cell(name) for name in batch.schema.names]])
    for start in range(0, batch.num_rows, ROWS_AT_ONCE):
        part = batch.slice(start, ROWS_AT_ONCE)
        columns = [_as_texts(column, zone) for column in part.columns]
        yield written(zip(*columns, strict=True))


def _as_texts(column: Any, zone: str) -> list[str]:
    import numpy as np
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        moments = column.to_numpy(zero_copy_only=False)
        if not zone:
            return [str(day) for day in moments.astype("datetime64[D]")]
        return [str(moment) + "Z" for moment in moments.astype("datetime64[us]")]
    if pa.types.is_floating(column.type):
        return ["" if np.isnan(value) else repr(value) for value in column.to_numpy(zero_copy_only=False).tolist()]
    return [safe_cell(value or "") for value in column.to_pylist()]


def written(rows: Iterable[Sequence[str]]) -> bytes:
    """Rows of texts as lines of CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
