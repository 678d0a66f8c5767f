"""What was decided, and what became of it? Orders for units, and target weights for many instruments at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = [
    "BAD_SIZE", "CANCELLED", "ENDED", "FILLED", "HALTED", "NOT_WHOLE", "NO_MONEY", "NO_PRICE", "NO_SHORT",
    "REFUSED", "TOO_MUCH", "TOO_SMALL", "WAITING", "Order", "Targets", "is_undone", "listed",
]  # fmt: skip

WAITING, FILLED, REFUSED, CANCELLED = range(4)
OUTCOMES = ("waiting", "filled", "refused", "cancelled")

NO_MONEY = "the account could not pay for it"
NO_SHORT = "more than is held, and short selling is off (short=True allows it)"
TOO_MUCH = "the weights add up to more than the account may hold (leverage=)"
TOO_SMALL = "less than one share (fractional=True allows parts of one)"
NOT_WHOLE = "not a whole number of shares (fractional=True allows parts of one)"
BAD_SIZE = "the size is not a number other than 0"
HALTED = "no bar on the day it would fill: trading was halted"
NO_PRICE = "it had no price yet"
ENDED = "its last price is stale: it is not traded any more"


@dataclass(slots=True)
class Order:
    """An order for so many units (negative: sold) of one instrument, decided on a bar."""

    bar: int
    instrument: int
    size: float
    limit: float | None = None
    stop: float | None = None
    outcome: int = WAITING
    reason: str = ""
    touched: bool = False
    shares: float = 1.0  # what one share of the day of the decision is by now, through splits
    today: Callable[[], int] | None = None
    withdrawn: int | None = None  # the bar on which it was

    @property
    def units(self) -> float:
        """The size in shares of today."""
        return self.size * self.shares

    def cancel(self) -> None:
        """Withdraw it, if it still waits."""
        if self.outcome == WAITING:
            self.outcome = CANCELLED
            self.withdrawn = self.bar if self.today is None else self.today()

    def refuse(self, reason: str) -> None:
        self.outcome, self.reason = REFUSED, reason

    @property
    def kind(self) -> str:
        """market, limit, stop or stop-limit."""
        if self.limit is None:
            return "market" if self.stop is None else "stop"
        return "limit" if self.stop is None else "stop-limit"


@dataclass(slots=True)
class Targets:
    """Shares of the account's value that were decided on a bar: one per instrument, NaN where nothing was decided.

    shown: which of them are listed: those other than 0, and those of 0 where there may be something to sell: what was
    other than 0 before, is held, or is ordered.
    """

    bar: int
    weights: np.ndarray
    shown: np.ndarray
    outcomes: np.ndarray
    reasons: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, bar: int, weights: np.ndarray, before: np.ndarray, others: np.ndarray | None = None) -> Targets:
        """`before` are the weights decided last; they are brought up to date. others: what orders have to do with."""
        decided = ~np.isnan(weights)
        shown = decided & ((weights != 0) | (before != 0))
        if others is not None:
            shown |= decided & others
        before[decided] = weights[decided]
        outcomes = np.where(decided, WAITING, CANCELLED).astype(np.int8)
        return cls(bar, weights, shown, outcomes)

    def refuse(self, instruments: Any, reason: str) -> None:
        """instruments: a mask, or their numbers."""
        where = np.asarray(instruments)
        numbers = np.flatnonzero(where) if where.dtype == bool else where
        if len(numbers):
            self.outcomes[numbers] = REFUSED
            self.reasons.update(dict.fromkeys(numbers.tolist(), reason))


def is_undone(decision: Order | Targets) -> bool:
    """Whether it was an order that was withdrawn on the bar that gave it: nothing was decided."""
    return isinstance(decision, Order) and decision.withdrawn == decision.bar


def listed(decisions: list[Order | Targets]) -> Iterator[dict[str, Any]]:
    """Each decision as a dictionary for the claim, oldest first."""
    for decision in decisions:
        if isinstance(decision, Order):
            entry: dict[str, Any] = {
                "bar": decision.bar,
                "instrument": decision.instrument,
                "size": decision.size,
                "kind": decision.kind,
                "outcome": OUTCOMES[decision.outcome],
            }
            if decision.limit is not None:
                entry["limit"] = decision.limit
            if decision.stop is not None:
                entry["stop"] = decision.stop
            if decision.reason:
                entry["reason"] = decision.reason
            if decision.withdrawn is not None:
                entry["withdrawn"] = decision.withdrawn
            yield entry
            continue
        for at, number in enumerate(np.flatnonzero(decision.shown).tolist()):
            entry = {
                "bar": decision.bar,
                "instrument": number,
                "size": float(decision.weights[number]),
                "kind": "target",
                "outcome": OUTCOMES[decision.outcomes[number]],
            }
            if number in decision.reasons:
                entry["reason"] = decision.reasons[number]
            if at:
                entry["together"] = True  # with the one before
            yield entry
