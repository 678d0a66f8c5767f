"""What differs between two runs, and where did it begin? In the order of blame: code, parameters, data, environment,
rules, then the first decision, order's fate, fill and trade that differ, and last what became of the figures.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from django.utils.safestring import mark_safe
from qfp.figures import difference, signed
from qfp.tearsheet.charts import Chart, Trace
from qfp.tearsheet.drawing import svg

from marketdata.changes import Changes, between
from marketdata.store import SnapshotMissing
from runner.models import Backtest, Run
from runner.private import personal_series

__all__ = ["Comparison", "compare"]

MOST_LINES = 400  # of a difference in code
MOST_COMPARED = 2_000  # lines of all files of either run; the time grows with more than their square
TOO_LONG = f"(not the same, and too long to compare line by line: more than {signed(MOST_COMPARED, 0)} lines)"
NONE = "–"
TOLD = " (as told by its program, not verified)"
THIN = "\u202f"

Rows = list[tuple[str, str, str]]


@dataclass
class Pair:
    """Two backtests at the same place of their runs. rules, figures: (name, one, other). first: what differed first, as
    (kind, moment, one, other). picture: both equities as SVG.
    """

    title: str
    one: Backtest
    other: Backtest
    params: Rows
    rules: Rows
    first: list[tuple[str, str, str, str]]
    figures: list[dict[str, str]]
    picture: str
    sentence: str

    @property
    def notices(self) -> list[tuple[str, str]]:
        """What has to be known of either before its figures are compared: states and sentences."""
        return [
            (state, f"{name}: {line}")
            for name, each in (("The first", self.one), ("The second", self.other))
            for state, line in each.standing.notices("figures")
        ]


@dataclass
class Comparison:
    """Empty lists where nothing differs. every_series: whether all series were looked at, or those of the backtests."""

    code: list[tuple[str, str]]
    params: Rows
    same_data: bool
    every_series: bool
    changes: Changes | None
    data_note: str
    environment: Rows
    pairs: list[Pair] = field(default_factory=list)
    unpaired: str = ""

    @property
    def blame(self) -> str:
        """The first thing in the order of blame that differs, in a sentence."""
        if self.code:
            return "The code differs."
        if self.params or any(pair.params for pair in self.pairs):
            return "The code is the same; the parameters differ."
        if not self.same_data:
            return "Code and parameters are the same; the data differ."
        if self.environment:
            return "Code, parameters and data are the same; the environment differs."
        if any(pair.rules for pair in self.pairs):
            return "Everything but the rules is the same."
        if any(pair.first for pair in self.pairs):
            return (
                "Code, parameters, data, environment and rules are the same, and yet the results differ: random "
                "numbers without a seed, or the time of day."
            )
        return "Nothing differs."


def compare(
    one: Run,
    other: Run,
    ours: Sequence[Backtest],
    theirs: Sequence[Backtest],
    *,
    with_trades: bool = True,
    every_series: bool = True,
) -> Comparison:
    """ours, theirs: their backtests, as far as whoever looks may see them. with_trades: whether that includes orders,
    fills and trades. every_series: whether it includes every series that the snapshots name; otherwise those of the
    backtests count that are for everybody.
    """
    changes, note = None, ""
    try:
        if one.snapshot and other.snapshot and one.snapshot != other.snapshot:
            only = None if every_series else _open_series([*ours, *theirs], one.snapshot, other.snapshot)
            changes = between(one.snapshot, other.snapshot, only)
    except SnapshotMissing:
        note = "The data of one of them are not kept any more."
    found = Comparison(
        code=_code(one.revision.files, other.revision.files),
        params=_rows(_values(one), _values(other)),
        same_data=one.snapshot == other.snapshot,
        every_series=every_series,
        changes=changes,
        data_note=note,
        environment=_environment(one, other),
        pairs=[_pair(*both, with_trades) for both in zip(ours, theirs, strict=False)],
    )
    if len(ours) != len(theirs):
        found.unpaired = f"The first has {len(ours)} backtests, the second {len(theirs)}; they are compared in order."
    return found


def _open_series(backtests: Iterable[Backtest], *snapshots: str) -> set[str]:
    """What the backtests stand on, less what is for one person alone in either snapshot."""
    named = {instrument.get("series") for backtest in backtests for instrument in backtest.instruments}
    return {series for series in named if series}.difference(*map(personal_series, snapshots))


def _code(one: dict[str, str], other: dict[str, str]) -> list[tuple[str, str]]:
    """(path, unified difference) of each file that is not the same."""
    found, compared = [], 0
    for path in sorted(one | other):
        if one.get(path) != other.get(path):
            before, after = (files.get(path, "").splitlines() for files in (one, other))
            compared += max(len(before), len(after))
            if compared > MOST_COMPARED:
                found.append((path, TOO_LONG))
                continue
            lines = list(difflib.unified_diff(before, after, "first", "second", lineterm=""))
            more = len(lines) - MOST_LINES
            text = "\n".join(lines[:MOST_LINES]) + (f"\n... {signed(more, 0)} more lines" if more > 0 else "")
            found.append((path, text or "(only in how lines end)"))
    return found


def _values(run: Run) -> dict[str, Any]:
    """Every parameter with the value the run had: chosen, or the code's."""
    declared = {param["name"]: param.get("value", param.get("default")) for param in run.declared_params}
    return declared | run.params


