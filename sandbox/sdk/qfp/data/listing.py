"""What is there to be read, and what is known of it?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qfp.data import catalogue

if TYPE_CHECKING:
    import pandas as pd


def search(text: str = "", kind: str | None = None) -> pd.DataFrame:
    """What there is, as a table.

    text: part of a symbol, name or id, upper or lower case; everything without it.
    kind: only equity, index, volatility, commodity, credit, curve, factors, macro, fx, crypto, options or dataset.

    Returns a DataFrame with symbol, name, kind, interval, first, last and rows; no rows when nothing fits.
    """
    import pandas as pd

    wanted = text.casefold()
    columns = ["symbol", "name", "kind", "interval", "first", "last", "rows"]
    found = [
        [entry[column] for column in columns]
        for entry in catalogue.current().entries
        if wanted in " ".join([entry["symbol"], entry["name"], entry["id"], *entry["aliases"]]).casefold()
        and kind in (None, entry["kind"])
    ]
    return pd.DataFrame(sorted(found), columns=columns)


def info(symbol: str, interval: str | None = None) -> dict[str, Any]:
    """All that is known of a series: name, kind, first and last day, columns, unit, currency, zone, licence, rights,
    tier (A public domain, B open, C for education, S synthetic), source, quality, survivorship, adjustment, notice and
    the hashes of its stored objects. Raises UnknownSymbol.
    """
    return {**catalogue.find(symbol, interval=interval), "snapshot": catalogue.current().snapshot}


def snapshot() -> str:
    """The id of the snapshot that this program reads: the SHA-256 of its manifest."""
    return catalogue.current().snapshot
