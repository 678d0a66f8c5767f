"""How does a series become a frame? On its mapped file where it can lie there, adjusted where it is asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qfp import minutes, objects
from qfp.data import catalogue
from qfp.data.days import ALL, Span

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Adjust = Literal["all", "split"] | None


def adjusted_columns(
    folder: Path,
    entry: Mapping[str, Any],
    adjust: Adjust,
    names: Collection[str] | None = None,
    span: Span = ALL,
) -> dict[str, Any]:
    """The columns of a series with prices, adjusted as asked for. Used by the site, too: one path for
    both. What needs no change lies on the mapped file.

    names, span: what is asked for at least. Of minutes without splits and dividends, nothing else is read.
    """
    import numpy as np

    from qfp.adjustment import adjust as apply

    if not entry["actions"]:
        return objects.read(folder, entry["object"], names, *span)
    columns = objects.read(folder, entry["object"])
    found = objects.read(folder, entry["actions"])
    dates = columns.pop("date")
    at = np.searchsorted(dates, found["date"])
    plain = {"dividend": 0.0, "split": 1.0}
    acted = {}
    for name, usual in plain.items():
        if np.all(found[name] == usual):
            acted[name] = np.broadcast_to(usual, len(dates))  # as long as the others, and no memory
        else:
            acted[name] = np.full(len(dates), usual)
            acted[name][at] = found[name]
    if not len(at):
        return {"date": dates, **columns, **acted}
    return {"date": dates, **apply({**columns, **acted}, adjust)}


def bars(series: str, adjust: Adjust, names: Collection[str] | None = None, span: Span = ALL) -> pd.DataFrame:
    """A series with prices. names, span: what is asked for at least."""
    held = catalogue.current()
    held.read[series] = None
    entry = held.by_id[series]
    if not entry["actions"]:
        return stored(entry, names, span)
    if adjust is not None:
        return frame_of(adjusted_columns(catalogue.folder_of(entry), entry, adjust), entry)
    if series not in held.frames:
        held.frames[series] = frame_of(adjusted_columns(catalogue.folder_of(entry), entry, None), entry)
    return held.frames[series]


def stored(entry: dict[str, Any], names: Collection[str] | None = None, span: Span = ALL) -> pd.DataFrame:
    """A whole series as it is stored, on its mapped file. It is kept: a part of it is a view, and pandas copies when
    somebody writes to it, because the kept one is a second owner.

    Of minutes, only these columns and rows, in memory of their own, which is not kept.
    """
    import pandas as pd

    held, folder = catalogue.current(), catalogue.folder_of(entry)
    if (found := held.stored.get(entry["id"])) is not None:
        return found
    path = objects.object_path(folder, entry["object"])
    if path.suffix == objects.PARQUET:
        dates, columns, values = minutes.read(path, names, *span)
        return pd.DataFrame(values.T, index=index_of(dates, entry), columns=columns, copy=False)
    if block := objects.read_block(path):
        dates, columns, values = block
        if (key := tuple(columns)) not in held.labels:
            held.labels[key] = pd.Index(columns)
        frame = pd.DataFrame(values.T, index=index_of(dates, entry), columns=held.labels[key], copy=False)
    else:
        read = objects.read(folder, entry["object"])
        frame = frame_of(read, entry) if "date" in read else pd.DataFrame(read, copy=False)
    held.stored[entry["id"]] = frame
    return frame


def kept_panel(entries: list[dict[str, Any]], names: list[str]) -> pd.DataFrame | None:
    """Their closes from the panel of a universe that holds them all, if there is one."""
    if len(entries) < 8:
        return None  # opening so few files is as quick
    wanted = [entry["id"] for entry in entries]
    for key, universe in catalogue.current().universes.items():
        if not universe.get("panel") or not {m["series"] for m in universe["members"]}.issuperset(wanted):
            continue
        places, frame = _panel_of(key)
        if wanted == list(places):
            return frame.set_axis(names, axis=1)
        part = frame.iloc[:, [places[name] for name in wanted]].set_axis(names, axis=1)
        return part[part.notna().any(axis=1)]
    return None


def index_of(dates: np.ndarray, entry: dict[str, Any]) -> pd.DatetimeIndex:
    import pandas as pd

    index = pd.DatetimeIndex(dates, name="date", copy=False)  # on the mapped file, too
    # Bars within a day, and tables with a time of day, are at instants.
    return index.tz_localize("UTC") if entry.get("zone") and entry["interval"] != "1d" else index


def frame_of(columns: dict[str, Any], entry: dict[str, Any]) -> pd.DataFrame:
    import pandas as pd

    values = {name: column for name, column in columns.items() if name != "date"}
    return pd.DataFrame(values, index=index_of(columns["date"], entry), copy=False)


def _panel_of(universe: str) -> tuple[dict[str, int], pd.DataFrame]:
    """A kept panel as a frame on its mapped file, and where each series stands."""
    import pandas as pd

    from qfp import panels

    held = catalogue.current()
    if universe not in held.panels:
        names, dates, values = panels.read(catalogue.folder(), held.universes[universe])
        index = index_of(dates, held.by_id[names[0]])
        frame = pd.DataFrame(values.T, index=index, columns=names, copy=False)
        held.panels[universe] = {name: place for place, name in enumerate(names)}, frame
    return held.panels[universe]
