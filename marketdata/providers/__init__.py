"""Which providers can be asked? One file for each; this is their register."""

from __future__ import annotations

import re

from django.conf import settings

from marketdata.providers import (
    alpha_vantage,
    binance,
    bloomberg,
    ecb,
    fred,
    lseg,
    nasdaq_data_link,
    tiingo,
    yahoo,
)
from marketdata.providers.description import Bars, Description, Limits, Question
from marketdata.providers.errors import ProviderError, UnknownSymbol

__all__ = [
    "ALL",
    "Bars",
    "Description",
    "Limits",
    "ProviderError",
    "Question",
    "address_of",
    "find",
    "spelled",
]

ALL: dict[str, Description] = {
    module.PROVIDER.name: module.PROVIDER
    for module in (tiingo, alpha_vantage, nasdaq_data_link, fred, ecb, binance, yahoo, lseg, bloomberg)
}
# Letters, figures and what symbols are written with; no blanks at the ends, no steps upwards in a path.
_SYMBOL = re.compile(r"(?!.*\.\.)[A-Za-z0-9^][A-Za-z0-9 .^=_@:/*-]{0,58}(?<! )")


def find(name: str) -> Description:
    """KeyError for a name that is none of ours."""
    return ALL[name]


def address_of(provider: Description) -> str:
    """Where it answers: its own address, or the one the operator has set."""
    return settings.PROVIDER_URLS.get(provider.name, provider.base)


def spelled(provider: Description, symbol: str) -> str:
    """The symbol in its one spelling. Raises UnknownSymbol for what cannot be one."""
    symbol = symbol.strip()
    if not _SYMBOL.fullmatch(symbol):
        raise UnknownSymbol(f"{symbol[:60]!r} cannot be a symbol of {provider.title}. {provider.symbols}")
    return provider.spell(symbol)
