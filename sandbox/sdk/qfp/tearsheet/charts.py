"""Which charts does a tear sheet have? Each as data, with its sentence and its table; drawing is done elsewhere.

The same charts are drawn as SVG in reports, by a script on the page, and read as tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from qfp import metrics, windows
from qfp.figures import count, percent, ratio, signed
from qfp.metrics.series import median, quantile
from qfp.tearsheet.hours import NEVER, Closed
from qfp.tearsheet.record import Record
from qfp.tearsheet.thinning import thinned

__all__ = ["FORMS", "KEYS", "Chart", "Trace", "charts", "written_date"]

TABLE_ROWS = 120
# Rolling figures look back half a year of bars, and have at least this many.
SHORTEST_WINDOW = 20
# A gap of more than one part of so many of a chart's width is seen, however few points are drawn.
LEAST_SEEN = 100

FORMS: dict[str, Callable[[float], str]] = {
    "currency": count,
    "percent": percent,
    "ratio": ratio,
    "price": lambda value: signed(value, 2),
    "count": count,
}


class Trace(NamedTuple):
    """role: main, benchmark, fall, up, down: what colour it has. mode: line, steps, area, bars or points.

    A line of steps keeps each value until the next: what was held between two bars was held all the while.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    role: str = "main"
    mode: str = "line"


class Chart(NamedTuple):
    """title: the measure with its unit. form, x_form: how values are written, of FORMS; "date" for moments.

    sentence: what it shows, with first, last and extremes. rows: its table. logarithmic: whether a log axis makes
    sense. level: where a reference line is drawn. closed: hours that an axis of moments leaves out.
    """

    key: str
    title: str
    form: str
    traces: tuple[Trace, ...]
    sentence: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    x_form: str = "date"
    x_title: str = ""
    logarithmic: bool = False
    level: float | None = None
    closed: Closed = NEVER


def written_date(moment: Any) -> str:
    """An ISO day, with the time where there is one."""
    text = str(np.datetime64(moment, "s"))
    return text[:10] if text.endswith("T00:00:00") else text[:16].replace("T", " ")


def charts(record: Record, only: str | None = None) -> list[Chart]:
    """All that this record has the numbers for, in order; or the one with this key."""
    makers = MAKERS.items() if only is None else [(only, MAKERS[only])] if only in MAKERS else []
    found = [chart for _, make in makers if (chart := make(record)) is not None]
    return [_in_open_hours(chart, record) for chart in found]


def _in_open_hours(chart: Chart, record: Record) -> Chart:
    """Bars stand for months, and their width is time; all else over time has a point for each bar of the market."""
    if not record.closed or chart.x_form != "date" or any(trace.mode == "bars" for trace in chart.traces):
        return chart
    return chart._replace(closed=record.closed, sentence=f"{chart.sentence} Hours without bars are left out.")


# One each ---------------------------------------------------------------------------------------------------


def _equity(record: Record) -> Chart:
    traces = [Trace("Equity", record.dates, record.equity)]
    if record.benchmark is not None:
        traces.append(Trace(record.benchmark_name, record.dates, record.benchmark, "benchmark"))
    positive = all(bool((trace.y > 0).all()) for trace in traces)
    return _over_time("equity", "Equity, in currency", "currency", traces, logarithmic=positive)


def _drawdown(record: Record) -> Chart:
    below = Trace("Drawdown", record.dates, metrics.drawdowns(record.equity), "fall", "area")
    return _over_time("drawdown", "Drawdown, below the highest value so far", "percent", [below])


