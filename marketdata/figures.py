"""What do the bars of a series say: which points of them are drawn, in which sentence, with which key figures?

Prices are adjusted and measured by the functions that code in a box uses (qfp), so that page and program agree.
"""

from __future__ import annotations

import calendar
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
from django.http import QueryDict
from qfp import metrics
from qfp.data.frames import adjusted_columns

from marketdata.browsing import Entry, View
from marketdata.quality.series import PRICES

MOST_POINTS = 2_000
# Lines of many columns share a chart, so each gets fewer.
MOST_VALUES = 8_000
MOST_COLUMNS = 8
# Of a yield curve, when nobody asked for others.
TENORS = ("3m", "1y", "2y", "5y", "10y", "30y")
TABLE_ROWS = 60

ADJUSTMENTS: dict[str, tuple[Any, str, str]] = {
    "all": ("all", "Adjusted", "adjusted for splits and dividends"),
    "split": ("split", "Splits only", "adjusted for splits"),
    "raw": (None, "As traded", "as traded"),
}
# (name in addresses, label, days or months before the end of the series); all of it has neither.
RANGES: tuple[tuple[str, str, int, int], ...] = (
    ("1d", "1D", 1, 0),
    ("5d", "5D", 5, 0),
    ("1m", "1M", 0, 1),
    ("6m", "6M", 0, 6),
    ("ytd", "YTD", 0, 0),
    ("1y", "1Y", 0, 12),
    ("3y", "3Y", 0, 36),
    ("all", "All", 0, 0),
)
INTRADAY = ("1m", "5m", "15m", "30m", "1h")
PERIODS = {"1d": 252.0, "1w": 52.0, "1wk": 52.0, "1mo": 12.0, "3mo": 4.0, "1y": 1.0}
# What is said of a series whose source gives adjusted prices only, with the day of the adjustment behind it.
ADJUSTED_AT = "adjusted_at="
# Of these a change is a return that somebody could have had; of a yield or a price level it is not.
INVESTABLE = {"equity", "index", "commodity", "fx", "crypto", "dataset"}


class BadWindow(Exception):
    """The stretch asked for is none; the text says what is expected."""


# Which bars -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Window:
    """A stretch of a series as it was asked for: how adjusted, from when to when (both included)."""

    adjust: str
    chosen: str
    start: np.datetime64 | None
    end: np.datetime64 | None
    columns: tuple[str, ...] = ()


def window_from(query: QueryDict, entry: Entry) -> Window:
    """Read adjust=, range= or from= and to=, and c= for columns. Raises BadWindow."""
    adjust = query.get("adjust", "all")
    if adjust not in ADJUSTMENTS:
        raise BadWindow(f"adjust is one of {', '.join(ADJUSTMENTS)}.")
    columns = tuple(name for name in query.getlist("c") if name in entry["columns"])
    if query.get("from") or query.get("to"):
        start, end = _moment(query.get("from", "")), _moment(query.get("to", ""), end=True)
        if start is not None and end is not None and start > end:
            raise BadWindow("from must not be later than to.")
        return Window(adjust, "", start, end, columns)
    chosen = query.get("range", "all")
    if chosen not in (names := [found[0] for found in RANGES]):
        raise BadWindow(f"range is one of {', '.join(names)}.")
    return Window(adjust, chosen, start_of(chosen, entry), None, columns)


