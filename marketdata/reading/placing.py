"""When is each row? Which column holds the dates, in which form, of which zone, and how far the rows lie apart."""

from __future__ import annotations

import zoneinfo
from typing import TYPE_CHECKING, Any

from . import dates, naming
from .delimited import Raw
from .limits import Refused

if TYPE_CHECKING:
    from .table import Table

DAY = 86_400_000_000  # in microseconds
# interval -> the usual step in seconds, from and to
_STEPS = (
    *(("1m", 60), ("5m", 300), ("15m", 900), ("30m", 1800), ("1h", 3600), ("2h", 7200), ("4h", 14400)),
    *(("1s", 1), ("2m", 120), ("3m", 180), ("10m", 600), ("6h", 21600), ("8h", 28800), ("12h", 43200)),
)


def find_dates(table: Table, raw: Raw, choices: dict[str, Any]) -> tuple[int, int, dates.Moments | None]:
    """(column of dates, column of times of day or -1, how they may be read)."""
    columns = raw.columns
    wanted = _whole(choices.get("date_column"), len(columns))
    wanted_format = str(choices.get("date_format") or "")
    if wanted_format and wanted_format not in (
        *dates.FORMATS,
        *dates.EPOCHS,
        dates.SERIAL,
        dates.QUARTERS,
        dates.TYPED,
    ):
        raise Refused(f"{wanted_format[:40]!r} is not among the date formats.")
    order = [wanted] if wanted is not None else _likely_dates(raw)
    table.options["date_column"] = {str(n): c.name or f"column {n + 1}" for n, c in enumerate(columns)}
    first_problem = ""
    for number in order:
        fixed = wanted_format if wanted_format != dates.TYPED or columns[number].kind == "moment" else ""
        time = _time_column(raw, number)
        found = dates.candidates(columns[number], raw.lines, fixed, columns[time] if time >= 0 else None)
        if not found.formats and time >= 0:
            time = -1
            found = dates.candidates(columns[number], raw.lines, fixed)
        if found.formats:
            named = wanted is not None or naming.bare(columns[number].name) in _DATE_NAMES
            if not named and found.formats[0] in ("%Y", "%Y%m", dates.SERIAL, *dates._COMPACT) and number != 0:
                continue  # numbers that might as well be figures
            return number, time, _choose_format(table, raw, number, time, found)
        first_problem = first_problem or found.problem
    text = first_problem or "No column holds dates in a form that is known here."
    table.remark("stop", "dates", text + " Choose the column and the form of its dates, or mend the file.")
    table.choices |= {"date_column": str(order[0] if order else 0), "date_format": wanted_format}
    table.options["date_format"] = _format_options([])
    return (order[0] if order else 0), -1, None


_DATE_NAMES = set(naming.ALIASES["date"].split()) | {"date", "priceddate", "index"}


def _likely_dates(raw: Raw) -> list[int]:
    """Columns by how likely they hold the dates: those that say so, then moments, then texts from the left."""

    def rank(number: int) -> tuple[int, int]:
        column = raw.columns[number]
        name = naming.bare(column.name)
        if name in _DATE_NAMES and name not in naming.TIME_OF_DAY:
            return (0, number)
        if column.kind == "moment":
            return (1, number)
        return (2 if column.kind == "text" else 3, number)

    return sorted(range(len(raw.columns)), key=rank)


def _time_column(raw: Raw, date: int) -> int:
    """A second column with the time of day, as trading programs write it."""
    import pyarrow.compute as pc

    for number, column in enumerate(raw.columns):
        if number == date or column.kind != "text" or naming.bare(column.name) not in naming.TIME_OF_DAY:
            continue
        fits = pc.match_substring_regex(pc.utf8_trim_whitespace(column.values), r"^(\d{1,2}:\d{2}(:\d{2})?|\d{6})$")
        if pc.all(fits).as_py():
            return number
    return -1


def _choose_format(table: Table, raw: Raw, number: int, time: int, found: dates.Moments) -> dates.Moments:
    table.choices |= {"date_column": str(number), "date_format": found.formats[0] if len(found.formats) == 1 else ""}
    table.options["date_format"] = _format_options(found.formats)
    column = raw.columns[number]
    example = column.values[0].as_py() if column.kind == "text" else str(column.values[0])
    if len(found.formats) > 1:
        table.ask(
            "date_format",
            f"Every date fits more than one order of day and month, such as “{str(example)[:30]}”. Which is it?",
            {key: dates.in_words(key) for key in found.formats},
        )
    elif found.formats[0] == dates.SERIAL:
        table.remark(
            "warning", "dates", "The dates are numbers such as Excel counts days. Look whether they are right."
        )
    elif found.formats[0] in dates.MONTHLY or found.formats[0] == dates.QUARTERS:
        table.remark("note", "dates", "A month, quarter or year is dated on its last day.")
    if time >= 0:
        table.remark("note", "dates", f"The time of day is taken from the column “{raw.columns[time].name}”.")
    return found


