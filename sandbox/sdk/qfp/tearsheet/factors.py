"""What do the returns owe to size, value and momentum? A regression on each set of factors that the data have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from qfp import regression
from qfp.figures import count, percent, ratio
from qfp.tearsheet.record import FactorSet, Record
from qfp.tearsheet.table import Table

__all__ = ["factor_sets", "factor_table"]

NAMES = {
    "mkt_rf": "Market",
    "smb": "Size (SMB)",
    "hml": "Value (HML)",
    "rmw": "Profitability (RMW)",
    "cma": "Investment (CMA)",
    "mom": "Momentum (MOM)",
}
MODELS = {
    "Three factors": ("mkt_rf", "smb", "hml"),
    "Three factors and momentum": ("mkt_rf", "smb", "hml", "mom"),
    "Five factors": ("mkt_rf", "smb", "hml", "rmw", "cma"),
    "Five factors and momentum": ("mkt_rf", "smb", "hml", "rmw", "cma", "mom"),
}
NEEDED = ("mkt_rf", "rf")
UNITS = {"1mo": ("M", "month", 12.0), "1d": ("D", "day", 252.0)}
LEAST = 24  # periods; with fewer, errors are wider than anything they could tell
# Bars that end so many days before their month does have all of it: a weekend and a holiday.
OPEN_END = 3
COLUMNS = ("Factor", "Estimate", "HAC error", "95 % interval", "t", "p")


class _Fit(NamedTuple):
    found: regression.Regression
    first: np.datetime64
    last: np.datetime64


def factor_sets(tables: Sequence[tuple[Mapping[str, str], Mapping[str, np.ndarray]]]) -> list[FactorSet]:
    """Those with a market factor and a risk-free rate among series of the kind "factors".

    tables: what the catalogue says of each (name, interval), and its columns with `date`.
    """
    return [
        FactorSet(about["name"], about["interval"], columns["date"], columns)
        for about, columns in tables
        if about["interval"] in UNITS and all(name in columns for name in NEEDED)
    ]


def factor_table(record: Record) -> Table | None:
    """A row per coefficient of each model; None where the data have no factors."""
    if not record.factors:
        return None
    rows: list[tuple[str, ...]] = []
    notes = []
    for title, names in MODELS.items():
        able = [each for each in record.factors if all(name in each.columns for name in names)]
        if not able:
            continue
        source, (returns, at) = max(((each, _aligned(record, each)) for each in able), key=lambda pair: len(pair[1][0]))
        fit = _fitted(source, names, returns, at)
        if isinstance(fit, str):
            notes.append(f"{title}: {fit}")
            continue
        rows += _rows(title, fit.found)
        notes.append(f"{title}: {_said(source, fit)}")
    if not rows and not notes:
        return None
    notes.append(
        "Returns above the risk-free rate of the same table, on returns of US factors (Fama and French); the first "
        "period and one that the bars do not cover whole are left out."
    )
    return Table("factors", "What factors explain", COLUMNS, rows, [("",) * 6 for _ in rows], " ".join(notes))


def _aligned(record: Record, source: FactorSet) -> tuple[np.ndarray, np.ndarray]:
    """Returns of the account over periods of the factors, and the row of each period in their table."""
    unit = UNITS[source.interval][0]
    own, theirs = (dates.astype(f"datetime64[{unit}]") for dates in (record.dates, source.dates))
    ends = np.flatnonzero(np.append(own[1:] != own[:-1], True))
    if unit == "M" and len(ends):
        last = record.dates[-1].astype("datetime64[D]")
        month_end = (own[-1] + 1).astype("datetime64[D]") - np.timedelta64(1, "D")
        if month_end - last > np.timedelta64(OPEN_END, "D"):
            ends = ends[:-1]
    found = np.searchsorted(theirs, own[ends])
    there = found < len(theirs)
    there[there] = theirs[found[there]] == own[ends][there]
    # A return spans one period of the factors, or cannot be compared.
    whole = there[1:] & there[:-1] & (np.diff(found) == 1)
    equity = record.equity[ends]
    with np.errstate(divide="ignore", invalid="ignore"):
        returns = equity[1:] / equity[:-1] - 1
    return returns[whole], found[1:][whole]


def _fitted(source: FactorSet, names: Sequence[str], returns: np.ndarray, at: np.ndarray) -> _Fit | str:
    """The regression, or why there is none."""
    unit, word, year = UNITS[source.interval]
    span = f"{_written(source.dates[0], unit)} to {_written(source.dates[-1], unit)}"
    if not len(returns):
        return f"no overlap, {source.name} has no {word} of these bars, only {span}."
    columns = {name: source.columns[name][at] for name in names}
    found = regression.factor_model(returns, columns, source.columns["rf"][at], periods_per_year=year)
    if found.observations < LEAST:
        return f"only {found.observations} {word}s in common with {source.name} ({span}), {LEAST} are needed."
    if not found.defined:
        return "not defined, the returns or the factors do not vary."
    return _Fit(found, source.dates[at[0]], source.dates[at[-1]])


def _rows(title: str, found: regression.Regression) -> list[tuple[str, ...]]:
    written = [(f"{title}: alpha a year", found.annual_alpha, percent)]
    written += [(NAMES[each.name], each, ratio) for each in found.coefficients[1:]]
    return [
        (name, write(each.value), write(each.error), f"{write(each.low)} to {write(each.high)}", ratio(each.t),
         f"{each.p:.3f}")
        for name, each, write in written
    ]  # fmt: skip


def _said(source: FactorSet, fit: _Fit) -> str:
    unit, word, _ = UNITS[source.interval]
    return (
        f"{count(fit.found.observations)} {word}s, {_written(fit.first, unit)} to {_written(fit.last, unit)}, of "
        f"{source.name}; R² {fit.found.r_squared:.2f}, Newey-West errors with {fit.found.lags} lags."
    )


def _written(date: np.datetime64, unit: str) -> str:
    return str(date.astype(f"datetime64[{unit}]"))
