"""What does a file say, all in all? look() proposes how to read it, with questions, remarks by row and the first rows;
read() gives the columns once everything is answered.
"""

from __future__ import annotations

import zoneinfo
from dataclasses import dataclass, field
from typing import Any

from . import dates, delimited, figures, naming, typed
from .containers import kind_of
from .delimited import Column, Raw
from .limits import Refused, check_table

FIRST_ROWS = 20
ROWS_NAMED = 20
DAY = 86_400_000_000  # in microseconds
FAR_JUMP = 10.0
LONG_GAP = 366 * DAY
# interval -> the usual step in seconds, from and to
_STEPS = (
    *(("1m", 60), ("5m", 300), ("15m", 900), ("30m", 1800), ("1h", 3600), ("2h", 7200), ("4h", 14400)),
    *(("1s", 1), ("2m", 120), ("3m", 180), ("10m", 600), ("6h", 21600), ("8h", 28800), ("12h", 43200)),
)
_WHAT_TO_DO = {"unreadable": "missing", "infinities": "missing", "duplicates": "first"}


@dataclass
class Table:
    """The table as it will be stored, and all that was noticed on the way."""

    kind: str
    choices: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    questions: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[dict[str, Any]] = field(default_factory=list)
    sources: list[dict[str, Any]] = field(default_factory=list)  # a dict for each column of the file
    names: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)  # numpy float64 or Arrow text, as sorted
    moments: Any = None  # numpy datetime64[us], as sorted
    unplaced: list[list[Any]] = field(default_factory=list)  # the first rows, where the dates are still a question
    interval: str = ""
    zone: str = ""

    def ask(self, choice: str, text: str, options: dict[str, str]) -> None:
        self.questions.append({"choice": choice, "text": text, "options": options})

    def remark(self, level: str, kind: str, text: str, lines: Any = None) -> None:
        """level: "stop" (nothing is stored unless a choice says so), "warning" or "note"."""
        rows = [] if lines is None else [int(line) for line in lines[:ROWS_NAMED]]
        count = 0 if lines is None else len(lines)
        self.remarks.append({"level": level, "kind": kind, "text": text, "rows": rows, "count": count})

    @property
    def is_ready(self) -> bool:
        return not self.questions and not any(remark["level"] == "stop" for remark in self.remarks)


def understand(content: bytes, choices: dict[str, Any]) -> Table:
    """Everything about the file under these choices; what is not chosen is found out. Raises Refused."""
    kind = kind_of(content)
    match kind:
        case "excel":
            raw = typed.read_excel(content, choices)
        case "parquet":
            raw = typed.read_parquet(content)
        case "feather":
            raw = typed.read_feather(content)
        case _:
            raw = delimited.read(content, choices)
    check_table(len(raw.lines), len(raw.columns), 8 * len(raw.columns))
    table = Table(kind, dict(raw.choices), dict(raw.options))
    for note in raw.notes:
        table.remark("note", "layout", note)
    for warning in raw.warnings:
        table.remark("warning", "layout", warning)
    for name, standard in (*_WHAT_TO_DO.items(), ("negative", "")):
        wanted = str(choices.get(name) or "")
        table.choices[name] = wanted if wanted in ("missing", "first", "last", "yes") else ""
        assert standard or name == "negative"
    names = [column.name for column in raw.columns]
    date, time, moments = _find_dates(table, raw, choices)
    targets = _targets(table, raw, choices, names, date, time)
    values = _figures(table, raw, choices, targets)
    if not raw.has_header and not choices.get("names"):
        targets = _name_by_figures(table, raw, targets, values)
    _describe(table, raw, targets, values)
    if moments is None or moments.values is None:
        _show_unplaced(table, raw, date, targets, values)
        return table
    lines = _place_in_time(table, raw, choices, moments)
    _assemble(table, targets, values, lines)
    return table


# Dates


def _find_dates(table: Table, raw: Raw, choices: dict[str, Any]) -> tuple[int, int, dates.Moments | None]:
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


def _place_in_time(table: Table, raw: Raw, choices: dict[str, Any], moments: dates.Moments) -> Any:
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


# Columns


def _targets(table: Table, raw: Raw, choices: dict[str, Any], names: list[str], date: int, time: int) -> list[str]:
    """Our name for each column; "" leaves it out."""
    wanted = choices.get("names")
    if isinstance(wanted, list) and len(wanted) == len(names):
        targets = [naming.own_name(str(name), n) if name else "" for n, name in enumerate(wanted)]
        double = {name for name in targets if name and targets.count(name) > 1}
        if double:
            raise Refused(f"Two columns cannot both be called {sorted(double)[0]}.")
    else:
        targets = naming.propose([name if n not in (date, time) else "" for n, name in enumerate(names)])
    for number in (date, time):
        if number >= 0:
            targets[number] = ""
    return ["date_" if name == "date" else name for name in targets]


