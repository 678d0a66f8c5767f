"""How does what somebody would read now differ from what a run has read? Snapshot against snapshot, by series."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.conf import settings
from qfp import objects

from marketdata.store import bring, read_manifest

MOST_SHOWN = 50


@dataclass(frozen=True)
class Change:
    """A series that is there before and after, with other values."""

    id: str
    symbol: str
    rows_before: int
    rows_after: int
    first: str  # day from which on they differ
    differing: int  # rows that both have, with other values
    actions: bool  # other splits or dividends


@dataclass(frozen=True)
class Changes:
    changed: Sequence[Change]
    more: int  # changed ones that were not looked at
    gone: Sequence[str]
    new: int

    def __bool__(self) -> bool:
        return bool(self.changed or self.gone or self.new)


def between(before: str, after: str, only: Collection[str] | None = None) -> Changes:
    """What differs, of all series or of those with an id in `only`. Raises store.SnapshotMissing."""
    old, new = (_entries(snapshot, only) for snapshot in (before, after))
    others = [
        name
        for name, entry in old.items()
        if name in new and any(entry[key] != new[name][key] for key in ("object", "actions"))
    ]
    others.sort(key=lambda name: (new[name].get("rights", "redistribute") == "redistribute", name))  # own ones first
    return Changes(
        changed=[_change(old[name], new[name]) for name in others[:MOST_SHOWN]],
        more=max(0, len(others) - MOST_SHOWN),
        gone=sorted(set(old) - set(new)),
        new=len(set(new) - set(old)),
    )


def _entries(snapshot: str, only: Collection[str] | None) -> dict[str, dict[str, Any]]:
    entries = read_manifest(settings.STORE_DIR, snapshot)["series"]
    return {entry["id"]: entry for entry in entries if only is None or entry["id"] in only}


def _change(old: dict[str, Any], new: dict[str, Any]) -> Change:
    bring({old["object"], new["object"]})
    before, after = (objects.read(settings.STORE_DIR, entry["object"]) for entry in (old, new))
    first, differing = _compare(before, after)
    return Change(
        id=new["id"],
        symbol=new["symbol"],
        rows_before=old["rows"],
        rows_after=new["rows"],
        first=first,
        differing=differing,
        actions=old["actions"] != new["actions"],
    )


def _compare(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> tuple[str, int]:
    """(the first day that only one has, or on which they differ; how many rows of both differ)"""
    if "date" not in before or "date" not in after:
        return "", 0
    both, here, there = np.intersect1d(before["date"], after["date"], assume_unique=True, return_indices=True)
    differs = np.full(len(both), set(before) != set(after))
    for name in (set(before) & set(after)) - {"date"}:
        left, right = before[name][here], after[name][there]
        same = left == right
        if left.dtype.kind == right.dtype.kind == "f":
            same |= np.isnan(left) & np.isnan(right)
        differs |= ~same
    days = [*both[differs][:1], *np.setxor1d(before["date"], after["date"], assume_unique=True)[:1]]
    return (str(min(days).astype("datetime64[D]")) if days else ""), int(differs.sum())
