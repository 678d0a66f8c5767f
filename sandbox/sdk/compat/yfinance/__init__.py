"""What does code find that says `import yfinance`? Its prices, in its form, from the snapshot of the run.

download(), Ticker.history(), actions, dividends and splits have the index, columns and values of yfinance; the bars
are those of qfp.data, and what the snapshot lacks is fetched outside of the box. A period such as "1y" ends with the
last bar of the series, not today, so that a run can be made again. What is not offered says what to use instead.
The first series that is read says where it comes from.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from qfp import channel, data
from qfp.data import catalogue

__all__ = ["Ticker", "Tickers", "download"]
__version__ = "1.7.0"  # whose form the frames have

ADJUSTED = ["Adj Open", "Adj High", "Adj Low"]
PRICES = ["Open", "High", "Low", "Close"]
_INTERVALS = {"1d": "1d", "1h": "1h", "60m": "1h", **{name: name for name in ("1m", "5m", "15m", "4h")}}
_INSTEAD = {
    "info": "data.info(symbol) says what is known of a series",
    "fast_info": "data.info(symbol) says what is known of a series",
    "Search": "data.search(text) finds series",
    "Lookup": "data.search(text) finds series",
    "options": 'data.series("SPX_chain") has a chain of options',
    "option_chain": 'data.series("SPX_chain") has a chain of options',
}


_told = False  # where prices come from here; once is enough


class NotOffered(AttributeError):
    """A part of yfinance that is not here; the sentence says what is."""

    def __init__(self, name: str) -> None:
        instead = _INSTEAD.get(name, "data.prices(), data.actions() and data.search() of qfp give what there is")
        super().__init__(f"yfinance's {name} is not available here; {instead} (from qfp import data).")


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise NotOffered(name)


def download(
    tickers: str | Iterable[str],
    start: Any = None,
    end: Any = None,
    actions: bool = False,
    threads: Any = True,
    ignore_tz: bool | None = None,
    group_by: str = "column",
    auto_adjust: bool = True,
    back_adjust: bool = False,
    repair: bool = False,
    keepna: bool = False,
    progress: bool = True,
    period: str | None = None,
    interval: str = "1d",
    prepost: bool = False,
    rounding: bool = False,
    timeout: Any = 10,
    session: Any = None,
    multi_level_index: bool = True,
) -> pd.DataFrame:
    """Bars of one or several tickers, a column for each kind of price and ticker. `end` is not included.

    A ticker that cannot be had is a column of NaN and a warning; when none can be, the error of qfp.data is raised.
    """
    names = tickers.replace(",", " ").split() if isinstance(tickers, str) else list(tickers)
    names = list(dict.fromkeys(name.upper() for name in names))
    if not names:
        raise ValueError('download() takes tickers, such as "AAPL MSFT".')
    frames: dict[str, pd.DataFrame | None] = {}
    problem = None
    for name in names:
        try:
            frames[name] = Ticker(name).history(
                period, interval, start, end, prepost, actions, auto_adjust, back_adjust, repair, keepna, rounding
            )
        except (data.UnknownSymbol, data.NoData) as refusal:
            frames[name], problem = None, refusal
            if len(names) > 1:
                warnings.warn(f"{name} is empty: {refusal}", stacklevel=2)
    found = [frame for frame in frames.values() if frame is not None]
    if not found:
        assert problem is not None
        raise problem
    if ignore_tz is None:
        ignore_tz = interval[-1] not in "mh"
    zones = [str(frame.index.tz) for frame in found]
    zone = None if ignore_tz else max(zones, key=zones.count)
    for frame in found:
        frame.index = frame.index.tz_localize(None) if ignore_tz else frame.index.tz_convert(zone)
    index = found[0].index
    for frame in found[1:]:
        index = index.union(frame.index)
    empty = pd.DataFrame(np.nan, index=index, columns=found[0].columns)
    whole = pd.concat(
        [empty if frame is None else frame.reindex(index) for frame in frames.values()],
        axis=1,
        keys=names,
        names=["Ticker", "Price"],
    )
    if group_by == "column":
        whole.columns = whole.columns.swaplevel(0, 1)
        whole = whole.sort_index(level=0, axis=1)
    if not multi_level_index and len(names) == 1:
        whole = whole.droplevel(0 if group_by == "ticker" else 1, axis=1).rename_axis(None, axis=1)
    return whole


class Ticker:
    """One instrument."""

    def __init__(self, ticker: str, session: Any = None) -> None:
        self.ticker = ticker.upper()

    def __repr__(self) -> str:
        return f"yfinance.Ticker object <{self.ticker}>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise NotOffered(name)

    def history(
        self,
        period: str | None = None,
        interval: str = "1d",
        start: Any = None,
        end: Any = None,
        prepost: bool = False,
        actions: bool = True,
        auto_adjust: bool = True,
        back_adjust: bool = False,
        repair: bool = False,
        keepna: bool = False,
        rounding: bool = False,
        timeout: Any = 10,
        raise_errors: bool = True,
    ) -> pd.DataFrame:
        """Bars with the exchange's time in their index. `end` is not included. Raises the errors of qfp.data."""
        if interval not in _INTERVALS:
            raise ValueError(
                f"Bars of {interval!r} are not available here; make them from daily ones, such as those of weeks by "
                'history(interval="1d").resample("W").agg(OHLCV_AGG), with OHLCV_AGG from qfp.backtesting.lib.'
            )
        for name, asked in (("prepost", prepost), ("repair", repair)):
            if asked:
                raise ValueError(f"{name}=True is not available here; leave it out.")
        whole = _bars(self.ticker, _INTERVALS[interval], start, end)
        frame = _within(whole, period, start, end)
        if frame.empty:
            there = f"{whole.index[0]:%Y-%m-%d} to {whole.index[-1]:%Y-%m-%d}"
            raise data.NoData(
                f"{self.ticker} has nothing in these days: here it goes from {there}."
                f"{catalogue.reaching(catalogue.find(self.ticker, interval=_INTERVALS[interval]), start, end)}"
            )
        _tell(self.ticker, _INTERVALS[interval], period, start, end, frame)
        if auto_adjust or back_adjust:
            frame[PRICES[:3]] = frame[ADJUSTED]
        frame = frame.drop(columns=ADJUSTED)
        if auto_adjust:
            frame["Close"] = frame["Adj Close"]
        if auto_adjust or back_adjust:
            frame = frame.drop(columns="Adj Close")
        if rounding:
            frame = frame.round(2)
        frame["Volume"] = np.rint(frame["Volume"].fillna(0)).astype(np.int64)
        if not actions:
            frame = frame.drop(columns=["Dividends", "Stock Splits"])
        return frame

    @property
    def actions(self) -> pd.DataFrame:
        """Dividends and splits by day; a column only where there were some."""
        found = self.get_actions()
        return found.loc[:, (found != 0).any()]

    def get_actions(self) -> pd.DataFrame:
        frame = _bars(self.ticker, "1d", None, None)[["Dividends", "Stock Splits"]]
        return frame[(frame != 0).any(axis=1)]

    @property
    def dividends(self) -> pd.Series:
        """Cash a share, in shares of today, by ex-date."""
        return _events(self.get_actions()["Dividends"])

    @property
    def splits(self) -> pd.Series:
        """New shares for one, by day."""
        return _events(self.get_actions()["Stock Splits"])

    def get_dividends(self) -> pd.Series:
        return self.dividends

    def get_splits(self) -> pd.Series:
        return self.splits


