"""What may a line of the claims box be? The only list of its states: site, reports and API take them from here."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["NO_DOUBT", "STATES", "State"]


class State(NamedTuple):
    """word: stands beside a line, as colours alone tell not everybody. sign: the same where there is less room."""

    word: str
    sign: str


# From praise to blame. Each drawing has a colour or an icon for it: tests/runner/test_claims_box.py.
STATES = {
    "grey": State("note", "\u2013"),
    "green": State("fine", "\u2713"),
    "blue": State("pending", "\u2026"),
    "amber": State("doubt", "!"),
    "red": State("problem", "\u2717"),
}
NO_DOUBT = ("grey", "green")
