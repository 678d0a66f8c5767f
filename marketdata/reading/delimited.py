"""How is a text file with one row a line cut into columns? Encoding, delimiter, header, and rows that do not fit."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from .limits import MOST_COLUMNS, MOST_ROWS, Refused, check_table, grouped

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "blanks", "^": "caret", "~": "tilde"}
ENCODINGS = {
    "utf-8": "UTF-8",
    "utf-16": "UTF-16",
    "cp1252": "Western European (Windows-1252)",
    "iso-8859-15": "Western European (ISO 8859-15)",
    "cp1250": "Central European (Windows-1250)",
    "cp1251": "Cyrillic (Windows-1251)",
    "cp1253": "Greek (Windows-1253)",
    "cp1254": "Turkish (Windows-1254)",
    "shift_jis": "Japanese (Shift JIS)",
    "gb18030": "Chinese (GB 18030)",
    "big5": "Chinese (Big5)",
    "euc-kr": "Korean (EUC-KR)",
}
MISSING = {
    *("", "-", "--", "–", "—", ".", "na", "n/a", "n.a.", "#n/a", "#na", "#n/a n/a", "nan", "null", "none", "nil"),
    *("\\n", "missing", "#value!", "#div/0!", "#ref!"),
}
_NUMBER = re.compile(r"[-+(]?\s?[$€£¥]?\s?\d[\d.,'’\s\u00a0\u202f]*(?:[eE][-+]?\d+)?\s?[%KMBTkmbt]?\)?$")
_DATE = re.compile(
    r"(?:\d{1,4}[-/. ]\d{1,2}[-/. ]\d{1,4}|\d{4}-\d{2}|\d{4} ?-?Q[1-4]|\d{1,2}[- ]?[A-Za-z]{3,9}\.?,?[- ]?\d{2,4}"
    r"|[A-Za-z]{3,9}\.? \d{1,2},? \d{4}|(?:[A-Za-z]{3},? )\d{1,2} [A-Za-z]{3} \d{4}|\d{1,2}:\d{2}(?::\d{2})?)"
    r"(?:[T ].*)?$"
)
_SAMPLE_LINES = 60
_HEADER_LINES = 30  # titles and comments before the header


@dataclass
class Column:
    """One column as it was found: `values` is an Arrow array of text, or numpy numbers or moments."""

    name: str
    kind: str  # "text", "number" or "moment"
    values: Any
    zoned: bool = False  # moments that were given with a zone; they are UTC


@dataclass
class Raw:
    """A table before anything is understood. `lines` are the rows' numbers as a person sees them in the file."""

    columns: list[Column]
    lines: Any  # numpy int64
    choices: dict[str, Any] = field(default_factory=dict)  # how it was cut
    options: dict[str, Any] = field(default_factory=dict)  # how else it might be
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    has_header: bool = True


def is_typed(cell: str) -> bool:
    """Whether the cell is a number or a date rather than a word."""
    cell = cell.strip()
    return bool(_NUMBER.match(cell) or _DATE.match(cell))


def read(content: bytes, choices: dict[str, Any]) -> Raw:
    """The columns of a text file. Raises Refused with the first row that does not fit."""
    raw = Raw([], None)
    text = _decode(content, str(choices.get("encoding") or ""), raw)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = re.sub(r"(?m)^ +$", "", text)
    _refuse_endless_lines(text)
    delimiter = str(choices.get("delimiter") or "") or _delimiter(text)
    if delimiter not in DELIMITERS:
        raise Refused(f"{delimiter!r} is not among the delimiters: {', '.join(DELIMITERS.values())}.")
    if delimiter == " ":
        text = re.sub(r"[ \t]+", " ", re.sub(r"(?m)^[ \t]+|[ \t]+$", "", text))
    names, first_line, notes = _header(text, delimiter, str(choices.get("header") or ""))
    raw.has_header = names is not None
    raw.notes += notes
    raw.choices |= {"delimiter": delimiter, "header": "yes" if raw.has_header else "no"}
    _read_columns(raw, text, delimiter, names, first_line)
    return raw


# Encoding