class Tickers:
    """Several instruments: .tickers by name, and their bars side by side."""

    def __init__(self, tickers: str | Iterable[str], session: Any = None) -> None:
        names = tickers.replace(",", " ").split() if isinstance(tickers, str) else list(tickers)
        self.symbols = [name.upper() for name in names]
        self.tickers = {name: Ticker(name) for name in self.symbols}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise NotOffered(name)

    def history(self, **named: Any) -> pd.DataFrame:
        return download(self.symbols, **{"actions": True, **named})

    def download(self, **named: Any) -> pd.DataFrame:
        return self.history(**named)


def _events(values: pd.Series) -> pd.Series:
    found = values[values != 0]
    if found.empty:
        return pd.Series()
    return found.set_axis(found.index.as_unit("us"))


def _bars(symbol: str, interval: str, start: Any, end: Any) -> pd.DataFrame:
    """All of a series as Yahoo gives it: split-adjusted, and beside it what is adjusted for dividends, too."""
    entry = catalogue.find(symbol, interval=interval, fetch="prices", days=(start, end), prefer="yahoo")
    name = entry["id"] if entry["interval"] == interval else symbol
    days = (None, None) if interval == "1d" else (start, end)
    whole = data.prices(name, *days, interval=interval)
    try:
        split = data.prices(name, *days, interval=interval, adjust="split")
    except data.NoData:
        split = whole  # comes only adjusted for dividends, too
    close = split["close"]
    columns = {title: split.get(title.lower(), close) for title in PRICES}
    nothing = pd.Series(0.0, index=split.index)
    # Not by the ratio of the closes, whose last digits would be others than those of the series.
    columns |= {name: whole.get(title.lower(), whole["close"]) for name, title in zip(ADJUSTED, PRICES, strict=False)}
    columns |= {
        "Adj Close": whole["close"],
        "Volume": split.get("volume", nothing),
        "Dividends": split.get("dividend", nothing),
        "Stock Splits": split["split"].where(split["split"] != 1, 0.0) if "split" in split else nothing,
    }
    frame = pd.DataFrame(columns)
    zone = entry.get("zone") or ("America/New_York" if entry.get("currency", "USD") in ("USD", "") else "UTC")
    if frame.index.tz is None:
        frame.index = frame.index.as_unit("s").tz_localize(zone, ambiguous=True, nonexistent="shift_forward")
        frame.index.name = "Date"
    else:
        frame.index = frame.index.as_unit("s").tz_convert(zone)
        frame.index.name = "Datetime"
    return frame