def _name_by_figures(table: Table, raw: Raw, targets: list[str], values: list[Any]) -> list[str]:
    """Without a header: four columns of which the second is never below and the third never above the others are
    bars; anything else is asked about.
    """
    import numpy as np

    places = [n for n, name in enumerate(targets) if name and isinstance(values[n], np.ndarray)]
    if 4 <= len(places) <= 6:
        first, high, low, last = (values[n] for n in places[:4])
        with np.errstate(invalid="ignore"):
            fits = (high >= first) & (high >= last) & (low <= first) & (low <= last)
        if fits.mean() > 0.98:
            for place, name in zip(places, ["open", "high", "low", "close", "volume", "open_interest"], strict=False):
                targets[place] = name
            table.remark("warning", "header", "There is no header: the columns are named by what stands in them.")
            return targets
    if len(places) == 1:
        targets[places[0]] = "close"
        return targets
    table.ask("names", "There is no header. Name the columns below, then look again.", {})
    return targets


def _figures(table: Table, raw: Raw, choices: dict[str, Any], targets: list[str]) -> list[Any]:
    """numpy floats, or Arrow text, for each column that is kept; None for the others."""
    import pyarrow.compute as pc

    texts = [n for n, column in enumerate(raw.columns) if targets[n] and column.kind == "text"]
    table.options |= {"decimal": figures.DECIMALS, "thousands": figures.THOUSANDS}
    decimal, thousands = str(choices.get("decimal") or ""), choices.get("thousands")
    numeric = [n for n in texts if targets[n] != "symbol" and _looks_numeric(raw.columns[n])]
    convention = figures.find_convention(
        [raw.columns[n].values for n in numeric], str(raw.choices.get("delimiter", "")) if numeric else ","
    )
    if decimal not in figures.DECIMALS:
        decimal = convention.decimal
        if not decimal:
            table.ask(
                "decimal",
                f"“{convention.example[:20]}” can be a number with decimals or one with thousands. What is the decimal "
                "sign?",
                figures.DECIMALS,
            )
            decimal = "."
            convention.decimal = ""
    if thousands not in figures.THOUSANDS:
        thousands = convention.thousands
        if not convention.decimal and not thousands:
            thousands = "," if decimal == "." else "."
    if decimal == thousands:
        raise Refused("The decimal sign and the thousands separator cannot be the same.")
    if raw.choices.get("delimiter") or numeric:
        table.choices |= {
            "decimal": decimal if convention.decimal or choices.get("decimal") else "",
            "thousands": thousands,
        }
    values: list[Any] = []
    for number, column in enumerate(raw.columns):
        if not targets[number]:
            values.append(None)
        elif column.kind == "number":
            values.append(column.values)
        elif column.kind == "moment":
            values.append(_moments_as_text(column))
        elif number in numeric:
            values.append(_numbers_of(table, raw, number, decimal, thousands))
        else:
            values.append(pc.utf8_trim_whitespace(column.values))
    return values


