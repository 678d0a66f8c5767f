"""What is a finding? What is odd, from when to when, in a sentence; and which of many are told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

import numpy as np

MOST_OF_A_KIND = 5


class Kind(StrEnum):
    DISORDER = "disorder"
    DUPLICATE = "duplicate"
    GAP = "gap"
    CLOSED_DAY = "closed-day"
    MISSING_VALUE = "missing-value"
    NOT_POSITIVE = "not-positive"
    OHLC = "ohlc"
    SPIKE = "spike"
    UNIT = "unit"
    UNADJUSTED_SPLIT = "unadjusted-split"
    SPLIT_NOT_IN_PRICES = "split-not-in-prices"
    ZONE_SHIFT = "zone-shift"
    STALE = "stale"
    VOLUME = "volume"
    RESTATEMENT = "restatement"


# New rows with one of these are held back until somebody has looked; the rest is told.
SERIOUS = frozenset(Kind) - {Kind.GAP, Kind.CLOSED_DAY, Kind.STALE, Kind.VOLUME, Kind.RESTATEMENT}


@dataclass(frozen=True)
class Finding:
    """Something odd, from the first to the last day that it concerns."""

    kind: Kind
    first: date
    last: date
    message: str


def grouped(rows: np.ndarray, reach: int) -> list[np.ndarray]:
    """Numbers in groups whose neighbours are at most so far apart."""
    return np.split(rows, np.flatnonzero(np.diff(rows) > reach) + 1) if len(rows) else []


def of_rows(
    kind: Kind, days: np.ndarray, rows: np.ndarray, say: Callable[[int, str], str], reach: int = 1
) -> list[Finding]:
    """One for each run of rows (numbers). say: gets the number of rows and a span of days in words."""
    spans: dict[date, tuple[date, int]] = {}
    for run in grouped(rows, reach):
        first, last = days[run[0]].item(), days[run[-1]].item()
        # Several of one day, in bars of minutes, are one finding.
        _, before = spans.get(first, (last, 0))
        spans[first] = (last, before + len(run))
    return [Finding(kind, first, last, say(count, when(first, last))) for first, (last, count) in spans.items()]


def bounded(found: Iterable[Finding]) -> list[Finding]:
    """A series that is wrong throughout needs no thousand sentences: after so many of a kind one says how many more."""
    by_kind: dict[Kind, list[Finding]] = {}
    for finding in found:
        by_kind.setdefault(finding.kind, []).append(finding)
    told = []
    for kind, findings in by_kind.items():
        # In bars of minutes one of a kind and day stands for all.
        ordered = list(
            {finding.first: finding for finding in sorted(findings, key=lambda finding: finding.first)}.values()
        )
        told += ordered[:MOST_OF_A_KIND]
        if rest := ordered[MOST_OF_A_KIND:]:
            first, last = rest[0].first, max(finding.last for finding in rest)
            told.append(Finding(kind, first, last, f"And {len(rest)} more of this kind {when(first, last)}."))
    return told


def plainest(found: list[Finding]) -> list[Finding]:
    """Of two names for the same jump the likelier one."""
    spikes = {finding.first for finding in found if finding.kind == Kind.SPIKE}
    splits = {finding.first for finding in found if finding.kind == Kind.UNADJUSTED_SPLIT} - spikes
    return [
        finding
        for finding in found
        if not (finding.kind == Kind.UNADJUSTED_SPLIT and finding.first in spikes)
        and not (finding.kind == Kind.UNIT and finding.first in splits)
    ]


def is_explained(finding: Finding, others: list[Finding]) -> bool:
    """Whether another one, with a few days around it, explains this one."""
    near = 7
    return any(
        (other.first - finding.last).days <= near and (finding.first - other.last).days <= near for other in others
    )


def how_many(number: int, one: str, several: str = "") -> str:
    if several:
        return f"{number} {one if number == 1 else several}"
    return f"1 {one} is" if number == 1 else f"{number} {one}s are"


def rows_are(number: int) -> str:
    return how_many(number, "row")


def when(first: date, last: date) -> str:
    return f"on {first}" if first == last else f"from {first} to {last}"
