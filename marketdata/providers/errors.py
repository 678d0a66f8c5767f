"""How can asking a provider fail? The kinds that a person, or their program, can tell apart and act on.

The names are those of qfp.data: a fetch keeps the name of its error, and a program gets the error of that name.
A sentence says what happened and what to do; it never quotes the provider, because some answers repeat the key.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime


class ProviderError(Exception):
    """No usable answer. transient: asking again in a moment may help. retry_at: not before then, if that is known.
    ours: the provider was not asked, because our own count of its limits was in the way.
    """

    transient = False

    def __init__(self, sentence: str, *, retry_at: datetime | None = None, ours: bool = False) -> None:
        super().__init__(sentence)
        self.retry_at, self.ours = retry_at, ours

    @property
    def kind(self) -> str:
        return type(self).__name__


class UnknownSymbol(ProviderError):
    """The provider has no such series; `nearest` are names it has, or that the catalogue has."""

    def __init__(self, sentence: str, nearest: Iterable[str] = ()) -> None:
        super().__init__(sentence)
        self.nearest = list(nearest)


class NotEntitled(ProviderError):
    """No key, a key that is not accepted, or one that does not include this."""


class KeyRefused(NotEntitled):
    """The key is not accepted at all; asking for something else does not help."""

    @property
    def kind(self) -> str:
        return NotEntitled.__name__


class RateLimited(ProviderError):
    """Too many calls for the moment."""

    transient = True


class QuotaExceeded(ProviderError):
    """The calls of the day or the month, or our own allowance, are used up."""


class ProviderDown(ProviderError):
    """It does not answer, or says that it cannot."""

    transient = True


class SwitchedOff(ProviderError):
    """The operator has switched this provider off."""

    @property
    def kind(self) -> str:
        return ProviderDown.__name__


class BadResponse(ProviderError):
    """It answers with what cannot be right."""


class NoData(ProviderError):
    """The series exists and has nothing in the range asked for."""
