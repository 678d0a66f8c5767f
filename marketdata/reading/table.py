"""What does a file say, all in all? look() proposes how to read it, with questions, remarks by row and the first rows;
read() gives the columns once everything is answered.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import delimited, figures, naming, typed
from .checks import check_duplicates, check_values, remark_order, warn_of_time
from .containers import kind_of
from .delimited import Column, Raw
from .limits import Refused, check_table
from .placing import find_dates, place_in_time

FIRST_ROWS = 20
ROWS_NAMED = 20
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
    date, time, moments = find_dates(table, raw, choices)
    targets = _targets(choices, names, date, time)
    values = _figures(table, raw, choices, targets)
    if not raw.has_header and not choices.get("names"):
        targets = _name_by_figures(table, targets, values)
    _describe(table, raw, targets, values)
    if moments is None or moments.values is None:
        _show_unplaced(table, raw, date, targets, values)
        return table
    lines = place_in_time(table, raw, choices, moments)
    _assemble(table, targets, values, lines)
    return table


# Columns


def _targets(choices: dict[str, Any], names: list[str], date: int, time: int) -> list[str]:
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


def _name_by_figures(table: Table, targets: list[str], values: list[Any]) -> list[str]:
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
    check_values(table, columns, lines)
    order = np.lexsort((np.arange(len(moments)), groups, moments))
    if not (order == np.arange(len(moments))).all():
        remark_order(table, moments, groups, lines)
    keep = check_duplicates(table, columns, moments, groups, order, lines)
    order = order[keep]
    table.moments = moments[order]
    taken = pa.array(order)
    table.names = list(columns)
    table.values = [value[order] if isinstance(value, np.ndarray) else value.take(taken) for value in columns.values()]
    warn_of_time(table, columns, groups, order, lines)
