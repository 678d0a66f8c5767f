"""How is Bloomberg asked? Through the operator's own B-PIPE or server session, for people the operator entitled."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from marketdata.providers.connection import Connection
from marketdata.providers.description import BAR_COLUMNS, Bars, Description, Limits, Question, bars_of, unreadable
from marketdata.providers.errors import NotEntitled, ProviderDown, ProviderError, RateLimited, UnknownSymbol
from marketdata.providers.own_process import ask_program

FIELDS = {"open": "PX_OPEN", "high": "PX_HIGH", "low": "PX_LOW", "close": "PX_LAST", "volume": "PX_VOLUME"}
ELSEWHERE = (
    "A terminal on your desk cannot be used by a site that runs elsewhere: export there and upload the file under "
    "My datasets."
)


def fetch(question: Question, connection: Connection) -> Bars:
    if not (settings.BLOOMBERG_PYTHON and settings.BLOOMBERG_SERVER):
        raise NotEntitled(f"This site has no session with Bloomberg (B-PIPE or a server of theirs). {ELSEWHERE}")
    host, _, port = settings.BLOOMBERG_SERVER.rpartition(":")
    with connection.gate():
        found = ask_program(
            "bloomberg",
            {
                "host": host,
                "port": int(port),
                "application": settings.BLOOMBERG_APPLICATION,
                "security": question.symbol,
                "fields": list(FIELDS.values()),
                "start": question.start.strftime("%Y%m%d") if question.start else "19000101",
                "end": question.end.strftime("%Y%m%d") if question.end else None,
            },
            "Bloomberg",
            python=settings.BLOOMBERG_PYTHON,
        )
    if "error" in found:
        raise _refusal(str(found["error"]), question)
    try:
        rows = [(row["date"], {ours: row.get(theirs) for ours, theirs in FIELDS.items()}) for row in found["rows"]]
    except (KeyError, TypeError, AttributeError):
        raise unreadable(question, "Bloomberg") from None
    about: dict[str, Any] = {"adjustment": "raw; splits and dividends are not fetched"}
    return bars_of(rows, BAR_COLUMNS, question, "Bloomberg", **about)


def check(connection: Connection) -> None:
    """There is no key to look at."""


def _refusal(kind: str, question: Question) -> ProviderError:
    if kind == "UnknownSymbol":
        return UnknownSymbol(f"Bloomberg has no security {question.symbol!r}. Write it with its yellow key.")
    if kind == "NotEntitled":
        return NotEntitled(f"The site's session with Bloomberg does not include {question.symbol}. {ELSEWHERE}")
    if kind == "RateLimited":
        return RateLimited("Bloomberg refuses for now: the day's or the month's limit of the session.")
    if kind == "BadResponse":
        return unreadable(question, "Bloomberg")
    return ProviderDown("The site's session with Bloomberg does not answer. Tell the site's operator.")


PROVIDER = Description(
    name="bloomberg",
    title="Bloomberg",
    about="Prices through the operator's own B-PIPE or server session.",
    kinds=("equity", "index", "fx", "commodity"),
    intervals=("1d",),
    examples=("AAPL US Equity", "SPX Index"),
    symbols="The security with its yellow key, such as AAPL US Equity.",
    base="",
    limits=Limits(in_flight=1, calls=((5, 1),), per="site"),
    terms="Under the operator's contract with Bloomberg, for the people named in it; shown to nobody else.",
    licence="the operator's contract with Bloomberg",
    rights="personal",
    fetch=fetch,
    check=check,
    free_key=f"There is no key: the operator connects a session and names who may use it. {ELSEWHERE}",
    enabled_at_first=False,
    needs_entitlement=True,
    spell=str,
)
