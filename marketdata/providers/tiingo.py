"""How is Tiingo asked? Prices as traded, with dividend and split of the day beside them: our own form."""

from __future__ import annotations

import numpy as np

from marketdata.providers.connection import Connection, bad_key, in_path, not_included, odd_status
from marketdata.providers.description import (
    BAR_COLUMNS,
    Bars,
    Description,
    Limits,
    Question,
    actions_of,
    bars_of,
    unreadable,
    within,
)
from marketdata.providers.errors import ProviderError, UnknownSymbol


def fetch(question: Question, connection: Connection) -> Bars:
    parameters = {"format": "json", "startDate": (question.start.isoformat() if question.start else "1900-01-01")}
    if question.end:
        parameters["endDate"] = question.end.isoformat()
    answer = connection.get(f"/tiingo/daily/{in_path(question.symbol)}/prices", parameters, _header(connection))
    if answer.status == 404:
        raise UnknownSymbol(f"Tiingo has no share {question.symbol!r}.", _similar(question.symbol, connection))
    _look(connection, answer.status, question.symbol)
    rows = answer.json(list)
    try:
        days = [(row["date"][:10], row) for row in rows]
    except (KeyError, TypeError):
        raise unreadable(question, "Tiingo") from None
    bars = bars_of(days, (*BAR_COLUMNS, "divCash", "splitFactor"), question, "Tiingo", currency="USD", unit="USD")
    columns = dict(bars.columns)
    dividend, split = columns.pop("divCash"), columns.pop("splitFactor")
    if not np.all(np.isfinite(split) & (split > 0) & np.isfinite(dividend) & (dividend >= 0)):
        raise unreadable(question, "Tiingo")
    actions = actions_of(bars.dates, split, dividend)
    return within(Bars(**{**bars.__dict__, "columns": columns, "actions": actions}), question, "Tiingo")


def check(connection: Connection) -> None:
    answer = connection.get("/api/test", headers=_header(connection))
    _look(connection, answer.status, "anything")


def _header(connection: Connection) -> dict[str, str]:
    return {"Authorization": f"Token {connection.key['key']}"}


def _look(connection: Connection, status: int, symbol: str) -> None:
    if status == 401:
        raise bad_key(connection.provider)
    if status == 403:
        raise not_included(connection.provider, symbol)
    if status != 200:
        raise odd_status(connection.provider, status)


def _similar(symbol: str, connection: Connection) -> list[str]:
    try:
        found = connection.get("/tiingo/utilities/search", {"query": symbol, "limit": "3"}, _header(connection)).json(
            list
        )
        return [str(row["ticker"]).upper() for row in found][:3]
    except (ProviderError, KeyError, TypeError):
        return []


PROVIDER = Description(
    name="tiingo",
    title="Tiingo",
    about="Daily prices of shares and funds of the United States, as traded, with splits and dividends.",
    kinds=("equity",),
    intervals=("1d",),
    examples=("AAPL", "BRK-B"),
    symbols="The exchange's symbol; classes of shares after a hyphen, such as BRK-B.",
    base="https://api.tiingo.com",
    limits=Limits(in_flight=1, calls=((50, 3600), (1000, 24 * 3600))),
    terms="For the owner of the key; what was fetched is shown to nobody else.",
    licence="Tiingo terms of use, personal use",
    rights="personal",
    fetch=fetch,
    check=check,
    key_fields=("key",),
    key_page="https://www.tiingo.com/account/api/token",
    free_key="A free key gives whole histories with splits and dividends: 50 calls an hour, 1,000 a day, 500 "
    "different symbols a month.",
)
