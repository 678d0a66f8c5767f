"""What kind of file is this, by what it holds and not by its name, and may it be opened? Nothing is parsed before."""

from __future__ import annotations

import io
import re
import zipfile
import zlib

from .limits import (
    MEGABYTE,
    MOST_BYTES,
    MOST_ENTRIES,
    MOST_INFLATED,
    MOST_RATIO,
    MOST_ROWS,
    OFFERED,
    RATIO_MATTERS_FROM,
    Refused,
    check_table,
    grouped,
)

_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
# first bytes -> what it is and what to do instead
_NOT_OFFERED = (
    (_PICKLES, "It is a Python pickle. Opening one runs whatever its author put in it, so none is ever read here."),
    ((b"\x89HDF",), "It is an HDF5 file, which is not offered: it may point at other files and hold pickled objects."),
    (
        (b"\xd0\xcf\x11\xe0",),
        "It is an old .xls workbook, or one that is protected by a password. Save it as .xlsx without a password.",
    ),
    ((b"PARE",), "It is an encrypted Parquet file. Write it without encryption."),
    ((b"FEA1",), "It is a Feather file of the first version. Write it again with a newer pyarrow or pandas."),
    ((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"), "It is compressed. Unpack it and send what is inside."),
    ((b"%PDF",), "It is a PDF. Export the table itself."),
    ((b"\x89PNG", b"\xff\xd8\xff", b"GIF8"), "It is a picture. Export the table itself."),
    ((b"SQLite format 3",), "It is a database. Export the table itself."),
)
_CELL = re.compile(rb'<(?:\w+:)?c\b[^>]*?\br="([A-Z]{1,3})([0-9]{1,7})"')
_ROW = re.compile(rb"<(?:\w+:)?row\b")
_CELLS = re.compile(rb"<(?:\w+:)?c[ >/]")
MOST_CELLS = 20_000_000


def kind_of(content: bytes) -> str:
    """ "csv", "excel", "parquet" or "feather". Raises Refused with what to do instead."""
    if not content.strip():
        raise Refused("The file is empty.")
    if len(content) > MOST_BYTES:
        raise Refused(
            f"The file has {len(content) / MEGABYTE:,.1f} MB; {MOST_BYTES // MEGABYTE} MB is the limit. "
            "Parquet takes a fraction of the room of CSV; or split it."
        )
    for signatures, reason in _NOT_OFFERED:
        if content.startswith(signatures):
            raise Refused(f"{reason} What can be read: {OFFERED}.")
    if content.startswith(b"PK"):
        _check_workbook(content)
        return "excel"
    if content.startswith(b"PAR1"):
        _check_parquet(content)
        return "parquet"
    if content.startswith(b"ARROW1"):
        return "feather"
    start = content[:2000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<table", b"<?xml")):
        raise Refused("It is a web page or XML, whatever its name says. Open it and save the table as CSV or .xlsx.")
    if start.startswith((b"{\\rtf", b"{", b"[{")):
        raise Refused(f"It looks like JSON or RTF. What can be read: {OFFERED}.")
    lines = content.count(b"\n")
    if lines > MOST_ROWS + 1:  # one is the header
        check_table(lines - 1, 1, 8)
    return "csv"


def _check_workbook(content: bytes) -> None:
    """A .xlsx is a zip archive of XML. Sizes as they are, not as the archive says: every part is inflated up to the
    limit, because the list of an archive may lie.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, IndexError):
        raise Refused("It looks like a workbook, but the archive is damaged. Save it again.") from None
    names = {entry.filename.lower() for entry in entries}
    if len(entries) > MOST_ENTRIES:
        parts, most = grouped(len(entries)), grouped(MOST_ENTRIES)
        raise Refused(f"The archive has {parts} parts; no workbook needs more than {most}.")
    if any(entry.flag_bits & 1 for entry in entries):
        raise Refused("The archive is encrypted. Save the workbook without a password.")
    if "xl/workbook.xml" not in names:
        other = "an .xlsb workbook" if "xl/workbook.bin" in names else "an archive, but not an Excel workbook"
        raise Refused(f"It is {other}. Save the table as .xlsx or CSV.")
    if any("vbaproject" in name or "macrosheets/" in name for name in names):
        raise Refused("The workbook holds macros (.xlsm). Save it as .xlsx without them.")
    if any("externallink" in name for name in names):
        raise Refused("The workbook refers to other files. Paste its values into a new one and save that.")
    _check_declared(entries)
    total = 0
    for entry in entries:
        try:
            with archive.open(entry) as part:
                body = part.read(MOST_INFLATED - total + 1)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError, zlib.error):
            raise Refused(f"The workbook's part {entry.filename[:80]!r} is damaged. Save it again.") from None
        total += len(body)
        if total > MOST_INFLATED:
            raise _too_much(total)
        _check_ratio(entry.filename, len(body), entry.compress_size)
        if entry.filename.lower().endswith((".xml", ".rels", ".vml")):
            _check_xml(entry.filename, body)


def _check_declared(entries: list[zipfile.ZipInfo]) -> None:
    """What the archive says of itself is refused without inflating anything."""
    total = sum(entry.file_size for entry in entries)
    for entry in entries:
        _check_ratio(entry.filename, entry.file_size, entry.compress_size)
    if total > MOST_INFLATED:
        raise _too_much(total)


def _check_ratio(name: str, inflated: int, packed: int) -> None:
    if inflated > RATIO_MATTERS_FROM and inflated > MOST_RATIO * max(packed, 1):
        raise Refused(
            f"Its part {name[:80]!r} grows {inflated // max(packed, 1)}-fold when it is unpacked; {MOST_RATIO}-fold "
            "is the limit. If it is a real table, save it as CSV."
        )


def _too_much(total: int) -> Refused:
    return Refused(
        f"Unpacked it has more than {min(total, MOST_INFLATED) // MEGABYTE} MB, which is the limit. Save the one "
        "sheet that you need as CSV."
    )


def _check_xml(name: str, body: bytes) -> None:
    # Neither Excel nor any writer of .xlsx declares entities: who does wants to read files or to fill the memory.
    plain = body.replace(b"\0", b"")
    if b"<!DOCTYPE" in plain or b"<!ENTITY" in plain:
        raise Refused(f"Its part {name[:80]!r} declares XML entities, which no workbook needs.")
    if "externalLink" in name or b"macroEnabled" in plain:
        raise Refused("The workbook holds macros or refers to other files. Save the values as .xlsx without them.")
    if "worksheets/" in name:
        _check_sheet(name, body)


def _check_sheet(name: str, body: bytes) -> None:
    """A reader makes room for every cell up to the last one, however empty the sheet is."""
    if len(_CELLS.findall(body)) > MOST_CELLS:
        raise Refused(f"The sheet {name[:80]!r} has more than {MOST_CELLS // 1_000_000} million cells.")
    columns, rows = 0, len(_ROW.findall(body))
    for letters, digits in _corners(body):
        number = 0
        for letter in letters:
            number = number * 26 + letter - 64
        columns, rows = max(columns, number), max(rows, int(digits))
    check_table(rows, columns, 8 * columns)


def _corners(body: bytes) -> set[tuple[bytes, bytes]]:
    """The lowest cell of each column."""
    furthest: dict[bytes, bytes] = {}
    for match in _CELL.finditer(body):
        letters, digits = match.groups()
        before = furthest.get(letters)
        if before is None or (len(digits), digits) > (len(before), before):
            furthest[letters] = digits
    return set(furthest.items())


def _check_parquet(content: bytes) -> None:
    """By the footer alone: a column of two thousand million equal values takes a few bytes in the file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(pa.BufferReader(content))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Refused(f"It begins like a Parquet file, but its footer cannot be read: {_short(error)}.") from None
    check_table(metadata.num_rows, metadata.num_columns, 8 * metadata.num_columns)
    groups = sum(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups))
    if groups != metadata.num_rows:
        raise Refused("The Parquet file's parts do not have the rows that its footer names. Write it again.")


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:150].rstrip(".") if str(error) else type(error).__name__