def _looks_numeric(column: Column) -> bool:
    """Most of what stands in it begins like a number."""
    import pyarrow as pa
    import pyarrow.compute as pc

    step = max(1, len(column.values) // 2000)
    sample = column.values if step == 1 else column.values.take(pa.array(range(0, len(column.values), step)))
    text = pc.utf8_lower(pc.utf8_trim_whitespace(sample))
    there = text.filter(pc.invert(pc.is_in(text, value_set=pa.array(sorted(delimited.MISSING)))))
    if len(there) == 0:
        return True
    endless = r"^[-+]?(inf|infinity|∞)$"
    shape = r"^[-+(]?[ ]?[$€£¥]?[ ]?[-+−]?(\d[\d.,'’ \x{a0}\x{202f}\x{2009}]*|\.\d+)(e[-+]?\d+)?[ ]?[%kmbt]?\)?$"
    return pc.mean(pc.cast(pc.match_substring_regex(there, f"{shape}|{endless}"), "float64")).as_py() > 0.5


def _numbers_of(table: Table, raw: Raw, number: int, decimal: str, thousands: str) -> Any:
    import numpy as np

    column = raw.columns[number]
    parsed = figures.parse(column.values, decimal, thousands)
    name = column.name or f"column {number + 1}"
    if parsed.percent:
        table.remark("note", "percent", f"“{name}” has percent signs: 1.5 % is stored as 0.015.")
    if parsed.scaled:
        table.remark("note", "scaled", f"“{name}” has K, M, B or T for thousands to millions of millions.")
    if parsed.unreadable.any():
        places = np.flatnonzero(parsed.unreadable)
        cell = column.values[int(places[0])].as_py()
        forgiven = table.choices["unreadable"] == "missing"
        table.remark(
            "warning" if forgiven else "stop",
            "unreadable",
            f"“{name}” has “{cell[:30]}”, which is not a number" + (" and is left empty." if forgiven else "."),
            raw.lines[places],
        )
    return parsed.values


def _moments_as_text(column: Column) -> Any:
    import numpy as np
    import pyarrow as pa

    text = np.datetime_as_string(column.values, unit="s")
    return pa.array(["" if each == "NaT" else str(each) for each in text], pa.string())


def _describe(table: Table, raw: Raw, targets: list[str], values: list[Any]) -> None:
    import numpy as np

    for number, column in enumerate(raw.columns):
        is_date = str(number) == table.choices.get("date_column")
        first = column.values[0]
        sample = first.as_py() if column.kind == "text" else str(first)
        held = "date" if is_date else "number" if isinstance(values[number], np.ndarray) else "text"
        table.sources.append(
            {
                "name": column.name[:80],
                "target": "date" if is_date else targets[number],
                "holds": held if targets[number] or is_date else "left out",
                "sample": str(sample)[:40],
            }
        )
    table.choices["names"] = [source["target"] for source in table.sources]


def _show_unplaced(table: Table, raw: Raw, date: int, targets: list[str], values: list[Any]) -> None:
    """The first rows as they stand in the file, with the dates as they are written."""
    kept = [n for n, name in enumerate(targets) if name]
    table.names = [targets[n] for n in kept]
    for place in range(min(FIRST_ROWS, len(raw.lines))):
        table.unplaced.append([raw.columns[date].values[place], *(values[n][place] for n in kept)])


# The table


def _assemble(table: Table, targets: list[str], values: list[Any], lines: Any) -> None:
    """Check row by row, then sort by time; what is changed is said."""
    import numpy as np
    import pyarrow as pa

    kept = [n for n, name in enumerate(targets) if name]
    if not kept:
        table.remark("stop", "columns", "No column is left beside the dates.")
        return
    columns = {targets[n]: values[n] for n in kept}
    moments = table.moments
    symbols = columns.get("symbol")
    groups = (
        np.asarray(pa.compute.dictionary_encode(symbols).indices)
        if symbols is not None and not isinstance(symbols, np.ndarray)
        else np.zeros(len(moments), dtype=np.int64)
    )
    _check_values(table, columns, lines)
    order = np.lexsort((np.arange(len(moments)), groups, moments))
    if not (order == np.arange(len(moments))).all():
        _remark_order(table, moments, groups, lines)
    keep = _check_duplicates(table, columns, moments, groups, order, lines)
    order = order[keep]
    table.moments = moments[order]
    taken = pa.array(order)
    table.names = list(columns)
    table.values = [value[order] if isinstance(value, np.ndarray) else value.take(taken) for value in columns.values()]
    _warn_of_time(table, columns, groups, order, lines)


def _check_values(table: Table, columns: dict[str, Any], lines: Any) -> None:
    import numpy as np

    for name, values in columns.items():
        if not isinstance(values, np.ndarray):
            continue
        infinite = np.isinf(values)
        if infinite.any():
            forgiven = table.choices["infinities"] == "missing"
            table.remark(
                "warning" if forgiven else "stop",
                "infinities",
                f"{name} is infinite" + (" and is left empty." if forgiven else "."),
                lines[infinite],
            )
            values[infinite] = np.nan
        missing = np.isnan(values)
        if missing.all():
            table.remark("warning", "missing", f"{name} is empty in every row.")
        elif missing.any():
            table.remark("note", "missing", f"{name} is missing.", lines[missing])
        with np.errstate(invalid="ignore"):
            if name in naming.PRICES and (values <= 0).any():
                allowed = table.choices["negative"] == "yes"
                table.remark(
                    "note" if allowed else "stop",
                    "negative",
                    f"{name} is negative or zero"
                    + (
                        "."
                        if allowed
                        else ", which no share is; spreads, rates and futures can be. Say so if it is meant."
                    ),
                    lines[values <= 0],
                )
            if name == "volume" and (values < 0).any():
                table.remark(
                    "stop", "volume", "volume is negative. Mend the file or leave the column out.", lines[values < 0]
                )
    if all(isinstance(columns.get(name), np.ndarray) for name in ("high", "low")):
        with np.errstate(invalid="ignore"):
            wrong = columns["high"] < columns["low"]
            for name in ("open", "close"):
                if isinstance(columns.get(name), np.ndarray):
                    room = 1e-9 * np.abs(columns[name])
                    wrong |= (columns[name] > columns["high"] + room) | (columns[name] < columns["low"] - room)
        if wrong.any():
            table.remark("warning", "bars", "The price is outside of the bar's high and low.", lines[wrong])


def _remark_order(table: Table, moments: Any, groups: Any, lines: Any) -> None:
    import numpy as np

    steps = np.diff(moments.astype("int64"))
    if len(np.unique(groups)) == 1 and (steps <= 0).all():
        table.remark("note", "order", "The newest row comes first; the rows are turned round.")
        return
    latest = np.maximum.accumulate(moments.astype("int64"))
    late = np.flatnonzero(moments.astype("int64") < latest)
    if len(np.unique(groups)) > 1:
        table.remark("note", "order", "The rows are sorted by date and symbol.")
    elif len(late):
        table.remark(
            "warning", "order", "Rows that are older than one before them; all are sorted by date.", lines[late]
        )


def _check_duplicates(table: Table, columns: dict[str, Any], moments: Any, groups: Any, order: Any, lines: Any) -> Any:
    """Which rows (in order) stay: all, or one for each moment if that was chosen."""
    import numpy as np

    sorted_moments, sorted_groups = moments[order], groups[order]
    again = np.zeros(len(order), dtype=bool)
    again[1:] = (sorted_moments[1:] == sorted_moments[:-1]) & (sorted_groups[1:] == sorted_groups[:-1])
    keep = np.ones(len(order), dtype=bool)
    if not again.any():
        return keep
    same = again.copy()
    for values in columns.values():
        if isinstance(values, np.ndarray):
            now = values[order]
            same[1:] &= (now[1:] == now[:-1]) | (np.isnan(now[1:]) & np.isnan(now[:-1]))
        else:
            now = np.asarray(values.to_numpy(zero_copy_only=False))[order]
            same[1:] &= now[1:] == now[:-1]
    differing = int((again & ~same).sum())
    place = int(np.flatnonzero(again)[0])
    day = str(sorted_moments[place])[:16].replace("T", " ").removesuffix(" 00:00")
    text = f"{day} stands in rows {int(lines[order[place - 1]])} and {int(lines[order[place]])}"
    rows = "row has" if differing == 1 else "rows have"
    text += f"; {differing:,} such {rows} other values." if differing else " with the same values."
    wanted = table.choices["duplicates"]
    if wanted == "first":
        keep = ~again
    elif wanted == "last":
        keep[:-1] = ~again[1:]
    level = "warning" if wanted else "stop"
    done = f" The {wanted} of each is kept." if wanted else ""
    table.remark(level, "duplicates", text + done, lines[order[again]])
    return keep


def _warn_of_time(table: Table, columns: dict[str, Any], groups: Any, order: Any, lines: Any) -> None:
    """What is possible, but seldom meant: the future, weekends, jumps and long gaps."""
    import numpy as np

    moments, own = table.moments, lines[order]
    future = moments > np.datetime64("now", "us") + np.timedelta64(1, "D")
    if future.any():
        table.remark("warning", "future", "The date is in the future.", own[future])
    if table.interval == "1d":
        weekday = (moments.astype("datetime64[D]").astype("int64") + 3) % 7
        weekend = weekday >= 5
        if weekend.any() and weekend.mean() < 0.15:
            table.remark("warning", "weekend", "The date is a Saturday or Sunday.", own[weekend])
    for group in np.unique(groups[order])[:50]:
        rows = np.flatnonzero(groups[order] == group)
        gaps = np.diff(moments[rows].astype("int64"))
        if table.interval not in ("1y", "3mo", "irregular") and len(gaps) and gaps.max() > LONG_GAP:
            table.remark(
                "warning", "gap", "Nothing for more than a year before this row.", own[rows[1:][gaps > LONG_GAP]]
            )
        close = columns.get("close")
        if isinstance(close, np.ndarray) and len(rows) > 1:
            prices = close[order][rows]
            with np.errstate(all="ignore"):
                change = np.abs(np.log(np.abs(prices[1:] / prices[:-1])))
            jumps = np.isfinite(change) & (change > np.log(FAR_JUMP))
            if jumps.any():
                text = f"close changes more than {FAR_JUMP:g}-fold in one step: a split, or a slip of the decimal sign?"
                table.remark("warning", "jump", text, own[rows[1:][jumps]])


def _whole(value: Any, below: int) -> int | None:
    text = str(value) if value is not None else ""
    return int(text) if text.isdigit() and int(text) < below else None
