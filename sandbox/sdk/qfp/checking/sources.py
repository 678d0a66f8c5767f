"""Where does a program get its data? From qfp.data and from files: for a test, all of them give other data after a day.

A row counts by the day it became public, where the table says so, and otherwise by its date: a day, or the month that
it stands for, is known at its end.
"""

from __future__ import annotations

import functools
import sys
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from qfp.checking.apart import Told
from qfp.checking.variations import from_the_open, other_stays, other_tail, other_values
from qfp.periods import known_since
from qfp.publication import DAYS_LATER, NAMES

__all__ = ["Sources", "known_at"]

OF_DATA = ("prices", "panel", "actions", "series", "dataset", "curve", "factors")
OF_PANDAS = ("read_csv", "read_table", "read_excel", "read_parquet", "read_feather", "read_json", "read_pickle")
SAMPLES = ("GOOG", "EURUSD", "BTCUSD")  # of backtesting.test


class Sources:
    """All sources of this process, varied after `moment`, for the rest of its life.

    moment: a midnight without a zone stands for its day. traded: whether all tables are bars that are traded on their
    dates, whatever those stand for.
    """

    def __init__(self, moment: pd.Timestamp, tail: int, seed: int, jump: float = 0.0, *, traded: bool = False) -> None:
        self.moment, self.tail, self.seed, self.jump = moment, tail, seed, jump
        self.traded = traded
        self.touched = 0  # tables that have rows after the moment

    def vary(self) -> None:
        from qfp import data

        for name in OF_DATA:
            setattr(data, name, self._varying(getattr(data, name)))
        for name in OF_PANDAS:
            setattr(pd, name, self._varying(getattr(pd, name)))
        self._vary_members()
        samples = sys.modules.get("backtesting.test")  # only if the program has loaded it
        for name in SAMPLES:
            frame = getattr(samples, name, None)
            if isinstance(frame, pd.DataFrame):
                setattr(samples, name, self.frame(frame, name))

    def _vary_members(self) -> None:
        """Of all universes: who will have left or come is told by no bar. Only where the program has read any data."""
        from qfp.data import catalogue

        if not catalogue.current.cache_info().currsize:
            return
        universes, day = catalogue.current().universes, str(self.moment.date())
        for name, universe in universes.items():
            seed = zlib.crc32(f"{name} {self.seed}".encode())
            universes[name] = {**universe, "members": other_stays(universe["members"], day, self.tail, seed)}

    def _varying(self, source: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(source)
        def varied(*args: Any, **kwargs: Any) -> Any:
            found = source(*args, **kwargs)
            if isinstance(found, (pd.DataFrame, pd.Series)):
                return self.frame(found, repr((source.__name__, args[:1])))
            return found

        return varied

    def frame(self, frame: Any, name: str) -> Any:
        """The table with other rows after the moment, or without them."""
        dates = known_at(frame)
        if dates is None or not len(dates):
            return frame
        known, bound = dates if self.traded else _since(dates), self._bound(dates)
        after = known > bound
        if not after.any():
            return frame
        self.touched += 1
        attrs = frame.attrs
        if not self.tail:
            varied = frame[~after]
            if not len(varied):
                raise Told("one of its series has nothing before the day at which the data were cut")
        else:
            seed = zlib.crc32(f"{name} {self.seed}".encode())
            one_column = isinstance(frame, pd.Series)
            table = frame.to_frame() if one_column else frame
            head = int(np.argmax(after))
            last = bool(after[head:].all())
            varied = other_tail(table, head, self.tail, seed, self.jump) if last else _rows(table, after, self, seed)
            if last and dates[head] <= bound and "open" in table.columns:  # it has begun
                parts = [{name: each[name].to_numpy() for name in each.columns} for each in (table, varied)]
                varied = varied.assign(**from_the_open(parts[0], parts[1], head))
            varied = varied.iloc[:, 0] if one_column else varied
        varied.attrs = attrs
        return varied

    def _bound(self, known: pd.DatetimeIndex) -> pd.Timestamp:
        moment = self.moment
        if moment.tz is None and moment == moment.normalize():  # a day counts to its end
            moment += pd.Timedelta(days=1) - pd.Timedelta(microseconds=1)
        if known.tz is not None and moment.tz is None:
            return moment.tz_localize(known.tz)
        if known.tz is None and moment.tz is not None:
            return moment.tz_convert("UTC").tz_localize(None)
        return moment


def _rows(table: pd.DataFrame, after: np.ndarray, sources: Sources, seed: int) -> pd.DataFrame:
    """Rows that are not the last ones get other values where they stand."""
    random = np.random.default_rng(seed)
    order = np.argsort(after, kind="stable")
    head = int((~after).sum())
    new = table.copy()
    for name in table.columns:
        if pd.api.types.is_datetime64_any_dtype(table[name]):
            continue
        column = table[name].to_numpy(copy=True)
        values = other_values(column[order], head, random, sources.tail)
        column[order[head:]] = values.astype(column.dtype, copy=False) if column.dtype.kind != "O" else values
        new[name] = column
    return new


def _since(dates: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """When rows of these dates are known."""
    if dates.tz is not None or (dates != dates.normalize())[~dates.isna()].any():
        return dates
    each, places = np.unique(dates.dropna().as_unit("us").to_numpy(), return_inverse=True)
    known = np.full(len(dates), np.datetime64("NaT", "us"))
    known[~dates.isna()] = known_since(each)[places]
    return pd.DatetimeIndex(known)


def known_at(frame: Any) -> pd.DatetimeIndex | None:
    """When each row became known; None where nothing says it."""
    columns = {str(name).casefold().replace(" ", "_"): name for name in getattr(frame, "columns", ())}
    published = next((columns[name] for name in NAMES if name in columns), None)
    if published is not None:
        return _moments(frame[published])
    index = frame.index
    if isinstance(index, pd.MultiIndex):
        levels = [index.get_level_values(at) for at in range(index.nlevels)]
        index = next((level for level in levels if isinstance(level, pd.DatetimeIndex)), index)
    if isinstance(index, pd.DatetimeIndex):
        later = columns.get(DAYS_LATER.casefold())
        return index if later is None else index + pd.to_timedelta(frame[later].fillna(0).to_numpy(), unit="D")
    if index.dtype == object and len(index) and (found := _moments(index)) is not None:
        return found
    for key in ("date", "datetime", "timestamp", "time", "day"):
        if key in columns and (found := _moments(frame[columns[key]])) is not None:
            return found
    return None


def _moments(values: Any) -> pd.DatetimeIndex | None:
    if getattr(values, "dtype", None) is not None and pd.api.types.is_numeric_dtype(values.dtype):
        return None
    try:
        found = pd.DatetimeIndex(pd.to_datetime(np.asarray(values), errors="coerce"))
    except (ValueError, TypeError):
        return None
    return found if len(found) and not found.isna().all() else None
