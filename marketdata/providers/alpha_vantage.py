"""How is Alpha Vantage asked? It answers 200 to everything, refusals too, and repeats the key in some of them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from marketdata.providers.connection import Connection, bad_key, not_included, odd_status
from marketdata.providers.description import (
    BAR_COLUMNS,
    RAW,
    Bars,
    Description,
    Limits,
    Question,
    actions_of,
    bars_of,
    unreadable,
    within,
)
from marketdata.providers.errors import (
    KeyRefused,
    NoData,
    NotEntitled,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    UnknownSymbol,
)

SYMBOL = re.compile(r"[A-Z0-9.:^-]{1,20}")
# A free key gets the last 100 trading days, which are about 145 days.
COMPACT_DAYS = 130


def fetch(question: Question, connection: Connection) -> Bars:
    """The whole history with splits and dividends where the key has it; else what the last 100 days have of the days
    asked for, without them.
    """
    recent = datetime.now(UTC).date() - timedelta(days=COMPACT_DAYS)
    if question.start is not None and question.start >= recent:
        return _compact(question, connection)
    try:
        return _full(question, connection)
    except KeyRefused:
        raise
    except NotEntitled:
        pass
    try:
        bars = _compact(question, connection)
    except NoData:
        raise NotEntitled(
            "Your key for Alpha Vantage gives the last 100 trading days only; whole histories need one of its "
            f"premium plans. Ask for {question.symbol} from {recent} on, or use another provider."
        ) from None
    if question.start is None:
        return bars
    first = bars.dates[0].astype("datetime64[D]")
    return replace(
        bars,
        notice=f"Asked for from {question.start} on, but the key for Alpha Vantage gives the last 100 trading days "
        f"only, so it begins on {first}.",
    )


def check(connection: Connection) -> None:
    _ask(connection, {"function": "SYMBOL_SEARCH", "keywords": "IBM"}, "IBM")


def _full(question: Question, connection: Connection) -> Bars:
    found = _ask(
        connection,
        {"function": "TIME_SERIES_DAILY_ADJUSTED", "symbol": question.symbol, "outputsize": "full"},
        question.symbol,
    )
    rows = _rows(found, question)
    everything = bars_of(rows, (*BAR_COLUMNS, "dividend", "split"), Question(question.symbol), "Alpha Vantage")
    columns = dict(everything.columns)
    dividend, split = columns.pop("dividend"), columns.pop("split")
    if not np.all(np.isfinite(split) & (split > 0) & np.isfinite(dividend) & (dividend >= 0)):
        raise unreadable(question, "Alpha Vantage")
    bars = Bars(everything.dates, columns, actions_of(everything.dates, split, dividend), **_about())
    return within(bars, question, "Alpha Vantage")


def _compact(question: Question, connection: Connection) -> Bars:
    found = _ask(
        connection,
        {"function": "TIME_SERIES_DAILY", "symbol": question.symbol, "outputsize": "compact"},
        question.symbol,
    )
    return bars_of(
        _rows(found, question),
        BAR_COLUMNS,
        question,
        "Alpha Vantage",
        **_about() | {"adjustment": "raw; this key gives neither splits nor dividends"},
    )


def _about() -> dict[str, Any]:
    return {"adjustment": RAW, "unit": "", "zone": "America/New_York"}


NAMES = {
    "open": "1. open",
    "high": "2. high",
    "low": "3. low",
    "close": "4. close",
    "dividend": "7. dividend amount",
    "split": "8. split coefficient",
}


def _rows(found: dict[str, Any], question: Question) -> list[tuple[str, dict[str, Any]]]:
    series = found.get("Time Series (Daily)")
    if not isinstance(series, dict) or not all(isinstance(row, dict) for row in series.values()):
        raise unreadable(question, "Alpha Vantage")
    return [
        (
            day,
            {name: row.get(theirs) for name, theirs in NAMES.items()}
            | {"volume": row.get("6. volume", row.get("5. volume"))},
        )
        for day, row in series.items()
    ]


def _ask(connection: Connection, parameters: dict[str, str], symbol: str) -> dict[str, Any]:
    answer = connection.get("/query", {**parameters, "datatype": "json", "apikey": connection.key["key"]})
    if answer.status != 200:
        raise odd_status(connection.provider, answer.status)
    found = answer.json()
    if (refusal := _refusal(connection, found, symbol)) is not None:
        if isinstance(refusal, UnknownSymbol):
            refusal.nearest = _nearest(connection, symbol)
        raise refusal
    return found


def _nearest(connection: Connection, symbol: str) -> list[str]:
    """What its own search finds for a name that it does not know; none where that does not answer either."""
    asked = {"function": "SYMBOL_SEARCH", "keywords": symbol.partition(".")[0], "apikey": connection.key["key"]}
    try:
        found = connection.get("/query", asked).json().get("bestMatches")
        names = [str(each["1. symbol"]) for each in found or []]
    except (ProviderError, KeyError, TypeError):
        return []
    return [name for name in names if SYMBOL.fullmatch(name) and name != symbol][:3]


def _refusal(connection: Connection, found: dict[str, Any], symbol: str) -> ProviderError | None:
    """What a refusal means stands in its English only."""
    said = " ".join(str(found.get(name, "")) for name in ("Error Message", "Information", "Note")).strip().lower()
    if not said:
        return None
    now = datetime.now(UTC)
    if "apikey is invalid or missing" in said:
        return bad_key(connection.provider)
    # Before the other words: a refusal of "1 request per second" also names the 25 a day and the premium plans.
    if "per second" in said or "per minute" in said:
        return RateLimited("Alpha Vantage refuses for now: one call a second with a free key.")
    if "requests per day" in said or "daily rate limit" in said:
        tomorrow = (now + timedelta(days=1)).replace(hour=5, minute=0, second=0, microsecond=0)
        return QuotaExceeded(
            "Your key for Alpha Vantage has used up its calls of the day (25 with a free key). Fetch again tomorrow, "
            "or use another provider.",
            retry_at=tomorrow,
        )
    if "premium" in said:
        return not_included(connection.provider, "this history")
    if "invalid api call" in said:
        return UnknownSymbol(f"Alpha Vantage has no series {symbol!r}.")
    return RateLimited("Alpha Vantage refuses for now, without saying anything we know.")


PROVIDER = Description(
    name="alphavantage",
    title="Alpha Vantage",
    about="Daily prices of shares and funds of many exchanges.",
    kinds=("equity",),
    intervals=("1d",),
    examples=("IBM", "TSCO.LON"),
    symbols="The exchange's symbol; outside the United States with the exchange after a dot, such as TSCO.LON.",
    base="https://www.alphavantage.co",
    limits=Limits(in_flight=1, calls=((1, 1.2), (25, 24 * 3600))),
    terms="For the owner of the key; what was fetched is shown to nobody else.",
    licence="Alpha Vantage terms of service, personal use",
    rights="personal",
    fetch=fetch,
    check=check,
    key_fields=("key",),
    key_page="https://www.alphavantage.co/support/#api-key",
    free_key="A free key gives the last 100 trading days as traded, without splits and dividends; 25 calls a day, "
    "one a second.",
)
