"""How is Nasdaq Data Link asked? Its tables answer; the time series of the old Quandl are gone, and that is told."""

from __future__ import annotations

from typing import Any

import numpy as np

from marketdata.providers.connection import Answer, Connection, bad_key, in_path, not_included, odd_status
from marketdata.providers.description import (
    BAR_COLUMNS,
    RAW,
    Bars,
    Description,
    Limits,
    Question,
    actions_of,
    bars_of,
    nothing,
    unreadable,
    within,
)
from marketdata.providers.errors import (
    BadResponse,
    NotEntitled,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    UnknownSymbol,
)

TITLE = "Nasdaq Data Link"
PAGES = 40  # of 10 000 rows
HOW = 'Write VENDOR/TABLE/TICKER for a table, such as "SHARADAR/SEP/AAPL", or DATABASE/CODE for a time series.'


def fetch(question: Question, connection: Connection) -> Bars:
    parts = question.symbol.split("/")
    if len(parts) == 3 and all(parts):
        return _table(question, connection, *parts)
    if len(parts) == 2 and all(parts):
        return _time_series(question, connection, *parts)
    raise UnknownSymbol(f"{question.symbol!r} names nothing at {TITLE}. {HOW}")


def check(connection: Connection) -> None:
    """A table that everybody may describe; only a key that is not accepted fails."""
    answer = connection.get("/api/v3/datatables/WIKI/PRICES.json", {"qopts.per_page": "1"}, _header(connection))
    if answer.status in (400, 401, 429):
        raise _refusal(connection, answer, "WIKI/PRICES")


def _table(question: Question, connection: Connection, vendor: str, table: str, ticker: str) -> Bars:
    parameters = {"ticker": ticker, "qopts.per_page": "10000"}
    if question.start:
        parameters["date.gte"] = question.start.isoformat()
    rows: list[tuple[str, dict[str, Any]]] = []
    names: list[str] = []
    for _ in range(PAGES):
        answer = connection.get(
            f"/api/v3/datatables/{in_path(vendor)}/{in_path(table)}.json", parameters, _header(connection)
        )
        if answer.status != 200:
            raise _refusal(connection, answer, question.symbol)
        found = answer.json()
        try:
            names = [column["name"] for column in found["datatable"]["columns"]]
            page = [dict(zip(names, row, strict=True)) for row in found["datatable"]["data"]]
            rows += [(row["date"], row) for row in page]
            cursor = found["meta"]["next_cursor_id"]
        except (KeyError, TypeError, ValueError):
            raise _no_bars(question.symbol) if names and "date" not in names else unreadable(question, TITLE) from None
        if not cursor:
            break
        parameters["qopts.cursor_id"] = cursor
    else:
        raise QuotaExceeded(f"{question.symbol} has more than {PAGES * 10_000} rows. Ask for fewer days.")
    if not rows:
        if question.start is None:
            raise UnknownSymbol(f"The table {vendor}/{table} has nothing of {ticker!r}. {HOW}")
        raise nothing(question, TITLE)
    if not set(BAR_COLUMNS) <= set(names):
        raise _no_bars(question.symbol)
    return _bars(rows, names, question)


def _no_bars(symbol: str) -> BadResponse:
    return BadResponse(
        f"{symbol} is not a table of prices: it lacks date, open, high, low, close or volume. Export it there and "
        "upload the file under My datasets."
    )


