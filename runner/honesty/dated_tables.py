"""Which text is a table with days, and what would it say if other things had happened after one of them?

Rows up to the day stay as they are, to the byte, and so do the days, names and gaps of later ones: their numbers become
others, as they do in the site's own series.
"""

from __future__ import annotations

import csv
import io
import math
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from qfp.checking.variations import other_columns, other_values
from qfp.periods import known_since

from runner.honesty.known_rows import whole_day

__all__ = ["DatedTable", "dated_table"]

DELIMITERS = ",;\t|"
GAPS = " "  # as a delimiter: columns that are so many blanks apart
LOOKED_AT = 50  # rows, to see what a column holds
DATED = 50  # columns among which the one with the dates is looked for
FEWEST_ROWS = 10
MOST = 0.9  # of the rows that were looked at
DAYS = ("%Y/%m/%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%m/%d/%y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%d %b %Y")
MONTHS = ("%Y-%m", "%Y%m", "%YM%m", "%Y/%m", "%m/%Y", "%b %Y", "%b-%Y", "%b-%y")
QUARTER = re.compile(r"(\d{4})[-: ]?[Qq]([1-4])")
LONGEST_DATE = 40  # characters
YEAR, YEARS = "year", (1700, 2200)
WITHIN_A_YEAR = {"month": 1, "quarter": 3}  # columns beside that of the year, and their months
PARTS = (YEAR, *WITHIN_A_YEAR, "day")
NOTHING = np.datetime64("NaT", "us")

Moments = Callable[[str], np.datetime64]


@dataclass(frozen=True)
class DatedTable:
    """lines: each with its end, the first of which names the columns or is a row itself. moments: by line, when its
    row was known; NaT where nothing says it. numbers: by the place of their column, NaN where there is none.
    """

    lines: Sequence[str]
    delimiter: str
    names: Sequence[str]
    moments: np.ndarray
    numbers: dict[int, np.ndarray]

    def varied(self, moment: np.datetime64, tail: int, seed: int) -> str | None:
        """The text with other numbers where they were not known at the moment, which counts to the end of its day
        where it is midnight; None where nothing comes after it. tail: 1 or -1, where prices go first.
        """
        moment = whole_day(moment)
        after = self.moments > moment
        if not after.any():
            return None
        by_time = np.argsort(self.moments, kind="stable")  # what has none comes last
        dated = ~np.isnat(self.moments[by_time])
        order = np.concatenate([by_time[~dated], by_time[dated]])
        head = int((~after).sum())
        later = order[head:]
        ordered = {place: values[order] for place, values in self.numbers.items()}
        one_a_moment = len(np.unique(self.moments[later])) == len(later)
        others = self._others(ordered, head, tail, seed, one_a_moment)
        lines = list(self.lines)
        for at, row in enumerate(later, head):
            cells = _cells(lines[row], self.delimiter)
            for place, values in others.items():
                if np.isfinite(self.numbers[place][row]):
                    cells[place] = _like(cells[place], float(values[at]))
            lines[row] = _line(cells, self.delimiter, lines[row])
        return "".join(lines)

    def _others(
        self, ordered: dict[int, np.ndarray], head: int, tail: int, seed: int, one_a_moment: bool
    ) -> dict[int, np.ndarray]:
        """Other columns from a row on, by their places: bars together, and whatever is like a price by itself."""
        names = {place: self.names[place] for place in ordered}
        if one_a_moment and "close" in names.values() and len(set(names.values())) == len(names):
            made = other_columns({names[place]: values for place, values in ordered.items()}, head, tail, seed)
            return {place: made[name] for place, name in names.items()}
        found = {}
        for place, values in ordered.items():
            own = zlib.crc32(f"{place} {seed}".encode())
            like_prices = head and np.isfinite(values[head - 1]) and bool((values[np.isfinite(values)] > 0).all())
            if one_a_moment and like_prices:
                found[place] = other_columns({"close": values}, head, tail, own)["close"]
            else:
                found[place] = values.copy()
                found[place][head:] = other_values(values, head, np.random.default_rng(own), tail)
        return found


def dated_table(text: str) -> DatedTable | None:
    """The table that a text is; None where it is none, has no days, or no numbers that were measured."""
    lines = _records(text)
    if len(lines) <= FEWEST_ROWS:
        return None
    delimiter = max(DELIMITERS, key=lambda each: min(line.count(each) for line in lines[1:FEWEST_ROWS]))
    if delimiter not in lines[1]:
        delimiter = GAPS
    width = len(_cells(lines[1], delimiter))
    if width < 2:
        return None
    names, *columns = _columns(lines[: LOOKED_AT + 1], delimiter, width)
    found = next(
        ((place, read) for place in range(min(width, DATED)) if (read := _dates(names[place], columns[place]))), None
    )
    if found is None:
        return None
    place, read = found
    names, *columns = _columns(lines, delimiter, width)
    moments = _of_years(names, columns, place) if read is _year else _read_all(columns[place], read)
    numbers = {
        each: values
        for each, column in enumerate(columns)
        if each != place and names[each] not in PARTS and (values := _numbers(column)) is not None
    }
    if moments is None or not any(_is_measured(columns[each][1:], values[1:]) for each, values in numbers.items()):
        return None
    return DatedTable(lines, delimiter, names, moments, numbers)


def _records(text: str) -> list[str]:
    """Its lines with their ends; those that end between quotes go on."""
    lines = list(io.StringIO(text, newline=""))
    if '"' not in text:
        return lines
    found: list[str] = []
    within = False
    for line in lines:
        if within:
            found[-1] += line
        else:
            found.append(line)
        within ^= line.count('"') % 2 == 1
    return found if not within else lines


