"""Which moment does a text or a number mean? Formats that fit every row; two readings are a question, never a guess."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .delimited import Column
from .limits import FIRST_YEAR, LAST_YEAR, Refused, grouped

_SEPARATED = [
    f"{a}{sign}{b}{sign}{c}"
    for sign in "-/."
    for a, b, c in (
        *(("%Y", "%m", "%d"), ("%d", "%m", "%Y"), ("%m", "%d", "%Y")),
        *(("%d", "%m", "%y"), ("%m", "%d", "%y"), ("%y", "%m", "%d")),
    )
]
_NAMED = [
    *("%d-%b-%Y", "%d %b %Y", "%d-%b-%y", "%d %b %y", "%d%b%Y", "%d-%B-%Y", "%d %B %Y"),
    *("%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y", "%a, %d %b %Y", "%a %b %d %Y", "%a, %b %d, %Y"),
]
MONTHLY = ["%Y-%m", "%Y/%m", "%m/%Y", "%b %Y", "%B %Y", "%b-%Y", "%b-%y", "%Y", "%Y%m"]
_COMPACT = ["%Y%m%d", "%d%m%Y", "%m%d%Y", "%y%m%d"]
FORMATS = [*_SEPARATED, *_NAMED, *MONTHLY, *_COMPACT]
EPOCHS = {"epoch_s": "s", "epoch_ms": "ms", "epoch_us": "us", "epoch_ns": "ns"}
SERIAL = "excel"
QUARTERS = "quarters"
TYPED = "typed"
# As the person reads it; strftime's own letters are for programmers.
_WORDS = {
    "%Y": "YYYY",
    "%y": "YY",
    "%m": "MM",
    "%d": "DD",
    "%b": "Mon",
    "%B": "Month",
    "%a": "Weekday",
}
_PARTS = (
    r"^\s*(?P<date>.+?)"
    r"(?:[T ]\s*(?P<time>\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?:\s?[AaPp]\.?[Mm]\.?)?|\d{6})"
    r"\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2})?)?\s*$"
)
_QUARTER = r"^(?P<year>\d{4})[ -]?[Qq](?P<quarter>[1-4])$"


def in_words(key: str) -> str:
    """YYYY-MM-DD for "%Y-%m-%d"."""
    special = {
        "epoch_s": "seconds since 1970",
        "epoch_ms": "milliseconds since 1970",
        "epoch_us": "microseconds since 1970",
        "epoch_ns": "nanoseconds since 1970",
        SERIAL: "days since 1900, as Excel counts",
        QUARTERS: "quarters (2024Q1)",
        TYPED: "dates, as the file says itself",
    }
    if key in special:
        return special[key]
    for sign, word in _WORDS.items():
        key = key.replace(sign, word)
    return key


@dataclass
class Moments:
    """One column of dates as they may be read."""

    formats: list[str] = field(default_factory=list)  # that fit every row; more than one is a question
    values: Any = None  # numpy datetime64[us] as written: local where an offset stands, UTC for epochs
    offsets: Any = None  # numpy float64 seconds to subtract for UTC; NaN where no zone is given
    is_instant: bool = False  # UTC already
    problem: str = ""  # why no format fits
    has_offsets: bool = False


class _Texts:
    """The date part, time of day and offset of every row, each different one looked at once."""

    def __init__(self, texts: Any) -> None:
        import pyarrow.compute as pc

        self.texts = texts
        parts = pc.extract_regex(pc.utf8_trim_whitespace(texts), _PARTS)
        self.date = pc.dictionary_encode(pc.struct_field(parts, "date"))
        self.time = pc.dictionary_encode(pc.struct_field(parts, "time"))
        self.zone = pc.dictionary_encode(pc.struct_field(parts, "zone"))

    @property
    def days(self) -> list[str]:
        return [each or "" for each in self.date.dictionary.to_pylist()]

    def spread(self, encoded: Any, values: Any, missing: Any) -> Any:
        """values: one for each different text; missing where there was none."""
        import numpy as np
        import pyarrow.compute as pc

        places = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
        full = np.append(values, missing)
        return full[places]  # -1 is the last, the missing one


def candidates(column: Column, lines: Any, wanted: str = "", time_column: Column | None = None) -> Moments:
    """How this column can be read as dates. wanted: only that format."""
    if column.kind == "moment":
        found = Moments([TYPED], column.values)
        found.is_instant = column.zoned
        return found
    texts = _as_texts(column)
    if time_column is not None:
        import pyarrow.compute as pc

        texts = pc.binary_join_element_wise(texts, _as_texts(time_column), " ")
    parts = _Texts(texts)
    days = parts.days
    formats = [wanted] if wanted else [*FORMATS, *EPOCHS, SERIAL, QUARTERS]
    sample = days[:: max(1, len(days) // 40)]
    readings = {}
    for key in formats:
        if _read_days(sample, key) is None:
            continue
        values = _read_days(days, key)
        if values is not None:
            readings[key] = values
    if not readings:
        return Moments(problem=_first_misfit(parts, lines, wanted))
    first = next(iter(readings))
    # Formats that mean the same days are one reading: 31/12/2024 is nothing but day first.
    different = [first]
    for key, values in readings.items():
        if all(bool((values != readings[other]).any()) for other in different):
            different.append(key)
    moments = Moments(different)
    if len(different) == 1:
        _complete(moments, parts, readings[first], lines)
        moments.is_instant = moments.is_instant or first in EPOCHS
    return moments


def _as_texts(column: Column) -> Any:
    import numpy as np
    import pyarrow as pa

    if column.kind == "text":
        return column.values
    # Dates as numbers: 20240102, seconds since 1970, Excel's days.
    return pa.array([_number_text(value) for value in np.asarray(column.values).tolist()], pa.string())


def _number_text(value: float) -> str:
    if value != value:
        return ""
    return str(int(value)) if float(value).is_integer() else repr(value)


def _read_days(days: list[str], key: str) -> Any:
    """datetime64[us] of every text, or None when one does not fit or lies outside of all reason."""
    import pandas as pd

    if key in EPOCHS or key == SERIAL:
        return _read_numbers(days, key)
    texts = pd.Series(days, dtype="str")
    if key == QUARTERS:
        parts = texts.str.extract(_QUARTER)
        if parts.isna().any(axis=None):
            return None
        months = parts["quarter"].astype(int) * 3
        ends = pd.to_datetime({"year": parts["year"].astype(int), "month": months, "day": 1}) + pd.offsets.MonthEnd(0)
        return ends.to_numpy().astype("datetime64[us]")
    if not _has_shape(days[0] if days else "", key):
        return None
    moments = pd.to_datetime(texts, format=key, errors="coerce", exact=True)
    if moments.isna().any():
        return None
    years = moments.dt.year
    if int(years.min()) < FIRST_YEAR or int(years.max()) > LAST_YEAR:
        return None
    if key in MONTHLY:
        # Dated on the last day, as the month's figure is not known before.
        moments = moments + (pd.offsets.YearEnd(0) if key == "%Y" else pd.offsets.MonthEnd(0))
    return moments.to_numpy().astype("datetime64[us]")


def _has_shape(text: str, key: str) -> bool:
    """A cheap look before pandas is asked."""
    if "%b" in key or "%B" in key:
        return any(letter.isalpha() for letter in text)
    if key in (*_COMPACT, "%Y", "%Y%m"):
        return text.isdigit() and len(text) == {"%Y%m": 6, "%y%m%d": 6, "%Y": 4}.get(key, 8)
    sign = next((sign for sign in "-/." if sign in key), "")
    return text.count(sign) == key.count(sign)


def _read_numbers(days: list[str], key: str) -> Any:
    import numpy as np

    try:
        numbers = np.array([float(text) for text in days], dtype=np.float64)
    except ValueError:
        return None
    if not len(numbers) or not np.isfinite(numbers).all():
        return None
    if key == SERIAL:
        if numbers.min() < 20_000 or numbers.max() > 80_000:  # 1954 to 2119
            return None
        return np.datetime64("1899-12-30", "us") + np.round(numbers * 86_400_000_000).astype("timedelta64[us]")
    scale = {"epoch_s": 1, "epoch_ms": 1e3, "epoch_us": 1e6, "epoch_ns": 1e9}[key]
    if numbers.min() < 1.6e8 * scale or numbers.max() > 4.2e9 * scale:  # 1975 to 2103
        return None
    if key == "epoch_ns":  # floats do not hold nanoseconds exactly; whole numbers do
        return (
            np.array([int(float(text)) if "." in text else int(text) for text in days])
            .astype("datetime64[ns]")
            .astype("datetime64[us]")
        )
    return np.round(numbers * (1e6 / scale)).astype("int64").astype("datetime64[us]")


def _first_misfit(parts: _Texts, lines: Any, wanted: str) -> str:
    """A sentence with the row at which the commonest format stops fitting."""
    import numpy as np

    days = parts.days
    best, best_bad = wanted, None
    import pandas as pd

    for key in [wanted] if wanted else FORMATS:
        if key in EPOCHS or key in (SERIAL, QUARTERS, TYPED):
            continue
        moments = pd.to_datetime(pd.Series(days, dtype="str"), format=key, errors="coerce")
        years = moments.dt.year
        bad = moments.isna() | (years < FIRST_YEAR) | (years > LAST_YEAR)
        if best_bad is None or bad.sum() < best_bad.sum():
            best, best_bad = key, bad
    if best_bad is None or bool(best_bad.all()):
        return ""
    wrong = np.flatnonzero(parts.spread(parts.date, best_bad.to_numpy(), True))
    place = int(wrong[0])
    cell = parts.texts[place].as_py()
    return (
        f"Row {int(lines[place])} has the date “{str(cell)[:40]}”, which is not {in_words(best)} between the years "
        f"{FIRST_YEAR} and {LAST_YEAR} as the other rows are"
        + (f" ({grouped(len(wrong))} rows in all)." if len(wrong) > 1 else ".")
    )


def _complete(moments: Moments, parts: _Texts, days: Any, lines: Any) -> None:
    """Put date, time of day and offset together."""
    import numpy as np

    values = parts.spread(parts.date, days, np.datetime64("NaT", "us"))
    times = np.array([_seconds(text) for text in parts.time.dictionary.to_pylist()], dtype=np.float64)
    micro = np.round(parts.spread(parts.time, times, 0.0) * 1e6).astype("timedelta64[us]")
    moments.values = values + micro
    offsets = np.array([_offset(text) for text in parts.zone.dictionary.to_pylist()], dtype=np.float64)
    moments.offsets = parts.spread(parts.zone, offsets, np.nan)
    with_zone = np.isfinite(moments.offsets)
    moments.has_offsets = bool(with_zone.any())
    if moments.has_offsets and not with_zone.all():
        naive, aware = int(np.flatnonzero(~with_zone)[0]), int(np.flatnonzero(with_zone)[0])
        raise Refused(
            f"Row {int(lines[aware])} says its offset from UTC (“{parts.texts[aware].as_py()[:40]}”) and row "
            f"{int(lines[naive])} does not (“{parts.texts[naive].as_py()[:40]}”). Write all of them in one way."
        )


def _seconds(text: str | None) -> float:
    if not text:
        return 0.0
    low = text.lower().replace(".m", "m").replace("m.", "m").replace(",", ".")
    half = low.rstrip()[-2:] if low.rstrip().endswith(("am", "pm")) else ""
    low = low.removesuffix(half).strip() if half else low
    if ":" not in low:
        low = f"{low[:2]}:{low[2:4]}:{low[4:]}"
    numbers = [float(part) for part in low.split(":")]
    hours, minutes, seconds = [*numbers, 0.0][:3]
    if half:
        hours = hours % 12 + (12 if half == "pm" else 0)
    if hours > 24 or minutes > 59 or seconds >= 61:
        raise Refused(f"“{text}” is no time of day.")
    return hours * 3600 + minutes * 60 + seconds


def _offset(text: str | None) -> float:
    if not text or text in ("Z", "UTC", "GMT"):
        return 0.0 if text else float("nan")
    hours, minutes = int(text[1:3]), int(text[-2:])
    return (-1 if text[0] == "-" else 1) * (hours * 3600.0 + minutes * 60)
