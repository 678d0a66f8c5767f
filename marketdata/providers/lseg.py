"""How is LSEG (Refinitiv) asked? Its platform over the web, with a person's own client id and secret."""

from __future__ import annotations

from typing import Any

from marketdata.providers.connection import Answer, Connection, bad_key, in_path, not_included, odd_status
from marketdata.providers.description import BAR_COLUMNS, Bars, Description, Limits, Question, bars_of, unreadable
from marketdata.providers.errors import ProviderError, RateLimited, UnknownSymbol

TITLE = "LSEG (Refinitiv)"
FIELDS = {"open": "OPEN_PRC", "high": "HIGH_1", "low": "LOW_1", "close": "TRDPRC_1", "volume": "ACVOL_UNS"}


def fetch(question: Question, connection: Connection) -> Bars:
    parameters = {
        "interval": "P1D",
        "count": "10000",
        "fields": ",".join(["DATE", *FIELDS.values()]),
        # Corrected, but not for splits and dividends.
        "adjustments": "exchangeCorrection,manualCorrection",
    }
    if question.start:
        parameters["start"] = question.start.isoformat()
    if question.end:
        parameters["end"] = question.end.isoformat()
    answer = connection.get(
        f"/data/historical-pricing/v1/views/interday-summaries/{in_path(question.symbol)}",
        parameters,
        {"Authorization": f"Bearer {_token(connection)}"},
    )
    if answer.status != 200:
        raise _refusal(connection, answer, question.symbol)
    try:
        [found] = answer.json(list)
        if "data" not in found:
            raise _refused_within(connection, found, question.symbol)
        names = [header["name"] for header in found["headers"]]
        rows = [dict(zip(names, row, strict=True)) for row in found["data"]]
        days = [(row["DATE"], {ours: row.get(theirs) for ours, theirs in FIELDS.items()}) for row in rows]
    except (KeyError, TypeError, ValueError):
        raise unreadable(question, TITLE) from None
    return bars_of(days, BAR_COLUMNS, question, TITLE, adjustment="raw; splits and dividends are not fetched")


def check(connection: Connection) -> None:
    _token(connection)


def _token(connection: Connection) -> str:
    answer = connection.post(
        "/auth/oauth2/v2/token",
        {
            "grant_type": "client_credentials",
            "scope": "trapi",
            "client_id": connection.key["client id"],
            "client_secret": connection.key["client secret"],
        },
    )
    if answer.status in (400, 401):
        raise bad_key(connection.provider)
    if answer.status != 200:
        raise odd_status(connection.provider, answer.status)
    token = answer.json().get("access_token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise odd_status(connection.provider, answer.status)
    return token


def _refusal(connection: Connection, answer: Answer, symbol: str) -> ProviderError:
    if answer.status == 401:
        return bad_key(connection.provider)
    if answer.status == 403:
        return not_included(connection.provider, f"{symbol} or its history")
    if answer.status == 404:
        return UnknownSymbol(f"{TITLE} has no instrument {symbol!r}.")
    return odd_status(connection.provider, answer.status)


def _refused_within(connection: Connection, found: dict[str, Any], symbol: str) -> ProviderError:
    """A refusal for one instrument comes with status 200 and a code."""
    code = str((found.get("status") or {}).get("code", ""))
    if "Permission" in code or "NotAllowed" in code:
        return not_included(connection.provider, symbol)
    if "TooManyRequests" in code or "Throttl" in code:
        return RateLimited(f"{TITLE} refuses for now: too many calls.")
    return UnknownSymbol(f"{TITLE} has no instrument {symbol!r}.")


PROVIDER = Description(
    name="lseg",
    title=TITLE,
    about="Prices of instruments all over the world, by subscription.",
    kinds=("equity", "index", "fx", "commodity"),
    intervals=("1d",),
    examples=("VOD.L", "AAPL.O"),
    symbols="The Reuters code (RIC), such as VOD.L.",
    base="https://api.refinitiv.com",
    limits=Limits(in_flight=1, calls=((5, 1), (1000, 24 * 3600))),
    terms="Under your own contract with LSEG; what was fetched is shown to nobody else.",
    licence="your contract with LSEG",
    rights="personal",
    fetch=fetch,
    check=check,
    key_fields=("client id", "client secret"),
    key_page="https://developers.lseg.com",
    free_key="There is no free key: it needs a subscription with access to the Data Platform and a service account. "
    "The app key of Workspace on a desk does not work from here.",
    enabled_at_first=False,
    spell=str,
)
