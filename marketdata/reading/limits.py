"""How large may a file be, and how is one refused?"""

from __future__ import annotations

MEGABYTE = 1_000_000
MOST_BYTES = 25 * MEGABYTE
MOST_INFLATED = 100 * MEGABYTE
MOST_RATIO = 50  # of what a part of a workbook becomes to what it is
RATIO_MATTERS_FROM = 1 * MEGABYTE  # below that, a high ratio is only a dull table
MOST_ENTRIES = 2_000
MOST_ROWS = 5_000_000
MOST_COLUMNS = 200
MOST_TABLE_BYTES = 100 * MEGABYTE
FIRST_YEAR, LAST_YEAR = 1700, 2199
EXTENSIONS = {
    "csv": "csv",
    "txt": "csv",
    "tsv": "csv",
    "xlsx": "excel",
    "parquet": "parquet",
    "pq": "parquet",
    "feather": "feather",
    "arrow": "feather",
    "ipc": "feather",
}
OFFERED = "CSV or other text with one row a line, Excel (.xlsx), Parquet or Feather"


class Refused(Exception):
    """The file is not read. The text says why, where, and what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def grouped(number: float) -> str:
    """1234567 -> 1 234 567 with thin spaces, where no line may break, as everywhere on the site."""
    return f"{number:,.0f}".replace(",", "\u202f")


def check_table(rows: int, columns: int, width: int) -> None:
    """Refuse a table by its size alone. width: bytes of one row as they will be stored."""
    if columns > MOST_COLUMNS:
        number = grouped(columns)
        raise Refused(f"It has {number} columns; {MOST_COLUMNS} is the limit. Leave out what you do not need.")
    if rows > MOST_ROWS:
        raise Refused(f"It has {grouped(rows)} rows; {grouped(MOST_ROWS)} is the limit. Split it into several files.")
    if rows * width > MOST_TABLE_BYTES:
        raise Refused(
            f"Its {grouped(rows)} rows of {columns} columns would take {grouped(rows * width / MEGABYTE)} MB; the "
            f"limit is {MOST_TABLE_BYTES // MEGABYTE} MB. Leave out columns or split it into several files."
        )