def start_of(chosen: str, entry: Entry) -> np.datetime64 | None:
    """The first day of a range that ends with the series."""
    if chosen == "all" or not entry["last"]:
        return None
    last = date.fromisoformat(entry["last"][:10])
    if chosen == "ytd":
        return np.datetime64(f"{last.year}-01-01", "us")
    days, months = next((days, months) for name, _, days, months in RANGES if name == chosen)
    if days:
        return np.datetime64(last - timedelta(days=days - 1), "us")
    month = last.year * 12 + last.month - 1 - months
    longest = calendar.monthrange(month // 12, month % 12 + 1)[1]
    return np.datetime64(date(month // 12, month % 12 + 1, min(last.day, longest)), "us")


def ranges_of(entry: Entry) -> list[tuple[str, str]]:
    """The ranges that are shorter than the series, and long enough for its interval."""
    first = (entry["first"] or "")[:10]
    found = [(name, label) for name, label, days, _ in RANGES if is_intraday(entry) or not days]
    return [
        (name, label) for name, label in found if (start := start_of(name, entry)) is None or str(start)[:10] > first
    ]


def _moment(text: str, end: bool = False) -> np.datetime64 | None:
    if not text:
        return None
    try:
        moment = np.datetime64(text.strip().removesuffix("Z").replace(" ", "T"), "us")
    except ValueError:
        raise BadWindow(f"{text[:40]!r} is no date. Write it like 2010-01-31.") from None
    if np.isnat(moment) or not np.datetime64("1600-01-01") <= moment <= np.datetime64("2300-01-01"):
        raise BadWindow(f"{text[:40]!r} is no date of this calendar. Write it like 2010-01-31.")
    whole_day = end and "T" not in text and ":" not in text
    return moment + np.timedelta64(86_399_999_999, "us") if whole_day else moment


def columns_of(view: View, entry: Entry, adjust: str = "all") -> dict[str, np.ndarray]:
    """All columns of a series, on the memory-mapped file where nothing is adjusted."""
    return adjusted_columns(view.folder, dict(entry), ADJUSTMENTS[adjust][0])


def cut(columns: Mapping[str, np.ndarray], window: Window) -> dict[str, np.ndarray]:
    dates = columns["date"]
    low = 0 if window.start is None else int(dates.searchsorted(window.start, side="left"))
    high = len(dates) if window.end is None else int(dates.searchsorted(window.end, side="right"))
    return {name: values[low:high] for name, values in columns.items()}


def has_bars(entry: Entry) -> bool:
    return set(PRICES) <= set(entry["columns"])


def is_intraday(entry: Entry) -> bool:
    return entry["interval"] in INTRADAY


def adjustment_in_words(entry: Entry) -> str:
    if entry["adjustment"] == "raw":
        return "Stored as traded; splits and dividends are applied when it is read."
    if entry["adjustment"].startswith(ADJUSTED_AT):
        day = entry["adjustment"].removeprefix(ADJUSTED_AT)
        return f"By its source for all splits and dividends up to {day}; there are no prices as traded."
    return entry["adjustment"][:1].upper() + entry["adjustment"][1:]


def can_be_adjusted(entry: Entry) -> bool:
    return bool(entry["actions"])


def drawable(columns: Mapping[str, np.ndarray]) -> list[str]:
    """Columns of numbers that make lines; none where a date has several rows, as in a table of options."""
    dates = columns.get("date")
    if dates is None or len(dates) < 2 or not np.all(np.diff(dates.astype(np.int64)) > 0):
        return []
    return [
        name
        for name, values in columns.items()
        if name not in ("date", "dividend", "split") and values.dtype.kind in "fiu"
    ]


def drawn(columns: Mapping[str, np.ndarray], entry: Entry, window: Window) -> list[str]:
    """The columns that become lines, as many as can be told apart: those asked for, else the ones that say most."""
    lines = drawable(columns)
    if has_bars(entry):
        return ["close"] if lines else []
    wanted = window.columns or [name for name in TENORS if entry["kind"] == "curve"] or lines
    return [name for name in lines if name in wanted][:MOST_COLUMNS]


# Which points ---------------------------------------------------------------------------------------------------


def points_of(
    columns: Mapping[str, np.ndarray], entry: Entry, lines: Sequence[str], most: int = MOST_POINTS
) -> dict[str, Any]:
    """At most `most` points for a chart: bars are joined to longer bars, lines keep the extremes of each stretch.

    `bars_per_point` says how many bars one point stands for.
    """
    count = len(columns["date"])
    if has_bars(entry):
        per = max(1, math.ceil(count / most))
        starts = np.arange(0, count, per)
        joined = {"date": columns["date"][starts]}
        if count:
            ends = np.minimum(starts + per, count) - 1
            joined |= {
                "open": columns["open"][starts],
                "high": np.fmax.reduceat(columns["high"], starts),
                "low": np.fmin.reduceat(columns["low"], starts),
                "close": columns["close"][ends],
            }
            if "volume" in columns:
                joined["volume"] = np.add.reduceat(np.nan_to_num(columns["volume"]), starts)
        else:
            joined |= {name: columns[name] for name in (*PRICES, "volume") if name in columns}
        return {"bars_per_point": per, **joined}
    picks = _picks(columns, lines, most)
    return {
        "bars_per_point": max(1, math.ceil(count / max(1, len(picks)))),
        **{n: columns[n][picks] for n in ["date", *lines]},
    }


def _picks(columns: Mapping[str, np.ndarray], lines: Sequence[str], most: int) -> np.ndarray:
    """Positions of the lowest and highest value of each stretch; of several lines, of the first, as they move alike."""
    count = len(columns["date"])
    most = min(most, max(200, MOST_VALUES // max(1, len(lines))))
    if count <= most or not lines:
        return np.arange(min(count, most))
    values = np.asarray(columns[lines[0]], dtype=np.float64)
    low, high = np.where(np.isnan(values), np.inf, values), np.where(np.isnan(values), -np.inf, values)
    edges = np.linspace(0, count, (most - 2) // 2 + 1, dtype=int)
    picks = {0, count - 1}
    for start, stop in pairwise(edges):
        picks |= {int(start + low[start:stop].argmin()), int(start + high[start:stop].argmax())}
    return np.array(sorted(picks))


def marks_of(columns: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Splits and dividends of these bars, by ex-date, the dividend in the prices' own terms."""
    if "split" not in columns:
        return []
    split, dividend = columns["split"], columns["dividend"]
    at = np.flatnonzero((split != 1) | (dividend != 0))
    return [
        {"date": shown_date(columns["date"][i]), "split": float(split[i]), "dividend": round(float(dividend[i]), 6)}
        for i in at
    ]


def shown_date(moment: np.datetime64) -> str:
    text = str(moment.astype("datetime64[m]")).replace("T", " ")
    return text.removesuffix(" 00:00")


def shown_dates(dates: np.ndarray, entry: Entry) -> list[str]:
    whole_days = entry["interval"] in PERIODS or not np.any(dates != dates.astype("datetime64[D]"))
    unit = "D" if whole_days and not is_intraday(entry) else "m"
    return [str(moment).replace("T", " ") for moment in dates.astype(f"datetime64[{unit}]")]


def numbers(values: np.ndarray) -> list[float | None]:
    """For JSON: eight significant digits, null where there is no number."""
    return [float(f"{value:.8g}") if math.isfinite(value) else None for value in values.tolist()]


# In words and figures -------------------------------------------------------------------------------------------


def sentence(columns: Mapping[str, np.ndarray], entry: Entry, adjust: str) -> str:
    """What the chart shows, for those who cannot see it."""
    name, values, dates = _leading(columns)
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return f"{entry['symbol']} has no values in this range."
    first, last = known[0], known[-1]
    low, high = known[values[known].argmin()], known[values[known].argmax()]
    what = entry["symbol"] if name == "close" else f"{entry['symbol']} {name}"
    if len(known) == 1:
        return f"{what} was {shown_number(values[last])} on {prose_day(dates[last])}, the only value in this range."
    went = "rose" if values[last] > values[first] else "fell" if values[last] < values[first] else "ended as it began,"
    change = ""
    if entry["kind"] in INVESTABLE and values[first] > 0:
        change = f" ({_signed_percent(values[last] / values[first] - 1)})"
    how = f", {ADJUSTMENTS[adjust][2]}" if can_be_adjusted(entry) else ""
    if entry["adjustment"].startswith(ADJUSTED_AT):
        how = ", adjusted by its source"
    digits = digits_for(values)

    def at(position: int) -> str:
        return f"{shown_number(values[position], digits)} on {prose_day(dates[position])}"

    return f"{what} {went} from {at(first)} to {at(last)}{change}{how}; lowest {at(low)}, highest {at(high)}."


def _leading(columns: Mapping[str, np.ndarray]) -> tuple[str, np.ndarray, np.ndarray]:
    """The column that speaks for the series: the close, the ten-year yield, or the first."""
    names = [
        name for name in columns if name not in ("date", "dividend", "split") and columns[name].dtype.kind in "fiu"
    ]
    name = next((wanted for wanted in ("close", "10y") if wanted in names), names[0] if names else "")
    values = np.asarray(columns[name], dtype=np.float64) if name else np.empty(0)
    return name, values, columns["date"]


def periods_per_year(entry: Entry, dates: np.ndarray) -> float:
    """252 for daily bars of exchanges that close; where markets do not close, what was measured."""
    if entry["kind"] not in ("crypto",) and entry["interval"] in PERIODS:
        return PERIODS[entry["interval"]]
    years = float((dates[-1] - dates[0]) / np.timedelta64(1, "D")) / 365.25 if len(dates) > 1 else 0.0
    return (len(dates) - 1) / years if years > 0 else PERIODS["1d"]


def key_figures(columns: Mapping[str, np.ndarray], entry: Entry) -> list[dict[str, Any]]:
    """[{key, label, value, form, help}] of the whole series, measured on adjusted closes."""
    name, values, dates = _leading(columns)
    known = np.isfinite(values)
    values, dates = values[known], dates[known]
    if not len(values):
        return []
    last = {"key": "last", "label": f"Last {name}", "value": values[-1], "form": "number"}
    last["help"] = f"{name} of {prose_day(dates[-1])}" + (f", {entry['unit']}." if entry["unit"] else ".")
    if entry["kind"] not in INVESTABLE or name != "close" or not np.all(values > 0) or len(values) < 3:
        return [
            last,
            _figure("low", "Lowest", float(values.min()), "number", f"On {prose_day(dates[values.argmin()])}."),
            _figure("high", "Highest", float(values.max()), "number", f"On {prose_day(dates[values.argmax()])}."),
            _figure("mean", "Mean", float(values.mean()), "number", "Arithmetic mean of all values."),
        ]
    year = periods_per_year(entry, dates)
    a_year = f"{shown_number(year, 0)} bars a year"
    whole = can_be_adjusted(entry) or entry["adjustment"].startswith(ADJUSTED_AT)
    dividends = "with dividends reinvested" if whole else "prices only"
    return [
        last,
        _figure("total_return", "Total return", metrics.total_return(values), "signed",
                f"Last close over first close, minus 1; {dividends}."),
        _figure("cagr", "CAGR", metrics.cagr(values, year), "signed", f"The same as growth a year, {a_year}."),
        _figure("volatility", "Volatility", metrics.volatility(metrics.returns_of(values), year), "percent",
                f"Deviation of the returns from bar to bar, made yearly with {a_year}."),
        _figure("max_drawdown", "Max drawdown", metrics.max_drawdown(values), "fall",
                "Deepest fall below the highest close so far."),
        _figure("best", "Best bar", metrics.best_return(metrics.returns_of(values)), "signed",
                "Highest return from one close to the next."),
        _figure("worst", "Worst bar", metrics.worst_return(metrics.returns_of(values)), "signed",
                "Lowest return from one close to the next."),
    ]  # fmt: skip


def _figure(key: str, label: str, value: float, form: str, text: str) -> dict[str, Any]:
    return {"key": key, "label": label, "value": value, "form": form, "help": text}


def last_rows(columns: Mapping[str, np.ndarray], entry: Entry, rows: int = TABLE_ROWS) -> dict[str, Any]:
    """The newest rows, newest first: {"columns": names, "rows": [[date, cells…]]}."""
    names = [name for name in columns if name not in ("date", "dividend", "split")]
    dates = shown_dates(columns["date"][-rows:], entry)
    cells = [_cells(columns[name][-rows:]) for name in names]
    return {"columns": names, "rows": [list(row) for row in zip(dates, *cells, strict=True)][::-1]}


def _cells(values: np.ndarray) -> list[str]:
    if values.dtype.kind not in "fiu":
        return ["–" if value is None else str(value)[:80] for value in values]
    digits = digits_for(values)
    return [shown_number(float(value), digits) for value in values]


def digits_for(values: np.ndarray) -> int:
    """How many digits after the point tell these numbers: none for whole ones, two for prices, more below ten, and
    never more than they have.
    """
    known = np.abs(values[np.isfinite(values)])
    if not len(known) or np.all(known == np.floor(known)):
        return 0
    most = float(known.max())
    enough = 2 if most >= 10 else 4 if most >= 0.01 else 6
    return next((digits for digits in (2, 4) if digits < enough and _has_digits(known, digits)), enough)


def _has_digits(values: np.ndarray, digits: int) -> bool:
    return bool(np.allclose(values, np.round(values, digits), rtol=0, atol=1e-9))


def shown_number(value: float, digits: int | None = None) -> str:
    """A price, a yield or a volume with the digits that matter: 430.47, 0.0523, 12 345 678."""
    if not math.isfinite(value):
        return "–"
    if digits is None:
        digits = digits_for(np.array([value]))
    text = f"{abs(value):,.{digits}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"\N{MINUS SIGN}{text}" if value < 0 and text.strip("0.") else text


def _signed_percent(fraction: float) -> str:
    sign = "+" if fraction > 0 else "\N{MINUS SIGN}" if fraction < 0 else ""
    text = f"{abs(fraction) * 100:,.1f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{sign}{text}\N{NO-BREAK SPACE}%"


def prose_day(moment: np.datetime64) -> str:
    found = moment.astype("datetime64[m]").item()
    text = f"{found.day} {found:%b %Y}"
    return text if (found.hour, found.minute) == (0, 0) else f"{text} {found:%H:%M} UTC"