def _decode(content: bytes, wanted: str, raw: Raw) -> str:
    raw.options["encoding"] = ENCODINGS
    encoding = wanted or _encoding(content)
    if encoding not in ENCODINGS:
        raise Refused(f"{encoding[:40]!r} is not among the encodings: {', '.join(ENCODINGS)}.")
    raw.choices["encoding"] = encoding
    name = {"utf-8": "utf-8-sig"}.get(encoding, encoding)
    if encoding == "utf-16" and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        name = "utf-16-le" if content[1:400:2].count(0) >= content[0:400:2].count(0) else "utf-16-be"
    try:
        text = content.decode(name)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise Refused(
            f"It cannot be read as {ENCODINGS[encoding]}: line {line} has bytes that mean nothing there. Choose "
            "another encoding."
        ) from None
    if "\0" in text:
        raise Refused("It holds NUL characters: it is no text file. Export the table as CSV, .xlsx or Parquet.")
    if encoding not in ("utf-8", "utf-16") and not wanted:
        match = re.search(r"[^\x00-\x7f]", text)
        at = match.start() if match else 0
        line = text.count("\n", 0, at) + 1
        piece = re.search(r"[^\s,;|]*$", text[max(0, at - 20) : at])
        word = (piece.group() if piece else "") + (re.match(r"[^\s,;|]{0,20}", text[at:]) or [""])[0]
        raw.warnings.append(
            f"The text is not UTF-8; it is read as {ENCODINGS[encoding]}, so that line {line} has “{word}”. Choose "
            "another encoding if that is wrong."
        )
    return text


