"""What is a table of a tear sheet? Written cells, and a sentence below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Table"]


class Table(NamedTuple):
    """rows: written cells, the first names the row. tones: gain, loss or "" for each cell. note: a sentence below."""

    key: str
    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    tones: Sequence[tuple[str, ...]]
    note: str = ""

    def without_gains(self) -> Table:
        """The same, where nothing has the colour of a gain."""
        return self._replace(tones=[tuple("" if tone == "gain" else tone for tone in row) for row in self.tones])
