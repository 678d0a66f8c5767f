"""What does a claim say that was handed over packed? Of a run's claims no more is opened than there is room for."""

from __future__ import annotations

from typing import Any

from qfp.packing import MOST_OPENED, opened

from runner.claims.fields import MAX_BARS, MAX_FILLS, MAX_FLOWS, MAX_ORDERS, ClaimRefused
from sandbox.protocol import load_json

__all__ = ["Opener"]

# Each part takes memory, however short it is written.
MOST_OBJECTS = MAX_FILLS + MAX_FLOWS + MAX_ORDERS + 10_000
MOST_LISTS = MAX_ORDERS + 10_000
MOST_PARTS = 12 * MAX_ORDERS + 4 * MAX_FILLS + 5 * MAX_FLOWS + 4 * MAX_ORDERS + 2 * MAX_BARS


class Opener:
    """Of one run. left: bytes that its packed claims may still have when they are opened."""

    def __init__(self) -> None:
        self.left = MOST_OPENED

    def open(self, claim: Any) -> Any:
        """The claim itself, or what was packed. Raises ClaimRefused for what cannot be opened."""
        if not isinstance(claim, str):
            return claim
        try:
            text = opened(claim, self.left)
            self.left -= len(text)
            if text.count(b"{") > MOST_OBJECTS or text.count(b"[") > MOST_LISTS or text.count(b",") > MOST_PARTS:
                raise ClaimRefused("it has too many parts.")
            return load_json(text)
        except ValueError:
            raise ClaimRefused("it cannot be read, or is longer than what is kept of one run.") from None