def _bars(rows: list[tuple[str, dict[str, Any]]], names: list[str], question: Question) -> Bars:
    """To the end of what there is first: closes that are adjusted for later splits are turned back with them."""
    extra = [name for name in ("ex-dividend", "split_ratio", "closeunadj") if name in names]
    bars = bars_of(rows, (*BAR_COLUMNS, *extra), Question(question.symbol), TITLE)
    columns = dict(bars.columns)
    more = {name: columns.pop(name) for name in extra}
    ones, zeros = np.ones(len(bars.dates)), np.zeros(len(bars.dates))
    adjustment, actions = "as the table says; splits and dividends are not in it", None
    if "split_ratio" in more:
        split = np.where(np.isfinite(more["split_ratio"]) & (more["split_ratio"] > 0), more["split_ratio"], ones)
        dividend = np.nan_to_num(more.get("ex-dividend", zeros), nan=0.0)
        adjustment, actions = RAW, actions_of(bars.dates, split, dividend)
    elif "closeunadj" in more:
        factor = more["closeunadj"] / columns["close"]
        columns = {name: values * factor for name, values in columns.items() if name != "volume"} | {
            "volume": columns["volume"] / factor
        }
        # A split leaves its step in the factor; the table itself has no column for it.
        step = factor[:-1] / factor[1:]
        split = ones.copy()
        split[1:] = np.where(np.abs(step - 1) > 0.01, np.round(step, 6), 1.0)
        adjustment, actions = "raw; dividends are not in the table", actions_of(bars.dates, split, zeros)
    return within(Bars(bars.dates, columns, actions, adjustment=adjustment), question, TITLE)


def _time_series(question: Question, connection: Connection, database: str, code: str) -> Bars:
    parameters = {"order": "asc"}
    if question.start:
        parameters["start_date"] = question.start.isoformat()
    if question.end:
        parameters["end_date"] = question.end.isoformat()
    answer = connection.get(
        f"/api/v3/datasets/{in_path(database)}/{in_path(code)}/data.json", parameters, _header(connection)
    )
    if answer.status != 200:
        raise _refusal(connection, answer, question.symbol)
    try:
        found = answer.json()["dataset_data"]
        names = [name.lower().replace(" ", "_").replace(".", "") for name in found["column_names"]]
        rows = [(row[0], dict(zip(names, row, strict=True))) for row in found["data"]]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise unreadable(question, TITLE) from None
    if set(BAR_COLUMNS) <= set(names):
        return _bars([(day, row | {"ex-dividend": row.get("ex-dividend")}) for day, row in rows], names, question)
    if len(names) != 2:
        raise _no_bars(question.symbol)
    values = [(day, {"close": row[names[1]]}) for day, row in rows]
    return bars_of(values, ("close",), question, TITLE, kind="macro", adjustment="none")


def _header(connection: Connection) -> dict[str, str]:
    return {"X-Api-Token": connection.key["key"]}


def _refusal(connection: Connection, answer: Answer, symbol: str) -> ProviderError:
    if answer.status == 410:
        return NotEntitled(
            f"{TITLE} has closed its free time series (the old Quandl), {symbol} among them: they answer with 410, "
            "gone. Only its tables are left. For shares use another provider; for rates and economic figures, FRED."
        )
    code = ""
    try:
        code = str(answer.json().get("quandl_error", {}).get("code", ""))
    except (ProviderError, AttributeError):
        pass
    if code.startswith("QEAx") or answer.status == 401:
        return bad_key(connection.provider)
    if code.startswith("QEPx") or answer.status == 403:
        return not_included(connection.provider, symbol)
    if code.startswith("QECx") or answer.status == 404:
        return UnknownSymbol(f"{TITLE} has no {symbol!r}. {HOW}")
    if code.startswith("QELx"):
        return RateLimited(f"{TITLE} refuses for now: too many calls.")
    return odd_status(connection.provider, answer.status)


PROVIDER = Description(
    name="nasdaq",
    title=TITLE,
    about="Tables of prices by many vendors, most of them sold by subscription.",
    kinds=("equity",),
    intervals=("1d",),
    examples=("SHARADAR/SEP/AAPL", "WIKI/PRICES/AAPL"),
    symbols=HOW,
    base="https://data.nasdaq.com",
    limits=Limits(in_flight=1, calls=((300, 10), (2000, 600))),
    terms="As the vendor of the table says; what was fetched is shown to nobody else.",
    licence="as the table's vendor says, personal use",
    rights="personal",
    fetch=fetch,
    check=check,
    key_fields=("key",),
    key_page="https://data.nasdaq.com/account/profile",
    free_key="A free key opens the few free tables; the free time series of the old Quandl are gone (410).",
)
