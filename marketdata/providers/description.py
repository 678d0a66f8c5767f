"""What does every provider have in common? What is said of it, what it is asked, and the one form of its answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from marketdata.providers.errors import BadResponse, NoData

if TYPE_CHECKING:
    from marketdata.providers.connection import Connection

RAW = "raw"
LARGEST_SPLIT = 1_000_000  # prices that are multiplied by more are of no use, and soon no numbers any more
BAR_COLUMNS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class Limits:
    """What we never exceed: calls at the same time, and calls within seconds, for each key or for the whole site."""

    in_flight: int
    calls: tuple[tuple[int, float], ...]
    per: str = "key"  # or "site", where the provider counts the address that asks

    def __str__(self) -> str:
        """1 call at a time, 50 in an hour, 1,000 in a day"""
        spans = {1: "a second", 60: "a minute", 600: "ten minutes", 3600: "an hour", 24 * 3600: "a day"}
        rates = [f"{calls:,} in {spans.get(int(seconds), f'{seconds:g} s')}" for calls, seconds in self.calls]
        return ", ".join([f"{self.in_flight} call{'s' if self.in_flight > 1 else ''} at a time", *rates])


@dataclass(frozen=True)
class Question:
    """A series, from the first to the last day, both included; None for no bound."""

    symbol: str
    interval: str = "1d"
    start: date | None = None
    end: date | None = None


@dataclass(frozen=True)
class Actions:
    """New shares for one (1 for none) and cash a share (0 for none) by ex-date, as of that day."""

    dates: np.ndarray
    split: np.ndarray
    dividend: np.ndarray


@dataclass(frozen=True)
class Bars:
    """A series in the one form: dates (datetime64[us]) in order, float64 columns, NaN for missing.

    Daily dates are trading days without a zone; shorter intervals are UTC instants at the beginning of the bar, and
    `zone` names the exchange's. Shares have open, high, low, close and volume as traded; what has one value a day has
    close. `adjustment` says it where closes are not as traded.
    """

    dates: np.ndarray
    columns: dict[str, np.ndarray]
    actions: Actions | None = None
    adjustment: str = RAW
    name: str = ""
    kind: str = "equity"
    interval: str = "1d"
    unit: str = ""
    exchange: str = ""
    currency: str = ""
    zone: str = ""
    notice: str = ""


@dataclass(frozen=True)
class Description:
    """A provider as its page shows it, and the functions that ask it."""

    name: str
    title: str
    about: str
    kinds: tuple[str, ...]
    intervals: tuple[str, ...]
    examples: tuple[str, ...]
    symbols: str  # how its symbols are written
    base: str  # where it answers, unless PROVIDER_URLS says otherwise; empty for a program of its own
    limits: Limits
    terms: str
    licence: str
    rights: str  # of what it gives: Series.Rights
    fetch: Callable[[Question, Connection], Bars] = field(repr=False)
    check: Callable[[Connection], None] = field(repr=False)
    key_fields: tuple[str, ...] = ()  # what a person fills in; none: no key is needed
    key_page: str = ""
    free_key: str = ""  # what the free key really gives
    enabled_at_first: bool = True
    needs_consent: bool = False
    needs_entitlement: bool = False
    spell: Callable[[str], str] = str.upper  # the one spelling of a symbol

    @property
    def needs_key(self) -> bool:
        return bool(self.key_fields)


def bars_of(
    rows: Sequence[tuple[str, dict[str, Any]]], columns: Sequence[str], question: Question, provider: str, **about: Any
) -> Bars:
    """Bars from (day, values by column) in any order. Raises BadResponse, or NoData where there are no rows."""
    found = sorted(rows, key=lambda row: row[0])
    if not found:
        raise nothing(question, provider)
    try:
        dates = np.array([day for day, _ in found], dtype="datetime64[us]")
        values = {name: np.array([as_float(row.get(name)) for _, row in found], dtype=np.float64) for name in columns}
    except (ValueError, TypeError, AttributeError):
        raise unreadable(question, provider) from None
    return within(Bars(dates, values, **about), question, provider)


def within(bars: Bars, question: Question, provider: str) -> Bars:
    """Without what lies outside of the days asked for. Raises NoData when nothing is left."""
    low, high = 0, len(bars.dates)
    if question.start is not None:
        low = int(np.searchsorted(bars.dates, np.datetime64(question.start, "us")))
    if question.end is not None:
        high = int(np.searchsorted(bars.dates, np.datetime64(question.end, "us") + np.timedelta64(1, "D")))
    if low >= high:
        raise nothing(question, provider)
    actions = bars.actions
    if actions is not None:
        kept = (actions.dates >= bars.dates[low]) & (actions.dates <= bars.dates[high - 1])
        # On a day without a bar there is no price to adjust from.
        kept &= np.isin(actions.dates, bars.dates)
        actions = Actions(actions.dates[kept], actions.split[kept], actions.dividend[kept])
    return Bars(
        **{
            **bars.__dict__,
            "dates": bars.dates[low:high],
            "columns": {name: values[low:high] for name, values in bars.columns.items()},
            "actions": actions if actions is not None and len(actions.dates) else None,
        }
    )


def actions_of(dates: np.ndarray, split: np.ndarray, dividend: np.ndarray) -> Actions | None:
    """The days on which something happened; None where nothing did. Raises BadResponse for a split that never was."""
    if not np.all((split > 1 / LARGEST_SPLIT) & (split < LARGEST_SPLIT)):
        raise BadResponse(f"The answer has a split beyond {LARGEST_SPLIT:,} for 1, so nothing of it was kept.")
    some = (split != 1) | (dividend != 0)
    return Actions(dates[some], split[some], dividend[some]) if some.any() else None


def as_float(value: Any) -> float:
    if value is None or value in ("", ".", "None", "null", "NaN"):
        return float("nan")
    return float(value)


def nothing(question: Question, provider: str) -> NoData:
    span = f"between {question.start or 'its beginning'} and {question.end or 'today'}"
    return NoData(f"{provider} has nothing of {question.symbol} {span}. Ask for other days.")


def unreadable(question: Question, provider: str) -> BadResponse:
    return BadResponse(
        f"{provider} answered for {question.symbol} with something that is not the data it promises. Nothing was "
        "stored. Try again later, or use another provider."
    )