def _format_options(found: list[str]) -> dict[str, str]:
    keys = found if found == [dates.TYPED] else [*found, *dates.FORMATS, *dates.EPOCHS, dates.SERIAL, dates.QUARTERS]
    return {key: dates.in_words(key) for key in dict.fromkeys(keys)}


def place_in_time(table: Table, raw: Raw, choices: dict[str, Any], moments: dates.Moments) -> Any:
    """Days or instants: sets table.moments (unsorted), interval and zone; gives the lines of the rows."""
    import numpy as np

    values, lines = moments.values, raw.lines
    missing = np.isnat(values)
    if missing.any():
        table.remark("stop", "dates", "Rows without a date.", lines[missing])
    whole = values[~missing].astype("int64")
    years = values[~missing].astype("datetime64[Y]").astype(int) + 1970
    if len(years) and (years.min() < 1700 or years.max() > 2199):
        odd = np.flatnonzero(~missing)[(years < 1700) | (years > 2199)]
        table.remark("stop", "dates", "Dates outside of the years 1700 to 2199.", lines[odd])
    of_day = whole % DAY
    gaps = np.diff(np.unique(whole))
    usual = float(np.median(gaps)) if len(gaps) else float(DAY)
    same_time = len(of_day) > 0 and bool((of_day == of_day[0]).all())
    if same_time and (of_day[0] == 0 or usual >= 0.8 * DAY):
        # One row a day: the local day counts, whatever the hour and the offset of midnight are.
        table.moments = values.astype("datetime64[D]").astype("datetime64[us]")
        if len(of_day) and of_day[0] != 0:
            table.remark("note", "dates", "One row a day at the same time: the time of day is left out.")
        table.interval = _interval_of_days(usual / DAY, len(gaps))
        table.choices["zone"] = ""
        return lines
    zone = str(choices.get("zone") or "")
    if zone and zone not in zoneinfo.available_timezones():
        raise Refused(f"{zone[:40]!r} is no time zone. Names are like UTC, America/New_York or Europe/Berlin.")
    table.interval = _interval_of_times(usual / 1e6)
    if moments.is_instant:
        table.zone = table.choices["zone"] = zone or "UTC"
        table.moments = values
    elif moments.has_offsets:
        table.zone = table.choices["zone"] = zone or "UTC"
        table.moments = values - np.round(moments.offsets * 1e6).astype("timedelta64[us]")
        if len(np.unique(moments.offsets)) > 1:
            table.remark("note", "zone", "Times with different offsets; all are turned into UTC.")
    elif zone:
        table.zone = table.choices["zone"] = zone
        table.moments = _to_utc(table, values, zone, lines)
    else:
        table.choices["zone"] = ""
        table.ask("zone", "The times do not say their zone. In which zone are they?", {})
        table.moments = values
    return lines


def _to_utc(table: Table, values: Any, zone: str, lines: Any) -> Any:
    import numpy as np
    import pandas as pd

    local = pd.DatetimeIndex(values)
    placed = local.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    lost = placed.isna() & ~local.isna()
    if lost.any():
        table.remark(
            "stop",
            "zone",
            f"Times that {zone} did not have, or had twice, when its clocks were changed. Give them in UTC or with "
            "their offset.",
            lines[np.flatnonzero(lost)],
        )
    return placed.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[us]")


def _interval_of_days(days: float, gaps: int) -> str:
    if not gaps:
        return "1d"
    for name, low, high in (("1d", 0.5, 4.5), ("1w", 6, 8), ("1mo", 27, 32), ("3mo", 88, 93), ("1y", 360, 370)):
        if low <= days <= high:
            return name
    return "irregular"


def _interval_of_times(seconds: float) -> str:
    return next((name for name, step in _STEPS if abs(seconds - step) < 0.01 * step), "irregular")


def _whole(value: Any, below: int) -> int | None:
    text = str(value) if value is not None else ""
    return int(text) if text.isdigit() and int(text) < below else None