def _encoding(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    start = content[:400]
    if len(start) >= 8 and start.count(0) > len(start) // 4:
        return "utf-16"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252" if _decodes(content, "cp1252") else "iso-8859-15"
    return "utf-8"


def _decodes(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _refuse_endless_lines(text: str) -> None:
    """Before anything looks at cells: a header of a million columns takes as long as a whole file."""
    end = text.find("\n")
    first = text[: end if end >= 0 else len(text)]
    most = max((first.count(delimiter), name) for delimiter, name in DELIMITERS.items() if delimiter != " ")
    if most[0] >= MOST_COLUMNS and most[0] > len(first) // 60:
        raise Refused(
            f"Its first line has {grouped(most[0] + 1)} columns; {MOST_COLUMNS} is the limit. Leave out what you do "
            "not need."
        )
    if len(first) > 200_000:
        raise Refused("Its first line has more than 200\u202f000 characters: it is not a table with one row a line.")


# Delimiter and header


def _rows(text: str, delimiter: str, most: int) -> list[tuple[int, list[str]]]:
    """(number of the last line it takes, cells) of the first rows, blank lines left out."""
    reader = csv.reader(io.StringIO(text[: 400 * 1000]), delimiter=delimiter, quotechar='"')
    found = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                found.append((reader.line_num, [cell.strip() for cell in cells]))
            if len(found) >= most:
                break
    except csv.Error:  # a quote that never ends
        pass
    return found


def _delimiter(text: str) -> str:
    """The one that gives most rows the same number of cells, and cells that are numbers and dates."""
    best, best_score = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        sample = text
        if delimiter == " ":
            sample = re.sub(r"[ \t]+", " ", re.sub(r"(?m)^[ \t]+|[ \t]+$", "", text[: 100 * 1000]))
        rows = [cells for _, cells in _rows(sample, delimiter, _SAMPLE_LINES)]
        if not rows:
            continue
        width, count = Counter(map(len, rows)).most_common(1)[0]
        if width < 2:
            continue
        cells = [cell for row in rows if len(row) == width for cell in row if cell]
        typed = sum(map(is_typed, cells)) / max(1, len(cells))
        # Blanks stand inside dates and names, so they come last.
        score = count / len(rows) * (0.2 + typed) * (0.7 if delimiter == " " else 1)
        if (score, width) > best_score:
            best, best_score = delimiter, (score, width)
    return best


def _header(text: str, delimiter: str, wanted: str) -> tuple[list[str] | None, int, list[str]]:
    """(names or None, number of lines before the first row of data, notes)."""
    rows = _rows(text, delimiter, _SAMPLE_LINES + _HEADER_LINES)
    if not rows:
        raise Refused("The file has no rows.")
    widths = Counter(len(cells) for _, cells in rows[-_SAMPLE_LINES:])
    width = max(widths, key=lambda each: (widths[each], each))
    if width > MOST_COLUMNS:
        raise Refused(f"It has {grouped(width)} columns; {MOST_COLUMNS} is the limit. Leave out what you do not need.")
    at = next((i for i, (_, cells) in enumerate(rows) if len(cells) == width and any(map(is_typed, cells))), None)
    if at is None:
        raise Refused("No row holds a number or a date.")
    start = rows[at - 1][0] if at else 0
    before = rows[:at]
    if wanted == "no" or not before:
        return None, start, []
    notes = []
    # The header is the first of the rows above that has all columns; what stands between it and the data is left out,
    # such as a line of units.
    fitting = [i for i, (_, cells) in enumerate(before) if len(cells) == width and sum(map(bool, cells)) > width // 2]
    if fitting:
        names = before[fitting[0]][1]
        chosen = fitting[0]
    elif len(before[-1][1]) == width - 1:  # the header has no name for the column of row names, or for an empty last
        chosen = at - 1
        last_empty = all(not cells[-1] for _, cells in rows[at:] if len(cells) == width)
        names = [*before[-1][1], ""] if last_empty else ["", *before[-1][1]]
    else:
        return None, start, [f"Lines 1 to {start} are left out: they do not have the columns of the rows below."]
    left_out = [number for i, (number, _) in enumerate(before) if i != chosen]
    if left_out:
        lines = ", ".join(map(str, left_out[:8]))
        notes.append(f"Left out, because they are not rows of the table: line{'s' * (len(left_out) > 1)} {lines}.")
    return names, start, notes


# Columns


def _read_columns(raw: Raw, text: str, delimiter: str, names: list[str] | None, first_line: int) -> None:
    import numpy as np
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    offset = 0
    for _ in range(first_line):
        offset = text.find("\n", offset) + 1
        if offset == 0:
            offset = len(text)
            break
    body = text[offset:].encode()
    if not body.strip():
        raise Refused("The file has a header, but no rows.")
    width = len(names) if names is not None else len(_rows(text[offset:], delimiter, 1)[0][1])
    lines = _lines_with_content(body, first_line)
    if len(lines) > MOST_ROWS:
        check_table(len(lines), width, 8 * width)
    quoted = b'"' in body
    unfit: list[Any] = []

    def note_unfit(row: Any) -> str:
        unfit.append(row)
        return "skip"

    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(body),
            read_options=arrow_csv.ReadOptions(
                column_names=[str(number) for number in range(width)], use_threads=False, block_size=4 << 20
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=quoted, invalid_row_handler=note_unfit
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types={str(number): pa.string() for number in range(width)}, strings_can_be_null=False
            ),
        )
    except pa.ArrowException as error:
        raise Refused(f"The rows cannot be told apart: {str(error).splitlines()[0][:200]}") from None
    if unfit:
        row = unfit[0]
        number = row.number
        at = f"Row {int(lines[min(number - 1, len(lines) - 1)])}" if number and not quoted and len(lines) else "A row"
        others = f" So have {grouped(len(unfit) - 1)} more rows." if len(unfit) > 1 else ""
        raise Refused(
            f"{at} has {row.actual_columns} columns where the others have {row.expected_columns}: "
            f"“{row.text[:80]}”.{others} Mend the file; nothing is shifted or filled in."
        )
    if table.num_rows == 0:
        raise Refused("The file has no rows of data.")
    raw.lines = lines if len(lines) == table.num_rows else np.arange(table.num_rows, dtype=np.int64) + first_line + 1
    for number in range(width):
        name = names[number] if names is not None else ""
        raw.columns.append(Column(name, "text", table.column(number).combine_chunks()))
    _drop_empty(raw)


def _lines_with_content(body: bytes, first_line: int) -> Any:
    """The numbers of the lines that are not blank, counted from the start of the file."""
    import numpy as np

    data = np.frombuffer(body, np.uint8)
    ends = np.flatnonzero(data == 10)
    if not body.endswith(b"\n"):
        ends = np.append(ends, len(data))
    starts = np.concatenate([[0], ends[:-1] + 1])
    return np.flatnonzero(ends > starts).astype(np.int64) + first_line + 1


def _drop_empty(raw: Raw) -> None:
    """A delimiter at the end of each line makes a column without a name and without anything in it."""
    import pyarrow.compute as pc

    for column in list(raw.columns):
        if not column.name and pc.max(pc.utf8_length(pc.utf8_trim_whitespace(column.values))).as_py() == 0:
            raw.columns.remove(column)
