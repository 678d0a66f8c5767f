"""Prices of instruments, alone and side by side, and the splits and dividends between them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qfp import objects, pointing
from qfp.data import catalogue, frames
from qfp.data.days import Day, between, moment_of, span_of
from qfp.data.errors import DataError, MixedAdjustment, NoData, UnknownSymbol, in_words
from qfp.data.frames import Adjust

if TYPE_CHECKING:
    import pandas as pd

NEUTRAL = "neutral"
HOLIDAYS = 7  # days without a bar that are no news


def prices(
    symbol: str,
    start: Day = None,
    end: Day = None,
    *,
    interval: str = "1d",
    adjust: Adjust = "all",
    fields: list[str] | tuple[str, ...] | None = None,
) -> pd.DataFrame:
    """Bars of one instrument.

    symbol: such as "AAPL"; upper or lower case. data.search() finds symbols.
    start, end: first and last day, both included; ISO text, date or datetime; None for no bound. With bars within a
      day, a day means all of it in UTC, and a moment without a zone is UTC.
    interval: such as "1d", "1h" or "1m"; the series must have it.
    adjust: "all" makes prices comparable over splits and dividends, "split" over splits only, None gives
      what was traded. Factors are taken over the whole series of the snapshot, so the last bar of the
      series is never changed.
    fields: such as ["close", "volume"]; None for all columns. Of bars of minutes, nothing but these and the months from
      start to end is read, which saves time and memory.

    Returns a DataFrame of floats in the unit of the series (data.info()): open, high, low, close and volume, for
    shares also dividend (per share, on its ex-date, else 0) and split (new shares for one, else 1). Series of one value
    a day, such as VIX, have the column close only. The index `date` is the trading day, without a zone, or the instant
    in UTC at which the bar begins. `attrs` names symbol, series, object, adjust (how these prices are adjusted),
    zone (the exchange's, for bars within a day) and snapshot.

    Warns where the series begins more than a week after start. Raises UnknownSymbol with the nearest names, NoData when
    nothing lies between start and end or the series does not come as asked.
    """
    if adjust not in ("all", "split", None):
        raise DataError(f'adjust must be "all", "split" or None, not {adjust!r}')
    if isinstance(fields, str):
        raise DataError(f"fields is a list of columns, such as [{fields!r}].")
    entry = _priced(symbol, interval, start, end)
    basis = _basis(entry, adjust)
    bars = frames.bars(entry["id"], adjust, fields, span_of(start, end))
    try:
        frame = between(bars, entry, start, end)
    except NoData as nothing:
        raise NoData(f"{nothing}{catalogue.reaching(entry, start, end)}") from None
    _warn_of_a_later_beginning(entry, start)
    if fields is not None:
        for field in fields:
            if field not in frame.columns:
                raise _no_column(entry, field)
        frame = frame[list(fields)]
    frame.attrs = {**catalogue.origin(entry), "adjust": None if basis == NEUTRAL else basis}
    if frame.index.tz is not None:
        frame.attrs["zone"] = entry["zone"]
    return frame


def panel(
    symbols: list[str] | tuple[str, ...],
    start: Day = None,
    end: Day = None,
    *,
    field: str = "close",
    adjust: Adjust = "all",
    interval: str | None = None,
) -> pd.DataFrame:
    """One column of several instruments side by side.

    symbols: such as ["AAPL", "MSFT"], or what data.universe() gives.
    field: open, high, low, close, volume, dividend or split.
    start, end, adjust: as for prices(). interval: None for the one that each series has.

    Returns a DataFrame with a row for every date on which any of them traded and a column per symbol, in
    the order asked for; NaN where one did not trade. Raises UnknownSymbol, NoData, or MixedAdjustment when the prices
    of one are adjusted and those of another are not.
    """
    import pandas as pd

    if isinstance(symbols, str) or not len(symbols):
        raise DataError('panel() takes a list of symbols, such as ["AAPL", "MSFT"].')
    if adjust not in ("all", "split", None):
        raise DataError(f'adjust must be "all", "split" or None, not {adjust!r}')
    entries = [_priced(symbol, interval, start, end) for symbol in symbols]
    _check_alike(entries, adjust, field)
    names = _labels(entries, symbols)
    frame = frames.kept_panel(entries, names) if (field, adjust) == ("close", "all") else None
    if frame is None:
        from qfp import panels

        parts = []
        for entry in entries:
            folder = catalogue.folder_of(entry)
            columns = frames.adjusted_columns(folder, entry, adjust, [field], span_of(start, end))
            if field not in columns:
                raise _no_column(entry, field)
            parts.append((columns["date"], columns[field]))
        dates, values = panels.line_up(parts)
        frame = pd.DataFrame(values.T, index=frames.index_of(dates, entries[0]), columns=names, copy=False)
    frame = between(frame, None, start, end)
    if frame.empty:
        raise NoData(f"None of them has anything between {start or 'the beginning'} and {end or 'the end'}.")
    return frame


def actions(symbol: str, start: Day = None, end: Day = None) -> pd.DataFrame:
    """Splits and dividends of a share by ex-date.

    Returns a DataFrame indexed by ex-date with the columns split (new shares for one; 1 for none) and
    dividend (cash a share of that day, in the share's currency; 0 for none), no rows when there were none. Raises
    UnknownSymbol.
    """
    import pandas as pd

    entry = catalogue.find(symbol, fetch="prices")
    if not entry["actions"]:
        return pd.DataFrame({"split": [], "dividend": []}, index=pd.DatetimeIndex([], name="date"), dtype="float64")
    columns = objects.read(catalogue.folder_of(entry), entry["actions"])
    return between(frames.frame_of(columns, entry), None, start, end)


def _priced(symbol: str, interval: str | None, start: Day = None, end: Day = None) -> dict[str, Any]:
    entry = catalogue.find(symbol, interval=interval, fetch="prices", days=(start, end))
    lacks = interval not in (None, "1d", entry["interval"]) or _is_wider(entry, start, end)
    if lacks:
        with suppress(UnknownSymbol):  # nobody has it so; what there is is told below
            entry = catalogue.have_fetched(symbol, "prices", interval or entry["interval"], (start, end)) or entry
    if "close" not in entry["columns"]:
        raise NoData(f"{entry['symbol']} has no prices; use data.series({entry['symbol']!r}).")
    if interval is not None and entry["interval"] != interval:
        raise NoData(
            f"{entry['symbol']} comes at the interval {entry['interval']!r}, not {interval!r}; "
            f"ask for it with interval={entry['interval']!r}."
        )
    return entry


def _warn_of_a_later_beginning(entry: Mapping[str, Any], start: Day) -> None:
    if start is None or not entry["first"]:
        return
    asked, first = (moment_of(day, "start").astype("datetime64[D]") for day in (start, entry["first"][:10]))
    if (first - asked).astype(int) > HOLIDAYS:
        pointing.warn(f"The bars of {entry['symbol']} begin on {first}; there are none from {asked} until then.")


def _no_column(entry: Mapping[str, Any], field: str) -> NoData:
    held = [*entry["columns"], *(("dividend", "split") if entry["actions"] else ())]
    return NoData(f"{entry['symbol']} has no column {field!r}; it has {in_words(held, 'and')}.")


def _is_wider(entry: Mapping[str, Any], start: Day, end: Day) -> bool:
    """Whether more days are asked for than were fetched for this program: bars within a day come in parts."""
    first, last = catalogue.current().days.get(entry["id"], (None, None))
    begins = first is not None and (start is None or moment_of(start, "start") < moment_of(first, "start"))
    ends = last is not None and (end is None or moment_of(end, "end").astype("datetime64[D]") > moment_of(last, "end"))
    return begins or ends


def _basis(entry: dict[str, Any], adjust: Adjust) -> str | None:
    """How the prices that come out are adjusted. Raises NoData for prices that nobody has."""
    if entry["actions"]:
        return adjust
    if entry["adjustment"].startswith("adjusted"):
        if adjust != "all":
            raise NoData(
                f"{entry['symbol']} ({entry['id']}) comes only adjusted for splits and dividends; there are no prices "
                'as they were traded. Ask for it with adjust="all", and do not set it beside unadjusted prices.'
            )
        return "all"
    # Bars as traded, of which no splits or dividends are known, are not adjusted by anything.
    return None if entry["adjustment"].startswith("raw") else NEUTRAL


def _check_alike(entries: list[dict[str, Any]], adjust: Adjust, field: str) -> None:
    if field not in ("open", "high", "low", "close"):
        return
    try:
        bases = {_basis(entry, adjust): entry for entry in entries}
    except NoData as error:
        raise MixedAdjustment(str(error)) if len(entries) > 1 else error from None
    bases.pop(NEUTRAL, None)
    if len(bases) > 1:
        raw, other = bases.pop(None), bases.popitem()[1]
        raise MixedAdjustment(
            f"{raw['symbol']} is unadjusted (its splits and dividends are not known), {other['symbol']} would be "
            "adjusted: their prices do not go together. Ask for both with adjust=None."
        )
    if len({entry["interval"].endswith(("m", "h")) for entry in entries}) > 1:
        raise DataError("Daily bars and bars within a day do not line up; ask for one kind with interval=.")


def _labels(entries: list[dict[str, Any]], symbols: Any) -> list[str]:
    """Symbols as columns; as they were asked for where two have the same."""
    names = [entry["symbol"] for entry in entries]
    if len(set(names)) < len(names):
        names = [str(symbol) for symbol in symbols]
    if len(set(names)) < len(names):
        raise DataError("A symbol stands twice in the list of panel().")
    return names
