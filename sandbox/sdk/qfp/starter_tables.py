"""What is one series of the starter catalogue, and how is a package's file read?

Files are read without pandas: float() rounds correctly in every version, and bytes are pinned.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np


class StarterDataError(Exception):
    """The starter data could not be built; the sentence says why and what to do. What was there stays as
    it was.
    """


@dataclass(frozen=True)
class Made:
    """One series as it goes into the store: what the manifest says of it, its columns, its corporate
    actions.
    """

    about: dict[str, Any]
    dates: np.ndarray
    columns: dict[str, np.ndarray]
    actions: tuple[np.ndarray, dict[str, np.ndarray]] | None = None


class Table(dict[str, list[str]]):
    """A CSV file's columns as text."""

    def numbers(self, column: str) -> np.ndarray:
        return np.array([float(text) if text not in ("", ".") else np.nan for text in self[column]])

    def days(self, column: str, form: str) -> np.ndarray:
        return np.array([datetime.strptime(text, form) for text in self[column]], dtype="datetime64[us]")

    def where(self, column: str, value: str) -> Table:
        rows = [i for i, text in enumerate(self[column]) if text == value]
        return Table({name: [values[i] for i in rows] for name, values in self.items()})


def read_table(path: Path) -> Table:
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    elif path.suffix == ".bz2":
        content = bz2.decompress(content)
    head, *rows = csv.reader(io.StringIO(content.decode("utf-8-sig")))
    return Table(zip(head, (list(column) for column in zip(*rows, strict=True)), strict=True))


def month_end(dates: np.ndarray, months: int = 1) -> np.ndarray:
    """The last day of the period of so many months that begins with the month of each date."""
    return ((dates.astype("datetime64[M]") + months).astype("datetime64[D]") - 1).astype("datetime64[us]")
