"""Which bars of ours does a claim speak of? Those of its snapshot at its dates, adjusted as it says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from qfp import adjustment, objects
from qfp.portfolio.market import Market

from marketdata.store import SnapshotMissing
from runner.snapshot_series import by_object

PRICES = ("open", "high", "low", "close")
# A table of so many values, and the dozen like it that checking makes, fit the memory of a worker.
MAX_CELLS = 5_000_000


class NotVerified(Exception):
    """The claim is well-formed but our bars do not confirm it; the text says why."""


@dataclass(frozen=True)
class OurBars:
    """Bars of the claimed period from the snapshot, adjusted as claimed."""

    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    split: np.ndarray | None = None  # shares for one, on the bars of a split that the prices are not adjusted for


def our_bars(store: Path, snapshot: str | None, instrument: dict[str, Any], stamps: np.ndarray) -> OurBars:
    """The bars at these dates. Raises NotVerified when they are not a stretch of a series of the snapshot."""
    columns = _columns(store, _held(store, snapshot), instrument, stamps)
    if not set(PRICES) <= set(columns):
        raise NotVerified("The claimed series has no open, high, low and close, so fills cannot be compared with it.")
    dates = columns["date"]
    first = int(np.searchsorted(dates, stamps[0]))
    last = first + len(stamps)
    if last > len(dates) or not np.array_equal(dates[first:last], stamps):
        raise NotVerified("The dates are not an unbroken stretch of the series: bars were added, dropped or resampled.")
    split = columns["split"][first:last] if instrument["adjust"] is None else None
    opened, high, low, close = (columns[name][first:last] for name in PRICES)
    return OurBars(opened, high, low, close, split)


def our_market(
    store: Path, snapshot: str | None, instruments: list[dict[str, Any]], stamps: np.ndarray, one_price: bool = False
) -> Market:
    """The bars of several instruments on the union of their dates, with the splits and dividends that the prices are
    not adjusted for. Raises NotVerified when the dates are not that union, or an instrument's bars were cut off.

    one_price: where a series has closes only, its other prices are these; otherwise nobody's are there.
    """
    if len(stamps) * len(instruments) > MAX_CELLS:
        raise NotVerified("It has more bars and instruments than can be replayed.")
    shape = (len(stamps), len(instruments))
    fields = {name: np.full(shape, np.nan) for name in PRICES}
    split, dividend = np.ones(shape), np.zeros(shape)
    closes_only = False
    entries = _held(store, snapshot)
    for at, instrument in enumerate(instruments):
        columns = _columns(store, entries, instrument, stamps)
        name = instrument["symbol"]
        if "close" not in columns:
            raise NotVerified(f"The series of {name} has no closes.")
        priced = [column for column in PRICES if column in columns]
        closes_only = closes_only or len(priced) < len(PRICES)
        dates = columns["date"]
        within = (dates >= stamps[instrument["first"]]) & (dates <= stamps[-1])
        for column in priced:
            within &= ~np.isnan(columns[column])
        own = dates[within]
        rows = np.searchsorted(stamps, own)
        if not len(own) or not np.array_equal(stamps[rows], own):
            raise NotVerified(f"The dates are not those of the series of {name}: bars were dropped or resampled.")
        if rows[0] != instrument["first"] or rows[-1] != instrument["last"]:
            raise NotVerified(f"Bars of {name} were cut off: the series has others in this period.")
        for column in PRICES if one_price else priced:
            fields[column][rows, at] = columns.get(column, columns["close"])[within]
        if instrument["adjust"] is None:
            split[rows[1:], at] = columns["split"][within][1:]
        if instrument["adjust"] != "all":
            dividend[rows[1:], at] = columns["dividend"][within][1:]
    if np.isnan(fields["close"]).all(axis=1).any():
        raise NotVerified("It has dates on which none of its instruments has a bar.")
    if closes_only and not one_price:
        fields = {"close": fields["close"]}
    symbols = [f"{at} {instrument['symbol']}" for at, instrument in enumerate(instruments)]
    return Market(
        symbols,
        stamps,
        fields,
        split if (split != 1).any() else None,
        dividend if (dividend != 0).any() else None,
        [{} for _ in instruments],
    )


def _held(store: Path, snapshot: str | None) -> dict[str, dict[str, Any]]:
    try:
        return by_object(store, snapshot, with_objects=True)
    except SnapshotMissing:
        raise NotVerified("The data snapshot of this run is not in the store any more.") from None


def _columns(
    store: Path, entries: dict[str, dict[str, Any]], instrument: dict[str, Any], stamps: np.ndarray
) -> dict[str, np.ndarray]:
    """Dates, prices, splits and dividends of the series that an instrument names, at these dates at least."""
    if not entries or instrument["object"] is None:
        raise NotVerified(
            "Its bars came from the program, not from a snapshot, so the site cannot replay them; those of "
            "data.prices() it can."
        )
    entry = entries.get(instrument["object"])
    if entry is None:
        raise NotVerified("The claimed series is not part of this run's data snapshot.")
    if (entry["symbol"], entry["id"]) != (instrument["symbol"], instrument["series"]):
        raise NotVerified(f"The bars are those of {entry['symbol']}, not of the instrument that is named.")
    # Splits and dividends change bars before their day, so then all of it is needed.
    span = (None, None) if entry.get("actions") else (stamps[0], stamps[-1])
    columns = objects.read(store, entry["object"], PRICES, *span)
    if not {"date", "close"} <= set(columns):
        raise NotVerified("The claimed series has no dated closes, so fills cannot be compared with it.")
    dates = columns["date"] = columns["date"].astype("datetime64[us]")
    columns["split"], columns["dividend"] = np.ones(len(dates)), np.zeros(len(dates))
    if entry.get("actions"):
        actions = objects.read(store, entry["actions"])
        where = np.searchsorted(dates, actions["date"].astype("datetime64[us]"))
        for name in ("split", "dividend"):
            values = actions[name].astype(float)
            known = ~np.isnan(values)
            columns[name][where[known]] = values[known]
    raw = {name: columns[name] for name in (*PRICES, "split", "dividend") if name in columns}
    return {"date": dates, **adjustment.adjust(raw, instrument["adjust"])}