def _rows(one: dict[str, Any], other: dict[str, Any]) -> Rows:
    """(name, one, other) of what is not the same."""
    names = list(dict.fromkeys([*one, *other]))
    return [
        (name, _text(one.get(name)), _text(other.get(name)))
        for name in names
        if name not in one or name not in other or one[name] != other[name]
    ]


def _text(value: Any) -> str:
    if value is None:
        return NONE
    return _plain(value, 10) if isinstance(value, float) else str(value)


def _plain(value: float, digits: int = 6) -> str:
    """As many digits as it needs, grouped as in every figure."""
    return f"{value:,.{digits}g}".replace(",", THIN).replace("-", "\u2212")


def _environment(one: Run, other: Run) -> Rows:
    rows: Rows = []
    if one.environment != other.environment:
        rows.append(("packages of every box", one.environment[:12] or NONE, other.environment[:12] or NONE))
    packages = [dict(run.lock.packages) if run.lock is not None else {} for run in (one, other)]
    rows += _rows(packages[0], packages[1])
    if one.queue != other.queue:
        rows.append(("device", one.queue, other.queue))
    return rows


def _pair(one: Backtest, other: Backtest, with_trades: bool) -> Pair:
    rules = [each.rules | {"cash": each.cash} for each in (one, other)]
    title = one.strategy if one.strategy == other.strategy else f"{one.strategy} and {other.strategy}"
    return Pair(
        title=title,
        one=one,
        other=other,
        params=_rows(one.params, other.params),
        rules=_rows(rules[0], rules[1]),
        first=_first(one, other) if with_trades else [],
        figures=_figures(one, other),
        picture=mark_safe(svg(_chart(one, other))),
        sentence=_sentence(one, other),
    )


def _first(one: Backtest, other: Backtest) -> list[tuple[str, str, str, str]]:
    """The first decision, fate of an order, fill and trade that are not the same."""
    kinds = (
        ("Decision", _decisions),
        ("What became of an order", _fates),
        ("Fill", _fills),
        ("Trade", _trades),
    )
    found = []
    for kind, entries in kinds:
        ours, theirs = entries(one), entries(other)
        at = next((n for n, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), None)
        if at is None and len(ours) != len(theirs):
            at = min(len(ours), len(theirs))
        if at is not None:
            sides = [entries[at] if at < len(entries) else None for entries in (ours, theirs)]
            moment = min(side[0] for side in sides if side is not None)
            found.append((kind, _moment(moment), *(_side(side, moment) for side in sides)))
    return found  # type: ignore[return-value]


def _side(entry: tuple[str, str] | None, moment: str) -> str:
    if entry is None:
        return "none any more"
    return entry[1] if entry[0] == moment else f"none then; the next on {_moment(entry[0])}: {entry[1]}"


def _moment(date: str) -> str:
    day, _, time = date.partition("T")
    return day if not time or time.startswith("00:00:00") else f"{day} {time[:8]}"


