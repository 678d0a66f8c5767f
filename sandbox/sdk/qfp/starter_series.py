"""What is in the starter catalogue? Every series with what must be said of it. Those that were observed and may be used
for anything are read here; those for education alone, and those that are made up, stand beside.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from qfp.publication import DAYS_LATER
from qfp.starter_education import factor_funds, twenty_shares, universe_of_twenty
from qfp.starter_invented import made_up_markets, made_up_options, made_up_shares, made_up_universe
from qfp.starter_tables import Made, StarterDataError, month_end, read_table

__all__ = ["catalogue", "tier", "universes"]

PUBLIC_DOMAIN = "public domain (declared by the source)"
US_GOVERNMENT = "US government work, public domain; packaged under Apache-2.0"
# Days from a quarter's end to its first estimate of the gross domestic product, as the Bureau of Economic Analysis
# schedules it; prices and employment are earlier.
QUARTER_PUBLISHED = 30.0
FRED_NOTE = "Package licence is open; the underlying source is FRED."


def catalogue(sources: Path, education: bool = True) -> Iterator[Made]:
    """education: with those that their package gives for education alone."""
    yield from _shares(sources)
    indices, values, curve = list(_indices(sources)), list(_single_values(sources)), _treasury_curve(sources)
    yield from indices
    yield from values
    yield curve
    yield from _factor_sets(sources)
    yield _macro(sources)
    if education:
        yield from twenty_shares(sources)
        yield factor_funds(sources)
    yield from made_up_markets()
    yield from made_up_shares()
    named = {made.about["symbol"]: made for made in (*indices, *values)}
    yield made_up_options(named["SPX"], named["VIX"], curve)


def universes(education: bool = True) -> list[dict[str, Any]]:
    """The sets of instruments with their members by date, as they stand in the manifest."""
    return [*([universe_of_twenty()] if education else []), made_up_universe()]


# By where a series is from: A public domain, B open, C for education, S synthetic.
TIERS = {
    "starter/us/": "A",
    "starter/rates/": "A",
    "starter/": "B",
    "starter/panel/": "C",
    "starter/factors/etf5": "C",
    "synth/": "S",
}


def tier(series: str) -> str:
    return TIERS[max((place for place in TIERS if series.startswith(place)), key=len)]


SHARES = {
    "AAPL": ("Apple Inc.", ["Apple"]),
    "FB": ("Facebook Inc. (since 2022 Meta Platforms, META)", ["META", "Facebook"]),
    "GOOG": ("Google Inc. (class A; since 2014 GOOGL)", ["GOOGL", "Google", "Alphabet"]),
    "IBM": ("International Business Machines Corp.", []),
    "MSFT": ("Microsoft Corp.", ["Microsoft"]),
}


def _shares(sources: Path) -> Iterator[Made]:
    frame = read_table(sources / "bokeh_sampledata/_data/stocks.csv.gz")
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
        bars = read_table(sources / f"arch/data/{folder}/{folder}.csv.gz")
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
        frame = read_table(sources / f"arch/data/{folder}/{file}.csv.gz")
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
    frame = read_table(sources / "zipline/resources/market_data/treasury_curves.csv")
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

    frame = read_table(sources / "arch/data/frenchdata/frenchdata.csv.gz")
    months = month_end(frame.days("Date", "%Y%m"))
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
    frame = read_table(sources / "linearmodels/datasets/french/french.csv.bz2")
    months = month_end(frame.days("dates", "%Y-%m-%d"))
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
    frame = read_table(sources / "statsmodels/datasets/macrodata/macrodata.csv")
    years, quarters = frame.numbers("year").astype(np.int64), frame.numbers("quarter").astype(np.int64)
    starts = ((years - 1970) * 12 + (quarters - 1) * 3).astype("datetime64[M]")
    percent = {"tbilrate", "unemp", "infl", "realint"}
    columns = {
        name: np.round(frame.numbers(name) / 100, 8) if name in percent else frame.numbers(name)
        for name in frame
        if name not in ("year", "quarter")
    }
    columns[DAYS_LATER] = np.full(len(years), QUARTER_PUBLISHED)
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
            "quality": "Dated on the last day of the quarter; values as revised until 2009.",
            "survivorship": "not applicable",
            "notice": "tbilrate, unemp, infl and realint as fractions. The first estimate of a quarter is published "
            "about 30 days after it (published_after_days); a backtest must not use it on its own date.",
        },
        month_end(starts, 3),
        columns,
    )
