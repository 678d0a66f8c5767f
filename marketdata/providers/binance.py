"""How is Binance asked? Candles of crypto pairs without a key, a thousand at a time."""

from __future__ import annotations

import difflib
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from marketdata.providers.connection import Answer, Connection, odd_status
from marketdata.providers.description import (
    BAR_COLUMNS,
    Bars,
    Description,
    Limits,
    Question,
    as_float,
    nothing,
    unreadable,
    within,
)
from marketdata.providers.errors import NotEntitled, ProviderError, QuotaExceeded, UnknownSymbol

STEPS = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 4 * 3600, "1d": 24 * 3600}
PAGE = 1000
PAGES = 150
OPENED = datetime(2017, 7, 1, tzinfo=UTC)
KNOWN = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT", "DOGEUSDT", "BTCUSDC", "ETHUSDC", "ETHBTC")
QUOTES = ("USDT", "USDC", "FDUSD", "BTC", "ETH", "BNB", "EUR", "TRY")


def fetch(question: Question, connection: Connection) -> Bars:
    """Only bars that have ended: one that is still going on would be another a minute later."""
    step = STEPS[question.interval] * 1000
    begin = datetime.combine(question.start, datetime.min.time(), UTC) if question.start else OPENED
    end = datetime.now(UTC)
    if question.end:
        end = min(end, datetime.combine(question.end, datetime.min.time(), UTC) + timedelta(days=1))
    position, last = (int(moment.timestamp() * 1000) for moment in (begin, end))
    if (last - position) / step > PAGE * PAGES:
        raise QuotaExceeded(
            f"{question.symbol} at {question.interval} over these days is more than {PAGE * PAGES} bars. Ask for "
            "fewer days, or a longer interval."
        )
    rows: list[list[Any]] = []
    while position < last:
        page = _page(question, connection, position, last - 1)
        rows += page
        if len(page) < PAGE:
            break
        position = int(page[-1][0]) + step
    try:
        rows = [row for row in rows if int(row[6]) < last]
        values = {name: np.array([as_float(row[i]) for row in rows]) for i, name in enumerate(BAR_COLUMNS, start=1)}
        dates = np.array([int(row[0]) for row in rows], dtype="datetime64[ms]").astype("datetime64[us]")
    except (ValueError, TypeError, IndexError):
        raise unreadable(question, "Binance") from None
    if not rows:
        raise nothing(question, "Binance")
    bars = Bars(
        dates,
        values,
        kind="crypto",
        interval=question.interval,
        exchange="Binance",
        unit=next((quote for quote in QUOTES if question.symbol.endswith(quote)), ""),
        zone="UTC",
        adjustment="none",
        notice="A day goes from midnight to midnight UTC. Volume is in the first currency of the pair.",
    )
    return within(bars, question, "Binance")


def check(connection: Connection) -> None:
    """There is no key to look at."""


def _page(question: Question, connection: Connection, begin: int, end: int) -> list[list[Any]]:
    answer = connection.get(
        "/api/v3/klines",
        {
            "symbol": question.symbol,
            "interval": question.interval,
            "startTime": begin,
            "endTime": end,
            "limit": PAGE,
        },
    )
    if answer.status != 200:
        raise _refusal(connection, answer, question.symbol)
    page = answer.json(list)
    if not all(isinstance(row, list) and len(row) > 6 for row in page):
        raise unreadable(question, "Binance")
    # Whoever answers with the same page again and again must not keep us for ever.
    if len(page) == PAGE and as_float(page[-1][0]) < begin:
        raise unreadable(question, "Binance")
    return page


def _refusal(connection: Connection, answer: Answer, symbol: str) -> ProviderError:
    try:
        code = answer.json().get("code")
    except ProviderError:
        code = None
    if code in (-1121, -1100):
        return UnknownSymbol(
            f"Binance has no pair {symbol!r}. Pairs are written without a sign between, such as BTCUSDT.",
            difflib.get_close_matches(symbol, KNOWN, n=3, cutoff=0.0),
        )
    if answer.status in (403, 451):
        return NotEntitled(
            "Binance does not serve the place where this site runs. The operator can set another address in "
            "PROVIDER_URLS; until then use another provider."
        )
    return odd_status(connection.provider, answer.status)


PROVIDER = Description(
    name="binance",
    title="Binance",
    about="Candles of crypto pairs, from minutes to days.",
    kinds=("crypto",),
    intervals=tuple(STEPS),
    examples=("BTCUSDT", "ETHBTC"),
    symbols="The pair without a sign between, such as BTCUSDT.",
    base="https://api.binance.com",
    limits=Limits(in_flight=2, calls=((10, 1), (1000, 60)), per="site"),
    terms="For whoever fetched it; what was fetched is shown to nobody else. Not served in some countries.",
    licence="Binance terms of use, personal use",
    rights="personal",
    fetch=fetch,
    check=check,
    free_key="No key is needed.",
)
