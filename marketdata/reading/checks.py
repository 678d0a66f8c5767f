"""What is wrong with the rows? Values that cannot be, rows twice or out of order, and times that are seldom meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import naming
from .limits import grouped
from .placing import DAY

if TYPE_CHECKING:
    from .table import Table

FAR_JUMP = 10.0
LONG_GAP = 366 * DAY


def check_values(table: Table, columns: dict[str, Any], lines: Any) -> None:
    import numpy as np

    for name, values in columns.items():
        if not isinstance(values, np.ndarray):
            continue
        infinite = np.isinf(values)
        if infinite.any():
            forgiven = table.choices["infinities"] == "missing"
            table.remark(
                "warning" if forgiven else "stop",
                "infinities",
                f"{name} is infinite" + (" and is left empty." if forgiven else "."),
                lines[infinite],
            )
            values[infinite] = np.nan
        missing = np.isnan(values)
        if missing.all():
            table.remark("warning", "missing", f"{name} is empty in every row.")
        elif missing.any():
            table.remark("note", "missing", f"{name} is missing.", lines[missing])
        with np.errstate(invalid="ignore"):
            if name in naming.PRICES and (values <= 0).any():
                allowed = table.choices["negative"] == "yes"
                table.remark(
                    "note" if allowed else "stop",
                    "negative",
                    f"{name} is negative or zero"
                    + (
                        "."
                        if allowed
                        else ", which no share is; spreads, rates and futures can be. Say so if it is meant."
                    ),
                    lines[values <= 0],
                )
            if name == "volume" and (values < 0).any():
                table.remark(
                    "stop", "volume", "volume is negative. Mend the file or leave the column out.", lines[values < 0]
                )
    if all(isinstance(columns.get(name), np.ndarray) for name in ("high", "low")):
        with np.errstate(invalid="ignore"):
            wrong = columns["high"] < columns["low"]
            for name in ("open", "close"):
                if isinstance(columns.get(name), np.ndarray):
                    room = 1e-9 * np.abs(columns[name])
                    wrong |= (columns[name] > columns["high"] + room) | (columns[name] < columns["low"] - room)
        if wrong.any():
            table.remark("warning", "bars", "The price is outside of the bar's high and low.", lines[wrong])


def remark_order(table: Table, moments: Any, groups: Any, lines: Any) -> None:
    import numpy as np

    steps = np.diff(moments.astype("int64"))
    if len(np.unique(groups)) == 1 and (steps <= 0).all():
        table.remark("note", "order", "The newest row comes first; the rows are turned round.")
        return
    latest = np.maximum.accumulate(moments.astype("int64"))
    late = np.flatnonzero(moments.astype("int64") < latest)
    if len(np.unique(groups)) > 1:
        table.remark("note", "order", "The rows are sorted by date and symbol.")
    elif len(late):
        table.remark(
            "warning", "order", "Rows that are older than one before them; all are sorted by date.", lines[late]
        )


def check_duplicates(table: Table, columns: dict[str, Any], moments: Any, groups: Any, order: Any, lines: Any) -> Any:
    """Which rows (in order) stay: all, or one for each moment if that was chosen."""
    import numpy as np

    sorted_moments, sorted_groups = moments[order], groups[order]
    again = np.zeros(len(order), dtype=bool)
    again[1:] = (sorted_moments[1:] == sorted_moments[:-1]) & (sorted_groups[1:] == sorted_groups[:-1])
    keep = np.ones(len(order), dtype=bool)
    if not again.any():
        return keep
    same = again.copy()
    for values in columns.values():
        if isinstance(values, np.ndarray):
            now = values[order]
            same[1:] &= (now[1:] == now[:-1]) | (np.isnan(now[1:]) & np.isnan(now[:-1]))
        else:
            now = np.asarray(values.to_numpy(zero_copy_only=False))[order]
            same[1:] &= now[1:] == now[:-1]
    differing = int((again & ~same).sum())
    place = int(np.flatnonzero(again)[0])
    day = str(sorted_moments[place])[:16].replace("T", " ").removesuffix(" 00:00")
    text = f"{day} stands in rows {int(lines[order[place - 1]])} and {int(lines[order[place]])}"
    rows = "row has" if differing == 1 else "rows have"
    text += f"; {grouped(differing)} such {rows} other values." if differing else " with the same values."
    wanted = table.choices["duplicates"]
    if wanted == "first":
        keep = ~again
    elif wanted == "last":
        keep[:-1] = ~again[1:]
    level = "warning" if wanted else "stop"
    done = f" The {wanted} of each is kept." if wanted else ""
    table.remark(level, "duplicates", text + done, lines[order[again]])
    return keep


def warn_of_time(table: Table, columns: dict[str, Any], groups: Any, order: Any, lines: Any) -> None:
    """What is possible, but seldom meant: the future, weekends, jumps and long gaps."""
    import numpy as np

    moments, own = table.moments, lines[order]
    future = moments > np.datetime64("now", "us") + np.timedelta64(1, "D")
    if future.any():
        table.remark("warning", "future", "The date is in the future.", own[future])
    if table.interval == "1d":
        weekday = (moments.astype("datetime64[D]").astype("int64") + 3) % 7
        weekend = weekday >= 5
        if weekend.any() and weekend.mean() < 0.15:
            table.remark("warning", "weekend", "The date is a Saturday or Sunday.", own[weekend])
    for group in np.unique(groups[order])[:50]:
        rows = np.flatnonzero(groups[order] == group)
        gaps = np.diff(moments[rows].astype("int64"))
        if table.interval not in ("1y", "3mo", "irregular") and len(gaps) and gaps.max() > LONG_GAP:
            table.remark(
                "warning", "gap", "Nothing for more than a year before this row.", own[rows[1:][gaps > LONG_GAP]]
            )
        close = columns.get("close")
        if isinstance(close, np.ndarray) and len(rows) > 1:
            prices = close[order][rows]
            with np.errstate(all="ignore"):
                change = np.abs(np.log(np.abs(prices[1:] / prices[:-1])))
            jumps = np.isfinite(change) & (change > np.log(FAR_JUMP))
            if jumps.any():
                text = f"close changes more than {FAR_JUMP:g}-fold in one step: a split, or a slip of the decimal sign?"
                table.remark("warning", "jump", text, own[rows[1:][jumps]])
