"""How is a long claim of a backtest handed over? Packed, as compressed text, and what is too long for that without its
orders and fills: the site then shows it as its program's word.

Whoever opens one decides how long it may be: a short text can stand for a very long one.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Callable
from typing import Any

__all__ = ["LONG", "MOST_BARS", "MOST_OPENED", "MOST_SENT", "Packer", "attempt_of", "opened"]

LONG = 1_000_000  # characters from which on a claim is packed
MOST_SENT = 7_500_000  # bytes of one that is packed; the site takes messages of 8 million bytes
MOST_OPENED = 40_000_000  # bytes of all packed claims of a run, opened
MOST_BARS = 200_000  # of a backtest that the site takes
ROWS = {"fills": "fill_count", "orders": "order_count"}  # with the names of how many there are
UNREAD = ("trades", "refused_orders")  # of a claim, which the site works out itself
ATTEMPTED = ("strategy", "params", "instruments", "period", "cash", "conventions")  # of a claim: what was tried
EQUITY = "Equity Final [$]"  # of claims that tell no other figure of what was tried
SPAN = ("first", "last")  # of an instrument's bars, which only a claim with bars has


class Packer:
    """Packs the claims of a run. left: bytes that its claims may still have, opened."""

    def __init__(self) -> None:
        self.left = MOST_OPENED

    def pack(self, claim: dict[str, Any], write: Callable[[Any], str]) -> str | None:
        """The claim as one text, without its rows where they are too many; None where nothing of it can be sent.

        write: gives a value as JSON.
        """
        if len(claim.get("dates", ())) > MOST_BARS:
            return None
        kept = {name: value for name, value in claim.items() if name not in UNREAD}
        if any(kept.get(count, 0) > len(kept.get(name) or ()) for name, count in ROWS.items()):
            kept = _without_rows(kept)  # some of them lead to nothing
        for form in (kept, _without_rows(kept)):
            text = write(form).encode("utf-8", "replace")
            if len(text) > self.left:
                continue
            packed = base64.b64encode(zlib.compress(text, 1)).decode()
            if len(packed) <= MOST_SENT:
                self.left -= len(text)
                return packed
        return None


def _without_rows(claim: dict[str, Any]) -> dict[str, Any]:
    """With how many there are, and none of them."""
    counts = {count: claim.get(count, len(claim.get(name) or ())) for name, count in ROWS.items()}
    return {**claim, **counts, "fills": [], "orders": [], "flows": [], "taken_away": None}


def attempt_of(claim: dict[str, Any]) -> dict[str, Any]:
    """What a claim says was tried and its last equity: all that the site needs to count it as a trial."""
    tried = {name: claim.get(name) for name in ATTEMPTED}
    traded = [{key: value for key, value in each.items() if key not in SPAN} for each in tried["instruments"] or ()]
    ended = [EQUITY, claim["equity"][-1]] if claim.get("equity") else claim.get("ended")
    return {**tried, "instruments": traded, "ended": ended}


def opened(packed: str, most: int = MOST_OPENED) -> bytes:
    """The JSON of a claim that was packed. Raises ValueError for anything else, and for more bytes than that."""
    if most <= 0:  # which zlib takes for no limit
        raise ValueError("there is no room for it")
    try:
        content = base64.b64decode(packed, validate=True)
        reader = zlib.decompressobj()
        text = reader.decompress(content, most)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"it was not packed: {error}") from None
    if reader.unconsumed_tail or not reader.eof:
        raise ValueError("it is too long, or not whole")
    return text