def _name(backtest: Backtest, entry: dict[str, Any]) -> str:
    """Which instrument, where there are several."""
    if len(backtest.instruments) < 2:
        return ""
    return f"{backtest.instruments[entry.get('instrument') or 0]['symbol']} "


def _decisions(backtest: Backtest) -> list[tuple[str, str]]:
    return [
        (backtest.dates[order["bar"]], f"{_name(backtest, order)}{_order(order)}")
        for order in sorted(backtest.orders, key=_bar)
    ]


def _fates(backtest: Backtest) -> list[tuple[str, str]]:
    return [
        (
            backtest.dates[order["bar"]],
            f"{_name(backtest, order)}{_order(order)}: {order.get('outcome')}"
            + (f" ({order['reason']})" if order.get("reason") else ""),
        )
        for order in sorted(backtest.orders, key=_bar)
    ]


def _order(order: dict[str, Any]) -> str:
    size = order["size"]
    words = [f"{order.get('kind') or 'market'}:", _sized(size)]
    words += [f"{name} {_text(float(order[name]))}" for name in ("limit", "stop") if order.get(name) is not None]
    return " ".join(words)


def _sized(size: float) -> str:
    amount = f"{abs(size) * 100:.4g} % of the account" if 0 < abs(size) < 1 else _plain(abs(size))
    return f"{'buy' if size > 0 else 'sell' if size < 0 else 'hold'} {amount}"


def _fills(backtest: Backtest) -> list[tuple[str, str]]:
    return [
        (
            backtest.dates[fill["bar"]],
            f"{_name(backtest, fill)}{'buy' if fill['size'] > 0 else 'sell'} {_plain(abs(fill['size']))} at "
            f"{signed(fill['price'], 6)}, costs {signed(fill['commission'], 4)}",
        )
        for fill in sorted(backtest.fills, key=_bar)
    ]


def _trades(backtest: Backtest) -> list[tuple[str, str]]:
    return [
        (
            backtest.dates[int(trade["entry_bar"])],
            f"{_name(backtest, trade)}{_plain(trade['size'])} from {signed(trade['entry_price'], 6)} to "
            f"{signed(trade['exit_price'], 6)} on {_moment(backtest.dates[int(trade['exit_bar'])])}, "
            f"profit {signed(trade['profit'], 2)}",
        )
        for trade in sorted(backtest.trades, key=lambda trade: trade["entry_bar"])
    ]


def _bar(entry: dict[str, Any]) -> int:
    return int(entry["bar"])


def _figures(one: Backtest, other: Backtest) -> list[dict[str, str]]:
    """Label, both texts as on every page, and the difference of the values."""
    theirs = {figure["key"]: figure for figure in other.figures}
    found = []
    for figure in one.figures:
        if (twin := theirs.get(figure["key"])) is None:
            continue
        values = figure.get("value"), twin.get("value")
        known = all(isinstance(value, (int, float)) for value in values)
        change = difference(figure["key"], values[1] - values[0]) if known else NONE
        same = values[0] == values[1]
        found.append(
            {
                **{name: figure[name] for name in ("key", "label", "help", "anchor") if name in figure},
                "one": figure["text"],
                "other": twin["text"],
                "change": "same" if same else change,
            }
        )
    return found


def _chart(one: Backtest, other: Backtest) -> Chart:
    traces = tuple(
        Trace(name, _times(each.dates), np.asarray(each.equity, dtype=float), role)
        for name, each, role in (("first", one, "main"), ("second", other, "fall"))
    )
    return Chart("equity", "Equity of both", "money", traces, _sentence(one, other), (), ())


def _times(dates: Sequence[str]) -> np.ndarray:
    return np.array([date.replace("Z", "") for date in dates], dtype="datetime64[us]")


def _sentence(one: Backtest, other: Backtest) -> str:
    ends = [_last(each.equity) + ("" if each.standing.verified else TOLD) for each in (one, other)]
    return f"Equity ends at {ends[0]} in the first and at {ends[1]} in the second."


def _last(equity: Iterable[float]) -> str:
    values = list(equity)
    return signed(values[-1], 2) if values else NONE
