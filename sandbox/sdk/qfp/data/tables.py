"""Series and tables as they are stored: economic figures, curves, factors, and what somebody brought along."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qfp.data import catalogue, frames
from qfp.data.days import Day, between, span_of

if TYPE_CHECKING:
    import pandas as pd


def series(name: str, start: Day = None, end: Day = None) -> pd.DataFrame:
    """Any series as it is stored: economic figures, yields, factors, chains of options, or raw bars.

    name: a symbol or a series id such as "starter/macro/us_quarterly".

    Returns a DataFrame indexed by date; `attrs` names symbol, series, object, unit and snapshot. Raises
    UnknownSymbol or NoData.
    """
    entry = catalogue.find(name, fetch="series")
    frame = between(frames.stored(entry, span=span_of(start, end)), entry, start, end)
    frame.attrs = {**catalogue.origin(entry), "unit": entry["unit"]}
    return frame


def dataset(name: str, version: int | None = None) -> pd.DataFrame:
    """A table that somebody brought along.

    name: "mine/prices" for your own, "ada/prices" for one that ada shares with everybody and you chose to use.
    version: such as 2; None for the newest that this run's snapshot holds.

    Returns the table as it was confirmed on the day of its upload: indexed by `date` when it has dates (in UTC when
    they have a time), else by row. `attrs` names symbol, series, object, unit and snapshot. Raises NotEntitled when
    you have no such table or version.
    """

    wanted = name if version is None else f"{name}@{version}"
    entry = catalogue.current().by_name.get(wanted.strip().casefold()) if isinstance(name, str) else None
    if entry is None or entry["kind"] != "dataset":
        raise catalogue.not_yours(wanted)
    frame = frames.stored(entry).copy(deep=False)
    frame.attrs = {**catalogue.origin(entry), "unit": entry["unit"]}
    return frame


def curve(name: str = "ust", start: Day = None, end: Day = None) -> pd.DataFrame:
    """A yield curve by day.

    name: "ust", the par yields of US Treasuries.

    Returns a DataFrame indexed by day with a column per tenor ("1m" to "30y"), yields a year as fractions
    (0.05 is 5 %), NaN where a tenor was not issued. Raises UnknownSymbol or NoData.
    """
    entry = catalogue.find(name, kind="curve")
    return series(entry["id"], start, end)


def factors(name: str = "ff3", start: Day = None, end: Day = None) -> pd.DataFrame:
    """Returns of factors or sorted portfolios, as fractions (0.01 is 1 %): monthly and dated on the month's last day,
    but for "etf5".

    name: "ff3" (mkt_rf, smb, hml, rf), "carhart4" (with mom), "industries12", "size_value_mom", or "etf5", the daily
      returns of five factor funds.

    Returns a DataFrame indexed by date. Raises UnknownSymbol or NoData.
    """
    entry = catalogue.find(name, kind="factors")
    return series(entry["id"], start, end)
