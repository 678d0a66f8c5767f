"""Where does zipline get its bars? From the site's series, through a bundle that needs no ingestion and no network.

Every daily series with prices is an asset under its symbol. Prices are adjusted for splits and dividends over the whole
series, so the bundle has no adjustments of its own; they are not rounded, as in files of zipline.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from zipline.assets import AssetDBWriter, AssetFinder
from zipline.data.bar_reader import NoDataAfterDate, NoDataBeforeDate
from zipline.data.bundles.core import BundleData
from zipline.data.session_bars import CurrencyAwareSessionBarReader
from zipline.errors import SymbolNotFound
from zipline.pipeline.loaders.synthetic import NullAdjustmentReader

from qfp import data
from qfp.data import catalogue

__all__ = ["bundle"]

PRICES = ("open", "high", "low", "close")
# Where a series has none: zipline fills a share of a bar's volume, and of nothing it would fill nothing.
NO_VOLUME = 1e12
INTERVAL = "1d"


def bundle(calendar: Any) -> Any:
    """What zipline.data.bundles.load() returns."""
    shelf = _Shelf(calendar)
    return BundleData(
        asset_finder=_finder(shelf),
        equity_minute_bar_reader=_NoMinutes(shelf),
        equity_daily_bar_reader=_Reader(shelf),
        adjustment_reader=NullAdjustmentReader(),
    )


class _Shelf:
    """The series by number (zipline's sid), and their bars on the sessions of the calendar, read when asked for."""

    def __init__(self, calendar: Any) -> None:
        self.calendar = calendar
        self.entries = [entry for entry in catalogue.current().entries if _is_asset(entry)]
        if not self.entries:
            raise data.NoData("There are no daily series that zipline could trade.")
        self._dated()
        self._bars: dict[int, dict[str, np.ndarray]] = {}

    def _span(self) -> tuple[pd.Timestamp, pd.Timestamp]:
        first = min(pd.Timestamp(entry["first"][:10]) for entry in self.entries)
        last = max(pd.Timestamp(entry["last"][:10]) for entry in self.entries)
        return max(first, self.calendar.first_session), min(last, self.calendar.last_session)

    def _dated(self) -> None:
        self.sessions = self.calendar.sessions_in_range(*self._span())
        self.place = {session: at for at, session in enumerate(self.sessions)}

    def add(self, symbol: str) -> int | None:
        """Have a series fetched that is not there yet; its number, or None where nobody has it."""
        try:
            series = data.prices(symbol).attrs["series"]
        except data.DataError:
            return None
        self.entries.append(catalogue.current().by_id[series])
        self._dated()
        self._bars.clear()
        return len(self.entries) - 1

    def bars(self, sid: int) -> dict[str, np.ndarray]:
        if sid not in self._bars:
            entry = self.entries[sid]
            frame = data.prices(entry["id"], interval=entry["interval"])
            frame = frame.reindex(self.sessions)
            close = frame["close"].to_numpy(dtype=float)
            found = {name: frame[name].to_numpy(dtype=float) if name in frame else close for name in PRICES}
            volume = frame["volume"].fillna(0.0).to_numpy(dtype=float) if "volume" in frame else None
            there = np.flatnonzero(~np.isnan(close))
            found["span"] = there[[0, -1]] if len(there) else np.array([len(close), -1])
            found["volume"] = np.where(np.isnan(close), 0.0, NO_VOLUME) if volume is None else volume
            self._bars[sid] = found
        return self._bars[sid]


def _is_asset(entry: dict[str, Any]) -> bool:
    return entry["interval"] == INTERVAL and "close" in entry["columns"]


class _Finder(AssetFinder):
    """zipline's own, which asks for a symbol it does not know."""

    shelf: _Shelf

    def lookup_symbol(self, symbol: str, as_of_date: Any, fuzzy: bool = False, country_code: Any = None) -> Any:
        try:
            return super().lookup_symbol(symbol, as_of_date, fuzzy, country_code)
        except SymbolNotFound:
            if self.shelf.add(symbol) is None:
                raise
            self.__dict__.update(_finder(self.shelf).__dict__)
            return super().lookup_symbol(symbol, as_of_date, fuzzy, country_code)


def _finder(shelf: _Shelf) -> Any:
    import sqlalchemy

    first = [pd.Timestamp(entry["first"][:10]) for entry in shelf.entries]
    last = [pd.Timestamp(entry["last"][:10]) for entry in shelf.entries]
    # One owner for a symbol: of several series the one that data.prices() gives.
    named = catalogue.current().by_interval
    symbols = [
        entry["symbol"] if named[entry["symbol"].casefold(), INTERVAL] is entry else entry["id"].upper()
        for entry in shelf.entries
    ]
    table = pd.DataFrame(
        {
            "symbol": symbols,
            "asset_name": [entry["name"] or entry["symbol"] for entry in shelf.entries],
            "start_date": first,
            "end_date": last,
            "first_traded": first,
            "auto_close_date": [day + pd.Timedelta(days=1) for day in last],
            "exchange": "SITE",
        }
    )
    exchanges = pd.DataFrame({"exchange": ["SITE"], "canonical_name": ["SITE"], "country_code": ["US"]})
    engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.pool.StaticPool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own use of pandas
        AssetDBWriter(engine).write(equities=table, exchanges=exchanges)
    finder = _Finder(engine)
    finder.shelf = shelf
    return finder


class _Reader(CurrencyAwareSessionBarReader):
    def __init__(self, shelf: _Shelf) -> None:
        self.shelf = shelf

    @property
    def sessions(self) -> Any:
        return self.shelf.sessions

    @property
    def trading_calendar(self) -> Any:
        return self.shelf.calendar

    @property
    def first_trading_day(self) -> Any:
        return self.shelf.sessions[0]

    @property
    def last_available_dt(self) -> Any:
        return self.shelf.sessions[-1]

    def load_raw_arrays(self, columns: Any, start_date: Any, end_date: Any, assets: Any) -> list[np.ndarray]:
        sessions = self.shelf.calendar.sessions_in_range(start_date, end_date)
        at = self.shelf.sessions.get_indexer(sessions)
        tables = []
        for column in columns:
            table = np.full((len(sessions), len(assets)), 0.0 if column == "volume" else np.nan)
            for place, asset in enumerate(assets):
                table[at >= 0, place] = self.shelf.bars(int(asset))[column][at[at >= 0]]
            tables.append(table)
        return tables

    def get_value(self, sid: Any, dt: Any, field: str) -> float:
        at = self.shelf.place.get(pd.Timestamp(dt).normalize(), -1)
        bars = self.shelf.bars(int(sid))
        first, last = bars["span"]
        # Where a bar has no price, zipline goes back day by day until it is told that there is nothing.
        if at < first:
            raise NoDataBeforeDate(f"{self.shelf.entries[int(sid)]['symbol']} has no bar until {dt}")
        if at > last:
            raise NoDataAfterDate(f"{self.shelf.entries[int(sid)]['symbol']} has no bar after {dt}")
        return float(bars[field][at])

    def get_last_traded_dt(self, asset: Any, dt: Any) -> Any:
        until = self.shelf.sessions.searchsorted(pd.Timestamp(dt).normalize(), side="right")
        there = np.flatnonzero(~np.isnan(self.shelf.bars(int(asset))["close"][:until]))
        return self.shelf.sessions[there[-1]] if len(there) else pd.NaT

    def currency_codes(self, sids: Any) -> np.ndarray:
        return np.array([self.shelf.entries[int(sid)].get("currency") or "USD" for sid in sids], dtype=object)


class _NoMinutes:
    """In the place of minute bars: only their calendar and their ends are asked for."""

    data_frequency = "minute"

    def __init__(self, shelf: _Shelf) -> None:
        self.shelf = shelf
        self.trading_calendar = shelf.calendar

    @property
    def first_trading_day(self) -> Any:
        return self.shelf.sessions[0]

    @property
    def last_available_dt(self) -> Any:
        return self.shelf.calendar.session_close(self.shelf.sessions[-1])