def _is_measured(column: Sequence[str], values: np.ndarray) -> bool:
    """Whether a column holds what was measured: parts of one, or whole numbers most of which are others, and that do
    not count.
    """
    if any("." in text for text in column):
        return True
    known = values[np.isfinite(values)]
    steps = np.diff(known)
    return len(np.unique(known)) > len(known) / 2 and len(np.unique(steps)) > len(steps) / 2


def _columns(lines: Sequence[str], delimiter: str, width: int) -> list[list[str]]:
    """The names of columns in small letters, then each with the texts of all lines; "" in those of another width."""
    rows = [[cell.strip() for cell in _cells(line, delimiter)] for line in lines]
    columns = [[row[place] if len(row) == width else "" for row in rows] for place in range(width)]
    return [[column[0].casefold() for column in columns], *columns]


def _dates(name: str, column: list[str]) -> Moments | None:
    """How the dates of a column are read, by its first rows; None where they are none."""
    looked = [text for text in column[1:] if text]
    if len(looked) < FEWEST_ROWS - 1 or max(map(len, looked)) > LONGEST_DATE:
        return None
    forms: tuple[Moments, ...] = (_year,)
    if name != YEAR:
        forms = (_iso, *map(_by, DAYS), *(_by(form, whole_month=True) for form in MONTHS), _quarter)
        forms = (*forms, _since_1970) if re.search("date|time", name) else forms
    for read in forms:
        early = any(not np.isnat(read(text)) for text in looked[:2])  # most columns hold none, and are put away soon
        if early and sum(not np.isnat(read(text)) for text in looked) >= MOST * len(looked):
            return read
    return None


def _read_all(column: list[str], read: Moments) -> np.ndarray:
    known: dict[str, np.datetime64] = {}
    for text in column:
        if text not in known:
            known[text] = read(text)
    found = np.array([known[text] for text in column], dtype="datetime64[us]")
    dated = ~np.isnat(found)
    found[dated] = _known_since(found[dated])
    return found


def _known_since(moments: np.ndarray) -> np.ndarray:
    each, places = np.unique(moments, return_inverse=True)
    return known_since(each)[places]


def _of_years(names: Sequence[str], columns: Sequence[list[str]], place: int) -> np.ndarray | None:
    """By the year, and by the month or quarter where another column says it: known at its end."""
    within = next((name for name in WITHIN_A_YEAR if name in names), "")
    months = WITHIN_A_YEAR.get(within, 12)
    parts = columns[list(names).index(within)] if within else ["1"] * len(columns[place])
    found = np.full(len(parts), NOTHING)
    for row, (year, part) in enumerate(zip(columns[place], parts, strict=True)):
        number, nth = _number(year), _number(part)
        if number.is_integer() and YEARS[0] <= number < YEARS[1] and 1 <= nth <= 12 // months:
            found[row] = _end(int(number), int(nth) * months)
    return found if (~np.isnat(found[1:])).sum() >= MOST * (len(found) - 1) else None


def _year(text: str) -> np.datetime64:
    number = _number(text)
    return _end(int(number), 12) if YEARS[0] <= number < YEARS[1] else NOTHING


def _end(year: int, month: int) -> np.datetime64:
    """The last moment of a month."""
    following = np.datetime64(f"{year:04}-{month:02}", "M") + 1
    return following.astype("datetime64[us]") - np.timedelta64(1, "us")


def _iso(text: str) -> np.datetime64:
    """A day or a time as ISO 8601 has it, and eight digits."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return NOTHING
    if not YEARS[0] <= found.year < YEARS[1]:
        return NOTHING
    return np.datetime64(found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found, "us")


def _by(form: str, whole_month: bool = False) -> Moments:
    def read(text: str) -> np.datetime64:
        try:
            found = datetime.strptime(text, form)
        except ValueError:
            return NOTHING
        if not YEARS[0] <= found.year < YEARS[1]:
            return NOTHING
        return _end(found.year, found.month) if whole_month else np.datetime64(found, "us")

    return read


def _quarter(text: str) -> np.datetime64:
    found = QUARTER.fullmatch(text)
    return _end(int(found[1]), 3 * int(found[2])) if found else NOTHING


def _since_1970(text: str) -> np.datetime64:
    """Seconds or milliseconds."""
    number = _number(text)
    seconds = number / 1000 if number > 1e11 else number
    return np.datetime64(int(seconds * 1e6), "us") if 1e8 <= seconds < 1e10 else NOTHING


def _numbers(column: list[str]) -> np.ndarray | None:
    values = np.array([_number(text) for text in column])
    values[~np.isfinite(values)] = np.nan
    filled = sum(bool(text) for text in column[1:])
    return values if filled and np.isfinite(values[1:]).sum() >= MOST / 2 * filled else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _cells(line: str, delimiter: str) -> list[str]:
    text = line.rstrip("\r\n")
    if delimiter == GAPS:
        return text.split()
    if '"' not in text:
        return text.split(delimiter)
    try:
        return next(csv.reader([text], delimiter=delimiter), [])
    except csv.Error:
        return text.split(delimiter)


def _line(cells: list[str], delimiter: str, like: str) -> str:
    end = like[len(like.rstrip("\r\n")) :]
    if delimiter == GAPS:
        gaps = re.split(r"[^\s]+", like.rstrip("\r\n"))
        return "".join(part for both in zip(gaps, [*cells, ""], strict=True) for part in both) + end
    if '"' not in like:
        return delimiter.join(cells) + end
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter, lineterminator=end).writerow(cells)
    return written.getvalue()


def _like(text: str, value: float) -> str:
    """The value with as many decimals as the text has."""
    if "e" in text.casefold():
        return repr(value)
    return f"{value:.{len(text.strip().partition('.')[2])}f}"
