"""What becomes of a series when newer bars of it arrive? The days that both have say whether they are one series.

Equal there: the new days are appended. Away by a constant factor: prices were adjusted for a split or dividend since,
and all of it has to be fetched again. Different in another way: the provider has changed its history, which is told;
the series as it was stays in the store, and in every snapshot that names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

import numpy as np

Columns = Mapping[str, np.ndarray]
# Providers round to six or seven digits.
EQUAL_WITHIN = 1e-6
# Prices that are rounded to a cent and then adjusted agree no better than this.
ONE_FACTOR_WITHIN = 2e-3
FEWEST_FOR_A_FACTOR = 3
NOT_PRICES = ("date", "volume")


class Verdict(StrEnum):
    EQUAL = "equal"
    FACTOR = "factor"
    RESTATED = "restated"
    APART = "apart"


@dataclass(frozen=True)
class Joined:
    """columns, actions: the series with the new days; as it was where `whole` says that all must be fetched again.

    changed: the days before the last one held whose values differ; with a factor all that both have. A provider
    settles its last day late; that is no restatement.
    """

    verdict: Verdict
    columns: Columns
    actions: Columns | None
    whole: bool = False
    changed: list[date] = field(default_factory=list)
    message: str = ""


def join(
    held: Columns,
    held_actions: Columns | None,
    new: Columns,
    new_actions: Columns | None,
    *,
    all_there_is: bool = False,
) -> Joined:
    """Both: columns by name, `date` in order and every date once; the new ones begin somewhere inside of the old.

    Where the new ones begin with the first day held, or before, or are all there is, nothing has to be fetched again.
    """
    everything = all_there_is or new["date"][0] <= held["date"][0]
    since = new["date"][0]
    both, old_rows, new_rows = np.intersect1d(held["date"], new["date"], assume_unique=True, return_indices=True)
    names = [name for name in held if name != "date" and name in new]
    if not len(both) or len(names) != len(held) - 1 or set(new) != set(held):
        message = "No day is in both, or the columns differ."
        if everything:
            return Joined(Verdict.APART, new, new_actions, False, [], message)
        return Joined(Verdict.APART, held, held_actions, True, [], message)
    days = np.unique(both.astype("datetime64[D]")).tolist()
    if factor := _factor(held, new, old_rows, new_rows, names):
        message = f"Earlier values are {factor:.6g} times what they were."
        if everything:
            return Joined(Verdict.FACTOR, new, new_actions, False, days, message)
        return Joined(Verdict.FACTOR, held, held_actions, True, days, message)
    before = held["date"] < since
    columns = {name: np.concatenate([held[name][before], new[name]]) for name in held}
    actions = _joined_actions(held_actions, new_actions, since)
    changed = _changed(held, new, since, both, old_rows, new_rows, names)
    acted = _changed_actions(held_actions, new_actions, since, held["date"][-1])
    days = sorted({*changed, *acted})
    if not days:
        return Joined(Verdict.EQUAL, columns, actions)
    return Joined(Verdict.RESTATED, columns, actions, False, days, _restatement(changed, acted))


def _factor(held: Columns, new: Columns, old_rows: np.ndarray, new_rows: np.ndarray, names: list[str]) -> float | None:
    """What earlier prices were multiplied by: on all common days, or on those before a day with a split or dividend."""
    ratios = []
    for name in names:
        if name in NOT_PRICES:
            continue
        old, fresh = held[name][old_rows], new[name][new_rows]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios.append(fresh / old)
    if not ratios or len(old_rows) < FEWEST_FOR_A_FACTOR:
        return None
    together = np.vstack(ratios)
    if not np.isfinite(together).all() or (together <= 0).any():
        return None
    ratio = together.mean(axis=0)
    if np.abs(together / ratio - 1).max() > ONE_FACTOR_WITHIN:
        return None
    factor = float(np.median(ratio[:FEWEST_FOR_A_FACTOR]))
    if abs(factor - 1) <= 10 * EQUAL_WITHIN:
        return None
    near = np.abs(ratio / factor - 1) <= ONE_FACTOR_WITHIN
    same = np.abs(ratio - 1) <= 10 * EQUAL_WITHIN
    if abs(factor - 1) <= ONE_FACTOR_WITHIN:  # so small that both would fit
        near = np.abs(ratio / factor - 1) <= abs(factor - 1) / 4
    last = int(near.sum())
    if last >= FEWEST_FOR_A_FACTOR and near[:last].all() and same[last:].all():
        return factor
    return None


def _changed(
    held: Columns,
    new: Columns,
    since: np.datetime64,
    both: np.ndarray,
    old_rows: np.ndarray,
    new_rows: np.ndarray,
    names: list[str],
) -> list[date]:
    last = held["date"][-1]
    differs = np.zeros(len(both), bool)
    for name in names:
        differs |= ~np.isclose(new[name][new_rows], held[name][old_rows], rtol=EQUAL_WITHIN, atol=1e-12, equal_nan=True)
    settled = both < last
    overlap = new["date"][(new["date"] <= last)]
    gone = np.setdiff1d(held["date"][held["date"] >= since], new["date"])
    come = np.setdiff1d(overlap[overlap >= held["date"][0]], held["date"])
    days = np.concatenate([both[differs & settled], gone, come]).astype("datetime64[D]")
    return np.unique(days).tolist()


def _changed_actions(old: Columns | None, new: Columns | None, since: np.datetime64, last: np.datetime64) -> list[date]:
    """Days up to the last one held whose split or dividend is another one now."""

    def told(actions: Columns | None) -> dict[date, tuple[float, float]]:
        if actions is None:
            return {}
        inside = (actions["date"] >= since) & (actions["date"] < last)
        days = actions["date"][inside].astype("datetime64[D]").tolist()
        rows = zip(actions["split"][inside].round(6), actions["dividend"][inside].round(6), strict=True)
        return dict(zip(days, rows, strict=True))

    before, after = told(old), told(new)
    return sorted(day for day in {*before, *after} if before.get(day) != after.get(day))


def _joined_actions(old: Columns | None, new: Columns | None, since: np.datetime64) -> Columns | None:
    if old is None:
        return new
    before = old["date"] < since
    kept = {name: values[before] for name, values in old.items()}
    if new is not None:
        kept = {name: np.concatenate([kept[name], new[name]]) for name in kept}
    return kept if len(kept["date"]) else None


def _restatement(changed: list[date], acted: list[date]) -> str:
    parts = []
    if changed:
        days = "1 day" if len(changed) == 1 else f"{len(changed)} days"
        where = f"on {changed[0]}" if len(changed) == 1 else f"between {changed[0]} and {changed[-1]}"
        parts.append(f"The provider has changed the values of {days} {where}.")
    if acted:
        where = f"on {acted[0]}" if len(acted) == 1 else f"between {acted[0]} and {acted[-1]}"
        parts.append(f"The provider has changed splits or dividends {where}, and with them all adjusted prices before.")
    return " ".join([*parts, "Earlier snapshots keep what they had."])
