"""How is FRED asked? Economic series as they stand today, as they stood on a day, or as first published."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np

from marketdata.providers.connection import Answer, Connection, bad_key, odd_status
from marketdata.providers.description import Bars, Description, Limits, Question, as_float, bars_of, unreadable
from marketdata.providers.errors import ProviderError, RateLimited, UnknownSymbol

FREQUENCIES = {"D": "1d", "W": "1w", "BW": "2w", "M": "1mo", "Q": "3mo", "SA": "6mo", "A": "1y"}
FIRST = "FIRST"
HOW = 'Add "@2015-06-01" for the figures as they stood that day, "@first" for those first published.'


def fetch(question: Question, connection: Connection) -> Bars:
    """The column close. With @first also `published_after_days`, the days from a figure's date to its publication."""
    series, _, vintage = question.symbol.partition("@")
    parameters = {"series_id": series}
    if question.start:
        parameters["observation_start"] = question.start.isoformat()
    if question.end:
        parameters["observation_end"] = question.end.isoformat()
    if vintage.upper() == FIRST:
        # All releases, of which each date's first is kept.
        parameters |= {"realtime_start": "1776-07-04", "realtime_end": "9999-12-31", "output_type": "4"}
    elif vintage:
        day = _day(vintage, question.symbol)
        parameters |= {"realtime_start": day, "realtime_end": day}
    about = _about(series, connection)
    found = _ask(connection, "/fred/series/observations", parameters, series)
    observations = found.get("observations")
    if not isinstance(observations, list):
        raise unreadable(question, "FRED")
    first = vintage.upper() == FIRST
    try:
        rows = [(row["date"], _values(row, first)) for row in observations]
    except (KeyError, TypeError, ValueError):
        raise unreadable(question, "FRED") from None
    columns = ("close", "published_after_days") if first else ("close",)
    stood = {"": "as they stand today", FIRST: "as first published"}.get(vintage.upper(), f"as they stood on {vintage}")
    return bars_of(
        rows, columns, question, "FRED", **about, kind="macro", adjustment="none", notice=f"Figures {stood}."
    )


def check(connection: Connection) -> None:
    _ask(connection, "/fred/series", {"series_id": "GDP"}, "GDP")


def _values(row: dict[str, Any], first: bool) -> dict[str, Any]:
    if not first:
        return {"close": as_float(row["value"])}
    later = np.datetime64(row["realtime_start"], "D") - np.datetime64(row["date"], "D")
    return {"close": as_float(row["value"]), "published_after_days": int(later.astype(int))}


def _day(text: str, symbol: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise UnknownSymbol(f"{symbol!r} names no day after the @. {HOW}") from None


def _about(series: str, connection: Connection) -> dict[str, Any]:
    found = _ask(connection, "/fred/series", {"series_id": series}, series).get("seriess")
    about = found[0] if isinstance(found, list) and found and isinstance(found[0], dict) else {}
    return {
        "name": str(about.get("title", ""))[:200],
        "unit": str(about.get("units", ""))[:60],
        "interval": FREQUENCIES.get(str(about.get("frequency_short", "")), "1d"),
    }


def _ask(connection: Connection, path: str, parameters: dict[str, str], series: str) -> dict[str, Any]:
    answer = connection.get(path, {**parameters, "file_type": "json", "api_key": connection.key["key"]})
    if answer.status != 200:
        raise _refusal(connection, answer, series)
    return answer.json()


def _refusal(connection: Connection, answer: Answer, series: str) -> ProviderError:
    try:
        said = str(answer.json().get("error_message", "")).lower()
    except ProviderError:
        said = ""
    if "api_key" in said or answer.status in (401, 403):
        return bad_key(connection.provider)
    if "does not exist" in said or answer.status == 404:
        return UnknownSymbol(f"FRED has no series {series!r}.", _similar(series, connection))
    if "rate limit" in said:
        return RateLimited("FRED refuses for now: too many calls.")
    return odd_status(connection.provider, answer.status)


def _similar(series: str, connection: Connection) -> list[str]:
    try:
        found = connection.get(
            "/fred/series/search",
            {"search_text": series, "limit": "3", "file_type": "json", "api_key": connection.key["key"]},
        ).json()
        return [str(row["id"]) for row in found.get("seriess", [])][:3]
    except (ProviderError, KeyError, TypeError):
        return []


PROVIDER = Description(
    name="fred",
    title="FRED",
    about="Economic figures and rates of the Federal Reserve Bank of St. Louis, with what was known on which day.",
    kinds=("macro", "curve", "commodity", "credit", "fx"),
    intervals=("1d",),
    examples=("GDP", "DGS10", "CPIAUCSL@2015-06-01", "GDP@first"),
    symbols=f"The id of a series on fred.stlouisfed.org. {HOW}",
    base="https://api.stlouisfed.org",
    limits=Limits(in_flight=2, calls=((120, 60),)),
    terms="Many series are public domain, some belong to others (index providers, banks): FRED names them on the "
    "page of each series. Because a program cannot tell, what was fetched is shown to nobody else.",
    licence="FRED terms of use; see the page of the series",
    rights="personal",
    fetch=fetch,
    check=check,
    key_fields=("key",),
    key_page="https://fred.stlouisfed.org/docs/api/api_key.html",
    free_key="The free key gives everything, 120 calls a minute.",
)
