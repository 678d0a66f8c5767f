"""How is the European Central Bank asked? Euro reference rates as CSV, without a key."""

from __future__ import annotations

import csv
import io

from marketdata.providers.connection import Connection, odd_status
from marketdata.providers.description import Bars, Description, Limits, Question, bars_of, unreadable
from marketdata.providers.errors import UnknownSymbol

CURRENCIES = (
    *("AUD", "BGN", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "GBP", "HKD", "HUF", "IDR", "ILS", "INR", "ISK"),
    *("JPY", "KRW", "MXN", "MYR", "NOK", "NZD", "PHP", "PLN", "RON", "SEK", "SGD", "THB", "TRY", "USD", "ZAR"),
)
# Those that the euro has taken the place of, or that it no longer follows.
FORMER = ("CYP", "EEK", "HRK", "LTL", "LVL", "MTL", "ROL", "RUB", "SIT", "SKK", "TRL")


def fetch(question: Question, connection: Connection) -> Bars:
    currency = _currency(question.symbol)
    parameters = {"format": "csvdata", "detail": "dataonly"}
    if question.start:
        parameters["startPeriod"] = question.start.isoformat()
    if question.end:
        parameters["endPeriod"] = question.end.isoformat()
    answer = connection.get(f"/service/data/EXR/D.{currency}.EUR.SP00.A", parameters)
    if answer.status == 404:
        raise _unknown(question.symbol)
    if answer.status != 200:
        raise odd_status(connection.provider, answer.status)
    table = csv.DictReader(io.StringIO(answer.text))
    if answer.body and not {"TIME_PERIOD", "OBS_VALUE"} <= set(table.fieldnames or ()):
        raise unreadable(question, "The ECB")
    rows = [(row["TIME_PERIOD"], {"close": row["OBS_VALUE"]}) for row in table]
    return bars_of(
        rows,
        ("close",),
        question,
        "The ECB",
        name=f"Euro in {currency}, reference rate of the European Central Bank",
        kind="fx",
        unit=f"{currency} for one euro",
        currency=currency,
        exchange="ECB",
        adjustment="none",
        notice="Published at about 16:00 in Frankfurt on days when the euro's payment system is open; not a price to "
        "trade at.",
    )


def check(connection: Connection) -> None:
    """There is no key to look at."""


def spell(symbol: str) -> str:
    """EURUSD, EUR/USD and USD all mean the dollars for one euro."""
    return f"EUR{_currency(symbol)}"


def _currency(symbol: str) -> str:
    letters = symbol.replace("/", "").upper()
    letters = letters.removeprefix("EUR") or letters
    if letters not in CURRENCIES + FORMER:
        raise _unknown(symbol)
    return letters


def _unknown(symbol: str) -> UnknownSymbol:
    letters = symbol.replace("/", "").upper().removeprefix("EUR")
    alike = sorted(CURRENCIES, key=lambda known: -sum(a == b for a, b in zip(known, letters, strict=False)))
    return UnknownSymbol(f"The ECB publishes no rate {symbol!r}.", [f"EUR{known}" for known in alike[:3]])


PROVIDER = Description(
    name="ecb",
    title="European Central Bank",
    about="Daily reference rates of the euro against some thirty currencies, since 1999.",
    kinds=("fx",),
    intervals=("1d",),
    examples=("EURUSD", "EURCHF"),
    symbols="EUR and the other currency, such as EURUSD: dollars for one euro.",
    base="https://data-api.ecb.europa.eu",
    limits=Limits(in_flight=2, calls=((60, 60),), per="site"),
    terms="Free to use and to pass on, with the source named.",
    licence="free reuse with the source named: European Central Bank",
    rights="redistribute",
    fetch=fetch,
    check=check,
    free_key="No key is needed.",
    spell=spell,
)
