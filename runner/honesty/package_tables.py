"""What would the tables that packages bring say if other things had happened later? Prices of known shares are among
them, in which a program could read what comes. Where the site makes a run again, they are others.

Tables are texts with days and numbers, compressed or not. What is written otherwise, such as in a package's code, is
not found.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
from django.conf import settings

from runner.honesty.dated_tables import DatedTable, dated_table
from runner.models import Run
from sandbox.protocol import TABLES

__all__ = ["PackageTables", "UnknownTables", "tables_of"]

# Of the packages that every box has, those whose texts have days: found by looking at all of them, see the tests.
OF_BOXES = (
    "backtesting/test/*.csv",
    "plotly/package_data/datasets/*.csv.gz",
    "statsmodels/datasets/*/*.csv",
    "statsmodels/datasets/*/src/*.csv",
    "statsmodels/datasets/*/src/*.dat",
    "statsmodels/tsa/holtwinters/tests/results/*.csv",
    "statsmodels/tsa/statespace/tests/results/*wpi*.csv",
    "statsmodels/tsa/statespace/tests/results/frbny_nowcast/Nowcasting/data/US/*.csv",
    "statsmodels/tsa/stl/tests/results/mstl_elec_vic.csv",
    "statsmodels/tsa/tests/results/*forecast*.csv",
)
TEXTS = (".csv", ".tsv", ".txt", ".dat")
PACKED: dict[str, Any] = {".gz": gzip, ".bz2": bz2, ".xz": lzma}
ERRORS = "surrogateescape"
MOST_FILES, MOST_BYTES, MOST_TOGETHER = 200, 8 << 20, 32 << 20  # bytes unpacked, of one and of all


class UnknownTables(Exception):
    """The run's packages bring more than is looked through; the text says so."""


@dataclass
class PackageTables:
    """tables: by the part of a box (env or layer) and the path in it. originals: where each lies."""

    tables: dict[tuple[str, str], DatedTable] = field(default_factory=dict)
    originals: dict[tuple[str, str], Path] = field(default_factory=dict)

    @contextmanager
    def put(self, store: Path, snapshot: str, moment: np.datetime64, tail: int, seed: int) -> Iterator[None]:
        """While this lasts, boxes with this snapshot have tables with other rows after the moment. tail: 1 or -1,
        where prices go first.
        """
        folder = store / TABLES / snapshot
        try:
            for (part, name), table in self.tables.items():
                text = table.varied(moment, tail, zlib.crc32(f"{name} {seed}".encode()))
                if text is not None:
                    original = self.originals[part, name]
                    encoding = _encoding(_unpacked(original, 2))
                    _write(folder, f"{part}/{name}", _packed(name, text.encode(encoding, ERRORS)), like=original)
            yield
        finally:
            rmtree(folder, ignore_errors=True)


def tables_of(run: Run) -> PackageTables:
    """Those that its box could read; its packages have to be there. Raises UnknownTables."""
    found = PackageTables()
    environment = Path(settings.SANDBOX_ENV)
    for pattern in OF_BOXES:
        for path in sorted(environment.glob(f"lib/python3*/site-packages/{pattern}")):
            _add(found, "env", environment, path, MOST_BYTES)
    if run.lock is None:
        return found
    layer = Path(settings.LAYERS_DIR) / run.lock.sha256
    left, before = MOST_TOGETHER, len(found.tables)
    for path in _files(layer):
        if _ending(path.name) in TEXTS:
            left -= _add(found, "layer", layer, path, min(left, MOST_BYTES))
            if left <= 0 or len(found.tables) - before > MOST_FILES:
                raise UnknownTables("its packages bring more tables than the site looks through")
    return found


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if (path := Path(place, name)).is_file() and not path.is_symlink():
                yield path


def _ending(name: str) -> str:
    """.csv also of what is compressed."""
    path = Path(name.lower())
    return Path(path.stem).suffix if path.suffix in PACKED else path.suffix


def _add(found: PackageTables, part: str, base: Path, path: Path, most: int) -> int:
    """Note the file if it is a table with days; its bytes, unpacked. Raises UnknownTables where there are too many."""
    try:
        content = _unpacked(path, most + 1)
        text = content.decode(_encoding(content), ERRORS)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, UnicodeError):
        return 0  # nobody else can read it either
    if len(content) > most:
        raise UnknownTables(f"{path.name}, which came with a package, is larger than the site looks through")
    table = dated_table(text)
    if table is not None:
        place = part, str(path.relative_to(base))
        found.tables[place], found.originals[place] = table, path
    return len(content)


def _unpacked(path: Path, most: int) -> bytes:
    unpack: Callable[..., Any] = getattr(PACKED.get(path.suffix.lower()), "open", open)
    with unpack(path, "rb") as file:
        content: bytes = file.read(most)
    return content


def _encoding(content: bytes) -> str:
    """By the mark at its beginning, which stays in the text."""
    marks = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
    return marks.get(content[:2], "utf-8")


def _packed(name: str, content: bytes) -> bytes:
    module = PACKED.get(Path(name).suffix.lower())
    return content if module is None else module.compress(content)


def _write(folder: Path, name: str, content: bytes, like: Path) -> None:
    """Where every box can read it, and as old as what it stands for."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    for parent in (path.parent, *path.parent.parents):
        if parent == folder.parent.parent:
            break
        parent.chmod(0o755)
    path.write_bytes(content)
    path.chmod(0o644)
    found = like.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
