"""Which tables does a tear sheet have? Months, crises, falls, the market's share and trades, written out for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from qfp import metrics, regression, windows
from qfp.figures import percent, ratio, signed
from qfp.tearsheet.charts import written_date
from qfp.tearsheet.factors import factor_table
from qfp.tearsheet.record import Record
from qfp.tearsheet.table import Table

__all__ = ["MONTHS", "tables"]

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
FALLS_SHOWN = 5
TRADES_SHOWN = 40  # of more than
FEW_TRADES = 60
MISSING = "\N{EN DASH}"


def tables(record: Record) -> list[Table]:
    """All that this record has the numbers for, in order."""
    makers = (_monthly, _falls, _crises, _capm, factor_table, _band, _trades)
    return [table for make in makers if (table := make(record)) is not None]


def _band(record: Record) -> Table | None:
    cells = record.band
    if not cells:
        return None
    by_fill: dict[str, list[Mapping[str, Any]]] = {}
    for cell in cells:
        by_fill.setdefault(cell["fill"], []).append(cell)
    rows, tones = [], []
    for fill, members in by_fill.items():
        name = fill.capitalize() + (" (cannot be had)" if fill == "same close" else "")
        returns, sharpes = ([_known(cell[key]) for cell in members] for key in ("total_return", "sharpe"))
        rows.append((name, *(_percent(value) for value in returns), *(_number(value) for value in sharpes)))
        tones.append(("", *(_tone(value) for value in returns), *(_tone(value, 0.005) for value in sharpes)))
    base = next(cell["fill"] for cell in cells if cell["base"])
    note = (
        f"The result itself is {base} at the stated costs (1×); 0× is without any, 2× twice those. Every order keeps "
        "the size it had, so a run anew, which puts what it saves into larger positions, may end outside of these."
    )
    times = ("0", "1", "2")
    columns = ("Filled at", *(f"Return, {each}×" for each in times), *(f"Sharpe, {each}×" for each in times))
    return Table("band", "Other fills and costs", columns, rows, tones, note)


def _known(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _monthly(record: Record) -> Table:
    rows, tones = [], []
    for year in windows.monthly_table(record.equity, record.dates):
        values = (*year.months, year.total)
        rows.append((str(year.year), *(_percent(value) for value in values)))
        tones.append(("", *(_tone(value) for value in values)))
    return Table("monthly", "Returns by month", ("Year", *MONTHS, "Total"), rows, tones)


def _falls(record: Record) -> Table | None:
    found = [fall for fall in metrics.falls(record.equity) if fall["depth"]][:FALLS_SHOWN]
    if not found:
        return None
    rows = []
    for fall in found:
        start, trough, recovery = (None if fall[k] is None else int(fall[k]) for k in ("start", "trough", "recovery"))  # type: ignore[arg-type]
        assert start is not None and trough is not None
        end = len(record.dates) - 1 if recovery is None else recovery
        rows.append(
            (
                _percent(float(fall["depth"] or 0.0)),
                written_date(record.dates[start]),
                written_date(record.dates[trough]),
                "not yet" if recovery is None else written_date(record.dates[recovery]),
                signed(end - start, 0),
            )
        )
    columns = ("Depth", "Peak", "Trough", "Recovered", "Bars")
    return Table("falls", "Deepest falls", columns, rows, [("loss", "", "", "", "") for _ in rows])


def _crises(record: Record) -> Table:
    stretches = windows.crisis_table(record.equity, record.dates, record.benchmark)
    covered = [stretch for stretch in stretches if stretch.covered]
    with_benchmark = record.benchmark is not None
    rows, tones = [], []
    for stretch in covered:
        values = [stretch.total_return, *([stretch.benchmark] if with_benchmark else []), stretch.max_drawdown]
        crisis = stretch.crisis
        rows.append((crisis.name, f"{crisis.start} to {crisis.end}", *(_percent(value) for value in values)))
        tones.append(("", "", *(_tone(value) for value in values)))
    left_out = [stretch.crisis.name for stretch in stretches if not stretch.covered]
    note = f"Not covered by these bars: {', '.join(left_out)}." if left_out else ""
    columns = ("Crisis", "Dates", "Return", *([record.benchmark_name] if with_benchmark else []), "Max drawdown")
    return Table("crises", "In crises", columns, rows, tones, note)


def _capm(record: Record) -> Table | None:
    if record.benchmark_returns is None or len(record.benchmark_returns) != len(record.returns):
        return None
    found = regression.capm(record.returns, record.benchmark_returns, periods_per_year=record.periods_per_year)
    if not found.defined or not math.isfinite(found.r_squared):
        return None
    rows = []
    for name, each, write in (("Alpha a year", found.annual_alpha, percent), ("Beta", found["beta"], ratio)):
        interval = f"{write(each.low)} to {write(each.high)}"
        error = write(each.error)
        rows.append((name, write(each.value), error, interval, _number(each.t), f"{each.p:.3f}"))
    note = (
        f"Returns on those of {record.benchmark_name.lower()}; R² {found.r_squared:.2f}, "
        f"{signed(found.observations, 0)} returns, Newey-West errors with {found.lags} lags, risk-free rate 0."
    )
    columns = ("CAPM", "Estimate", "HAC error", "95 % interval", "t", "p")
    return Table("capm", "The market's share (CAPM)", columns, rows, [("",) * 6 for _ in rows], note)


def _trades(record: Record) -> Table | None:
    if not len(record.trades):
        return None
    rows, tones = [], []
    total = len(record.trades)
    few = total <= FEW_TRADES
    for trade in record.trades[: total if few else TRADES_SHOWN]:
        fraction, profit = float(trade["return_fraction"]), float(trade["profit"])
        several = len(record.symbols) > 1
        name = (record.symbols[int(trade.get("instrument", 0))],) if several else ()
        rows.append(
            (
                written_date(record.dates[trade["entry_bar"]]),
                written_date(record.dates[trade["exit_bar"]]),
                *name,
                signed(float(trade["size"]), 4).rstrip("0").rstrip("."),
                signed(float(trade["entry_price"]), 2),
                signed(float(trade["exit_price"]), 2),
                signed(profit, 2),
                _percent(fraction),
            )
        )
        tones.append(("",) * (len(rows[-1]) - 2) + (_tone(profit, 0.005), _tone(fraction)))
    columns = ("Entry", "Exit", *(("Instrument",) if len(record.symbols) > 1 else ()), "Size", "Entry price",
               "Exit price", "Profit", "Return")  # fmt: skip
    note = f"The first {TRADES_SHOWN} of {signed(total, 0)} trades; the files of the result's page have all of them."
    return Table("trade_list", "Trades", columns, rows, tones, "" if few else note)


def _percent(value: float) -> str:
    return percent(value) if math.isfinite(value) else MISSING


def _number(value: float) -> str:
    return ratio(value) if math.isfinite(value) else MISSING


def _tone(value: float, least: float = 0.0005) -> str:
    """The colour of what is written as a percentage, or else is at least so large: 0.0 % has none."""
    return "gain" if value >= least else "loss" if value <= -least else ""
