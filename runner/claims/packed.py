"""What does a claim say that was handed over, packed or as it is? Of a run's claims no more is taken than there is room
for.
"""

from __future__ import annotations

import json
import re
from typing import Any

from qfp.packing import LONG, MOST_OPENED, opened

from runner.claims.fields import MAX_BARS, MAX_FILLS, MAX_FLOWS, MAX_ORDERS, ClaimRefused
from sandbox.protocol import load_json

__all__ = ["Opener"]

# Each part takes memory, however short it is written, and most of all a field whose name no other has.
MOST_OBJECTS = MAX_FILLS + MAX_FLOWS + MAX_ORDERS + 10_000
MOST_LISTS = MAX_ORDERS + 10_000
# An order and its fill have 12 fields at most; then what was taken away, or the flows of a portfolio; dates and equity.
MOST_PARTS = 14 * MAX_ORDERS + 4 * MAX_ORDERS + 2 * MAX_BARS
MOST_NAMES = 10_000
# The end of a name and, where it is short and plain, the name. A quote within a text has a backslash in front.
NAME = re.compile(rb'"\s*:|"(?<=[{,\s]")([^"\\]{0,60})"\s*:')


class Opener:
    """Of one run. left: bytes that its packed claims may still have when they are opened; none after one that cannot
    be opened, as nobody knows how many that had. left_plain: characters that the others may still have.
    """

    def __init__(self) -> None:
        self.left = self.left_plain = MOST_OPENED

    def open(self, claim: Any) -> Any:
        """The claim itself, or what was packed. Raises ClaimRefused for what cannot be opened, and what is longer, or
        in more parts, than there is room for.
        """
        if not isinstance(claim, str):
            self._check(claim)
            return claim
        try:
            room, self.left = self.left, 0
            text = opened(claim, room)
            self.left = room - len(text)
            if _has_too_many_parts(text):
                raise ClaimRefused("it has too many parts.")
            return load_json(text.decode())  # UTF-16 would be JSON, too, with other bytes than were counted
        except ValueError:
            raise ClaimRefused("it cannot be read, or is longer than what is kept of one run.") from None

    def _check(self, claim: Any) -> None:
        text = json.dumps(claim, ensure_ascii=False, separators=(",", ":"))
        if len(text) > min(LONG, self.left_plain):
            raise ClaimRefused("it is longer than what is kept of one run, or than what qfp hands over unpacked.")
        self.left_plain -= len(text)
        if _has_too_many_parts(text.encode("utf-8", "surrogatepass")):
            raise ClaimRefused("it has too many parts.")


def _has_too_many_parts(text: bytes) -> bool:
    if text.count(b"{") > MOST_OBJECTS or text.count(b"[") > MOST_LISTS or text.count(b",") > MOST_PARTS:
        return True
    names: set[bytes | int] = set()
    for found in NAME.finditer(text):
        names.add(found.start() if found[1] is None else found[1])
        if len(names) > MOST_NAMES:
            return True
    return False