def _tell(ticker: str, interval: str, period: str | None, start: Any, end: Any, frame: pd.DataFrame) -> None:
    """Say what was asked of yfinance and what is given instead, of the first series of a program."""
    global _told
    if _told:
        return
    _told = True
    entry = catalogue.find(ticker, interval=interval)
    span = period or " to ".join("the last" if day is None else str(day)[:10] for day in (start or "the first", end))
    source = f" ({entry['source']})" if entry.get("source") else ""
    text = (
        f"yfinance is this site's own here: it reads the data of the site. Asked for {ticker}, {interval}, {span}; "
        f"given {entry['id']}{source}, {frame.index[0]:%Y-%m-%d} to {frame.index[-1]:%Y-%m-%d}, {len(frame):,} bars, "
        f"of snapshot {catalogue.current().snapshot[:12]}. Other series of this program likewise."
    )
    channel.emit({"type": "notice", "text": text})


def _within(frame: pd.DataFrame, period: str | None, start: Any, end: Any) -> pd.DataFrame:
    zone = frame.index.tz
    first, behind = _moment(start, zone), _moment(end, zone)
    if period is not None and start is not None and end is not None:
        raise ValueError("Give start and end, or a period with one of them.")
    if period is None and start is None:
        period = "1mo"
    if period is not None and period != "max":
        if start is not None:
            behind = first + _length(period)
        elif period[-1] == "d" and end is None:
            days = frame.index.normalize()
            first = days.unique()[-min(int(period[:-1]), days.nunique())]
        else:
            last = behind if behind is not None else frame.index[-1].normalize()
            first = last.replace(month=1, day=1) if period == "ytd" else last - _length(period)
    if first is not None:
        frame = frame[frame.index >= first]
    return frame if behind is None else frame[frame.index < behind]


def _length(period: str) -> pd.DateOffset:
    units = {"d": "days", "wk": "weeks", "mo": "months", "y": "years"}
    number = period.rstrip("dwkmoy")
    unit = units.get(period[len(number) :])
    if unit is None or not number.isdigit():
        raise ValueError(f"{period!r} is no period; such are 5d, 1mo, 1y, ytd and max.")
    return pd.DateOffset(**{unit: int(number)})


def _moment(day: Any, zone: Any) -> pd.Timestamp | None:
    if day is None:
        return None
    moment = pd.Timestamp(day, unit="s") if isinstance(day, int) else pd.Timestamp(day)
    return moment.tz_localize(zone) if moment.tzinfo is None else moment.tz_convert(zone)