def _window(record: Record) -> int:
    half_a_year = max(SHORTEST_WINDOW, round(record.periods_per_year / 2))
    return min(half_a_year, max(SHORTEST_WINDOW, len(record.returns) // 4))


def _rolling_sharpe(record: Record) -> Chart | None:
    window = _window(record)
    values = windows.rolling_sharpe(record.returns, window, record.periods_per_year)
    title = f"Sharpe ratio of the last {window} bars, a year"
    return _rolling("rolling_sharpe", title, record, Trace("Sharpe", record.dates[1:], values), 0.0)


def _rolling_beta(record: Record) -> Chart | None:
    if record.benchmark_returns is None or not record.returns.any():
        return None
    window = _window(record)
    values = windows.rolling_beta(record.returns, record.benchmark_returns, window)
    title = f"Beta of the last {window} bars, to {record.benchmark_name.lower()}"
    return _rolling("rolling_beta", title, record, Trace("Beta", record.dates[1:], values), 1.0)


def _rolling(key: str, title: str, record: Record, trace: Trace, level: float) -> Chart | None:
    known = np.flatnonzero(np.isfinite(trace.y))
    if len(known) < 2 or len(trace.y) != len(record.dates) - 1:
        return None
    # What has no value between two that have one, an account that held nothing, stays: it is a gap.
    within = slice(known[0], known[-1] + 1)
    values = np.where(np.isfinite(trace.y[within]), trace.y[within], np.nan)
    shown = Trace(trace.name, trace.x[within], values, trace.role)
    return _over_time(key, title, "ratio", [shown], level=level)


def _distribution(record: Record) -> Chart | None:
    # An account that holds nothing has returns of exactly 0, which would dwarf all others.
    values = record.returns[np.isfinite(record.returns) & (record.returns != 0)]
    if len(values) < 10 or not np.ptp(values) > 0:
        return None
    # A few far values would leave the rest in two bins: the outer ones hold all beyond.
    low, high = quantile(values, 0.002), quantile(values, 0.998)
    if not high > low:
        low, high = values.min(), values.max()
    edges = np.linspace(low, high, 42)
    counts, _ = np.histogram(np.clip(values, low, high), edges)
    middles = (edges[1:] + edges[:-1]) / 2
    most = int(counts.argmax())
    sentence = (
        f"{count(len(values))} returns other than 0 from {_fine(values.min())} to {_fine(values.max())}, median "
        f"{_fine(median(values))}; most, {count(counts[most])}, lie between {_fine(edges[most])} and "
        f"{_fine(edges[most + 1])}."
    )
    rows = [(_fine(a), _fine(b), count(n)) for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True) if n]
    trace = Trace("Bars", middles, counts.astype(float), mode="bars")
    title = "Returns of the bars on which the account moved, how often each"
    columns = ("From", "To", "Bars")
    return Chart("distribution", title, "count", (trace,), sentence, columns, rows, "percent", "Return of one bar")


def _exposure(record: Record) -> Chart | None:
    if record.net is None or record.gross is None:
        return None
    traces = [Trace("Net", record.dates, record.net, mode="steps")]
    if not np.allclose(record.net, record.gross):
        traces.append(Trace("Gross", record.dates, record.gross, "benchmark", "steps"))
    return _over_time("exposure", "Exposure: value held over the account's value", "percent", traces, level=0.0)


def _turnover(record: Record) -> Chart | None:
    if not len(record.fills):
        return None
    bars = np.array([fill["bar"] for fill in record.fills], dtype=int)
    values = np.array([abs(fill["size"]) * fill["price"] for fill in record.fills], dtype=float)
    traded = np.bincount(bars, values, len(record.dates))
    share = np.divide(traded, record.equity, out=np.zeros(len(traded)), where=record.equity > 0) / 2
    months, at = np.unique(record.dates.astype("datetime64[M]"), return_inverse=True)
    trace = Trace("Turnover", months.astype("datetime64[us]"), np.bincount(at, share), mode="bars")
    return _over_time("turnover", "Turnover of the month: one-way, over the account's value", "percent", [trace])


def _trades_on_price(record: Record) -> Chart | None:
    if record.prices is None:
        return None
    close = record.prices.close
    bars = {side: [f for f in record.fills if (f["size"] > 0) == (side == "Bought")] for side in ("Bought", "Sold")}
    traces = [Trace(record.prices.symbol, record.dates, close, "benchmark")]
    for side, role in (("Bought", "up"), ("Sold", "down")):
        at = np.array([fill["bar"] for fill in bars[side]], dtype=int)
        paid = np.array([fill["price"] for fill in bars[side]], dtype=float)
        if len(at):
            traces.append(Trace(side, record.dates[at], paid, role, "points"))
    fills = [(written_date(record.dates[int(f["bar"])]), f) for f in record.fills[:TABLE_ROWS]]
    rows = [
        (day, "Bought" if f["size"] > 0 else "Sold", signed(abs(f["size"]), 4).rstrip("0").rstrip("."),
         signed(f["price"], 4)) for day, f in fills
    ]  # fmt: skip
    bought, sold = _many(len(bars["Bought"]), "purchase"), _many(len(bars["Sold"]), "sale")
    many = f"{bought} and {sold} on the price."
    sentence = f"{many} {_span(record.prices.symbol, traces[0], 'price')}"
    columns = ("Date", "Side", "Size", "Price")
    title = f"Trades on the price of {record.prices.symbol}"
    return Chart("trades", title, "price", tuple(traces), sentence, columns, rows, logarithmic=bool((close > 0).all()))


def _excursions(record: Record) -> Chart | None:
    trades = [trade for trade in record.trades if trade.get("entry_price")]
    if record.prices is None or not trades:
        return None
    found = metrics.excursions(trades, record.prices.high, record.prices.low)
    adverse = np.array([each["adverse"] for each in found])
    favourable = np.array([each["favourable"] for each in found])
    result = np.array([each["result"] for each in found])
    won = result > 0
    traces = tuple(
        Trace(name, adverse[which], favourable[which], role, "points")
        for name, which, role in (("Won", won, "up"), ("Lost", ~won, "down"))
        if which.any()
    )
    sentence = (
        f"{_many(len(found), 'trade')}: at worst {percent(float(adverse.min()))} against the holder, at best "
        f"{percent(float(favourable.max()))} for it; the median one went {percent(median(adverse))} and "
        f"{percent(median(favourable))}."
    )
    dates = record.dates
    rows = [
        (written_date(dates[trade["entry_bar"]]), percent(a), percent(f), percent(r))
        for trade, a, f, r in list(zip(trades, adverse, favourable, result, strict=True))[:TABLE_ROWS]
    ]
    columns = ("Entry", "Furthest against", "Furthest for", "Result")
    title = "Furthest for each trade (MAE and MFE), over how far it went against it"
    return Chart("excursions", title, "percent", traces, sentence, columns, rows, "percent", "Furthest against")


# What all of them need ---------------------------------------------------------------------------------------


def _over_time(key: str, title: str, form: str, traces: list[Trace], **more: Any) -> Chart:
    write, first = FORMS[form], traces[0]
    known = np.flatnonzero(~np.isnan(first.y))
    picks = known[thinned(first.y[known], TABLE_ROWS)]
    shared = [trace for trace in traces if len(trace.x) == len(first.x)]
    rows = [(written_date(first.x[at]), *(write(float(trace.y[at])) for trace in shared)) for at in picks]
    columns = ("Date", *(trace.name for trace in shared))
    sentence = " ".join(_span(trace.name, trace, form) for trace in traces)
    return Chart(key, title, form, tuple(traces), sentence, columns, rows, **more)


def _span(name: str, trace: Trace, form: str) -> str:
    """First, last and extremes in one sentence."""
    write = FORMS[form]
    low, high = int(np.nanargmin(trace.y)), int(np.nanargmax(trace.y))

    def at(index: int) -> str:
        return f"{write(float(trace.y[index]))} on {written_date(trace.x[index])}"

    return f"{name}: first {at(0)}, last {at(-1)}, lowest {at(low)}, highest {at(high)}."


def _many(number: int, what: str) -> str:
    return f"{count(number)} {what}{'' if number == 1 else 's'}"


def _fine(value: float) -> str:
    return f"{signed(float(value) * 100, 2)}\u00a0%"


MAKERS: dict[str, Callable[[Record], Chart | None]] = {
    "equity": _equity,
    "drawdown": _drawdown,
    "rolling_sharpe": _rolling_sharpe,
    "rolling_beta": _rolling_beta,
    "distribution": _distribution,
    "exposure": _exposure,
    "turnover": _turnover,
    "trades": _trades_on_price,
    "excursions": _excursions,
}
KEYS = tuple(MAKERS)


def points(chart: Chart, most: int, start: Any = None, stop: Any = None) -> Iterator[tuple[Trace, list[int]]]:
    """Each trace with the positions that are drawn: at most `most`, those from start to stop where they are dates.

    Where values are missing, one position without a value keeps what is before apart from what is after.
    """
    for trace in chart.traces:
        first, last = 0, len(trace.x)
        if chart.x_form == "date":
            # One point beyond each end, so that lines go on to the edge.
            first = max(0, int(np.searchsorted(trace.x, start)) - 1) if start is not None else first
            last = min(last, int(np.searchsorted(trace.x, stop, side="right")) + 1) if stop is not None else last
        yield trace, [first + at for at in _apart(trace.y[first:last], most)]


def _apart(values: np.ndarray, most: int) -> list[int]:
    """Thinned, with the gaps that can be seen. The longest have their edges: the value before, a missing one, and the
    value after; where the line would go on over another one, there is a missing one.
    """
    missing = np.isnan(values)
    if not missing.any():
        return thinned(values, most)
    known = np.flatnonzero(~missing)
    if not len(known):
        return [0]
    edges = np.diff(missing.astype(np.int8), prepend=0, append=0)
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    order = np.argsort(starts - stops, kind="stable")
    longest, others = order[: most // 6], order[most // 6 :]
    # Narrower than the distance of two points is too narrow to be seen.
    others = others[(stops - starts)[others] * max(most, LEAST_SEEN) > len(values)]
    around = np.concatenate([starts[longest] - 1, stops[longest]])
    around = around[(around >= 0) & (around < len(values))]
    room = most - 3 * len(longest)
    picks = known[thinned(values[known], max(1, room - len(others), (room - len(longest)) // 2))]
    drawn = np.unique(np.concatenate([picks, starts[longest], around]))
    after = np.searchsorted(drawn, starts[others])
    between, which = np.unique(after, return_index=True)  # one for each two neighbours
    breaks = starts[others][which[(between > 0) & (between < len(drawn))]]
    found: list[int] = np.unique(np.concatenate([drawn, breaks])).tolist()
    return found
