"""How is Yahoo Finance asked? By the real yfinance in a process of its own, for people who accepted Yahoo's terms."""

from __future__ import annotations

from typing import Any

import numpy as np

from marketdata.providers.connection import Connection
from marketdata.providers.description import (
    BAR_COLUMNS,
    RAW,
    Actions,
    Bars,
    Description,
    Limits,
    Question,
    actions_of,
    as_float,
    nothing,
    unreadable,
    within,
)
from marketdata.providers.errors import BadResponse, ProviderDown, ProviderError, RateLimited, UnknownSymbol
from marketdata.providers.own_process import ask_program

TITLE = "Yahoo Finance"
KINDS = {
    "EQUITY": "equity",
    "ETF": "equity",
    "MUTUALFUND": "equity",
    "INDEX": "index",
    "CURRENCY": "fx",
    "CRYPTOCURRENCY": "crypto",
    "FUTURE": "commodity",
}


def fetch(question: Question, connection: Connection) -> Bars:
    with connection.gate():
        # To the end of what there is: Yahoo's closes are adjusted for every split until now.
        found = ask_program(
            "yahoo",
            {
                "symbol": question.symbol,
                "interval": question.interval,
                "start": question.start.isoformat() if question.start else None,
            },
            TITLE,
        )
    if "error" in found:
        raise _refusal(str(found["error"]), question)
    try:
        dates = np.array(found["moments"], dtype="datetime64[us]")
        values = {name: np.array([as_float(value) for value in column]) for name, column in found["columns"].items()}
        about = {name: str(text) for name, text in found["about"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise unreadable(question, TITLE) from None
    if not len(dates):
        raise nothing(question, TITLE)
    if not set(BAR_COLUMNS) <= set(values) or any(len(column) != len(dates) for column in values.values()):
        raise unreadable(question, TITLE)
    traded = np.isfinite(values["close"])  # a day of a dividend alone, or of no trade, has empty prices
    if not traded.any():
        raise nothing(question, TITLE)
    columns, actions = as_traded(dates, values)
    return within(
        Bars(
            dates[traded],
            {name: column[traded] for name, column in columns.items()},
            actions,
            **_about(about, question),
        ),
        question,
        TITLE,
    )


def as_traded(dates: np.ndarray, values: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], Actions | None]:
    """Yahoo divides prices and dividends by all later splits; this takes that back."""
    ones = np.ones(len(dates))
    split = values.get("split", ones)
    split = np.where(np.isfinite(split) & (split > 0), split, 1.0)
    dividend = np.nan_to_num(values.get("dividend", np.zeros(len(dates))), nan=0.0)
    later = np.append(np.cumprod(split[::-1])[::-1][1:], 1.0)
    columns = {name: values[name] * later for name in ("open", "high", "low", "close")}
    columns["volume"] = values["volume"] / later
    return columns, actions_of(dates, split, dividend * later)


def check(connection: Connection) -> None:
    """There is no key to look at."""


def _about(about: dict[str, str], question: Question) -> dict[str, Any]:
    return {
        "name": about.get("name", "")[:200],
        "kind": KINDS.get(about.get("kind", ""), "equity"),
        "currency": about.get("currency", ""),
        "unit": about.get("currency", ""),
        "exchange": about.get("exchange", "")[:30],
        "zone": about.get("zone", ""),
        "interval": question.interval,
        "adjustment": RAW,
        "notice": "Unofficial, for personal use. Prices before a split are computed from split-adjusted ones.",
    }


def _refusal(kind: str, question: Question) -> ProviderError:
    if kind == "RateLimited":
        return RateLimited(f"{TITLE} refuses for now: too many calls from this site.")
    if kind == "UnknownSymbol":
        return UnknownSymbol(f"{TITLE} has no prices of {question.symbol!r}; it may be delisted.")
    if kind == "NoData":
        return nothing(question, TITLE)
    if kind == "ProviderDown":
        return ProviderDown(f"{TITLE} cannot be reached. Try again in some minutes, or use another provider.")
    return BadResponse(f"{TITLE} answered with something that yfinance cannot read. Use another provider.")


PROVIDER = Description(
    name="yahoo",
    title=TITLE,
    about="Prices of shares, funds, indices, currencies and crypto from all over the world.",
    kinds=("equity", "index", "fx", "crypto", "commodity"),
    intervals=("1d", "1h"),
    examples=("AAPL", "^GSPC", "EURUSD=X"),
    symbols="As on Yahoo's pages: ^GSPC for an index, EURUSD=X for a currency, VOD.L for London.",
    base="",
    limits=Limits(in_flight=1, calls=((1, 2), (300, 3600)), per="site"),
    terms="Unofficial. Yahoo's terms allow personal use only and no passing on; it often refuses servers.",
    licence="Yahoo terms of service, personal use",
    rights="personal",
    fetch=fetch,
    check=check,
    free_key="No key is needed, and none can be had.",
    enabled_at_first=False,
    needs_consent=True,
)
