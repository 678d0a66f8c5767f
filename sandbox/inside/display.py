"""How does a value become a message for the page? IPython's formatters choose the forms; this sends those the page
knows.
"""

from __future__ import annotations

import base64
import json
import math
import warnings
from collections.abc import Callable
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.formatters import BaseFormatter
from traitlets import ObjectName, Unicode

from . import hooks

PLOTLY = "application/vnd.plotly.v1+json"
BOKEH = "application/vnd.qfp.bokeh+json"
TABLE = "application/vnd.qfp.table+json"
SHOWN = {
    PLOTLY, BOKEH, TABLE, "image/png", "image/jpeg", "image/gif", "image/svg+xml", "text/html", "text/markdown",
    "text/latex", "application/json", "text/plain",
}  # fmt: skip
MAX_PLAIN_CHARACTERS = 100_000
TABLE_ROWS = 100
TABLE_COLUMNS = 100
MAX_CELL_CHARACTERS = 300

Emit = Callable[[dict[str, Any]], Any]
_emit: Emit = lambda message: None  # noqa: E731  (replaced by install)


def show_data(data: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
    """Send one mime bundle: what the page cannot show is left out, bytes become base64."""
    kept = {}
    for mime, value in data.items():
        if mime not in SHOWN or value is None:
            continue
        if isinstance(value, (bytes, bytearray)):
            value = base64.b64encode(value).decode("ascii")
        if mime == "text/plain" and isinstance(value, str) and len(value) > MAX_PLAIN_CHARACTERS:
            value = value[:MAX_PLAIN_CHARACTERS] + "\n... (cut)"
        kept[mime] = value
    if TABLE in kept:
        kept.pop("text/html", None)
        kept.pop("text/latex", None)
    if kept:
        _emit({"type": "display", "data": kept, "metadata": metadata if isinstance(metadata, dict) else {}})


class Publisher(DisplayPublisher):
    def publish(self, data, metadata=None, *, transient=None, update=False, **_unused):
        show_data(data, metadata)

    def clear_output(self, wait=False):
        pass  # what was shown stays: a run is a record


class Hook(DisplayHook):
    """The value of a cell's last line. `quiet` is asked about a trailing semicolon; IPython looks in its history."""

    source = ""

    def quiet(self):
        lines = [line for line in self.source.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        return bool(lines) and lines[-1].split("#")[0].rstrip().endswith(";")

    def write_output_prompt(self):
        pass

    def write_format_data(self, format_dict, md_dict=None):
        show_data(format_dict, md_dict)

    def finish_displayhook(self):
        pass


class TableFormatter(BaseFormatter):
    format_type = Unicode(TABLE)
    print_method = ObjectName("_repr_qfp_table_")
    _return_type = dict


def install(shell, emit: Emit) -> None:
    global _emit
    _emit = emit
    tables = TableFormatter(parent=shell.display_formatter)
    shell.display_formatter.formatters[TABLE] = tables
    # pandas says its classes live in `pandas`; older versions named the module they are defined in.
    for module, frame, series in (
        ("pandas", "DataFrame", "Series"),
        ("pandas.core.frame", "DataFrame", None),
    ):
        tables.for_type_by_name(module, frame, frame_table)
        if series:
            tables.for_type_by_name(module, series, lambda series: frame_table(series.to_frame(), counting=True))
    hooks.after_import("plotly.basedatatypes", _fit_plotly)
    hooks.after_import("bokeh.models.layouts", _fit_bokeh_models)
    hooks.after_import("bokeh.io.showing", _fit_bokeh_show)
    hooks.after_import("bokeh.io.saving", _fit_bokeh_save)
    hooks.after_import("bokeh.io.output", _fit_bokeh_output)
    # It warns, on import, of a notebook it takes this for.
    warnings.filterwarnings("ignore", message="Jupyter Notebook detected")
    hooks.after_import("backtesting._plotting", _fit_backtesting)


# Tables


def frame_table(frame, counting: bool = False) -> dict[str, Any]:
    """The first rows of a DataFrame with its index, as columns with kinds; total_rows says how many there are.

    counting: show an index that only counts, too. A Series without it would be a bare column.
    """
    import pandas as pd

    shown = frame.iloc[:TABLE_ROWS, :TABLE_COLUMNS]
    columns, values = [], []
    levels = range(0 if _only_counts(pd, frame.index) and not counting else frame.index.nlevels)
    parts = [(_name(frame.index.names[level]), shown.index.get_level_values(level)) for level in levels]
    parts += [(_name(name), shown.iloc[:, place]) for place, name in enumerate(shown.columns)]
    for name, column in parts:
        kind = _kind(pd, column)
        columns.append({"name": name, "kind": kind})
        values.append([_cell(pd, value, kind) for value in column])
    left_out = frame.shape[1] - shown.shape[1]
    return {
        "columns": columns,
        "rows": [list(row) for row in zip(*values, strict=True)] if values else [],
        "total_rows": len(frame),
        "caption": f"{left_out} more columns are not shown." if left_out > 0 else "",
    }


def _only_counts(pd, index) -> bool:
    """0, 1, 2... says nothing that the place of a row does not say; the numbers of `frame.tail()` do."""
    return isinstance(index, pd.RangeIndex) and index.name is None and (index.start, index.step) == (0, 1)


def _name(name: Any) -> str:
    if name is None:
        return ""
    return " / ".join(map(str, name)) if isinstance(name, tuple) else str(name)


def _kind(pd, column) -> str:
    types = pd.api.types
    if types.is_bool_dtype(column.dtype):
        return "boolean"
    if types.is_datetime64_any_dtype(column.dtype):
        return "date"
    if types.is_numeric_dtype(column.dtype) and not types.is_complex_dtype(column.dtype):
        return "number"
    return "text"


def _cell(pd, value: Any, kind: str) -> Any:
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if kind == "number":
        number = value.item() if hasattr(value, "item") else value
        if isinstance(number, bool):
            return number
        if isinstance(number, int):
            return number if abs(number) < 2**53 else str(number)
        number = float(number)
        return number if math.isfinite(number) else (None if math.isnan(number) else str(number))
    if kind == "boolean":
        return bool(value)
    if kind == "date":
        midnight = value == value.normalize()
        return value.date().isoformat() if midnight and value.tzinfo is None else value.isoformat()
    if isinstance(value, float) and math.isnan(value):
        return None
    text = str(value)
    return text if len(text) <= MAX_CELL_CHARACTERS else text[: MAX_CELL_CHARACTERS - 1] + "\u2026"


# Plotly


def _fit_plotly(module) -> None:
    def show(figure, *_arguments, **_options):
        show_data({PLOTLY: plotly_data(figure)})

    module.BaseFigure.show = show
    module.BaseFigure._ipython_display_ = show


def plotly_data(figure) -> dict[str, Any]:
    """A figure as plain JSON. Plotly's own encoder knows dates and arrays, and writes NaN as null."""
    data = json.loads(figure.to_json())
    return {"data": data.get("data", []), "layout": data.get("layout", {}), "frames": data.get("frames", [])}


# Bokeh, which backtesting draws with. Nothing may open a browser or write a page; its figure travels as JSON.


_shown_bokeh: set[str] = set()


def forget_shown() -> None:
    """In another cell a figure may be shown again."""
    _shown_bokeh.clear()


def show_bokeh(figure, *_arguments, **_options) -> None:
    from bokeh.embed import json_item

    _shown_bokeh.add(figure.id)
    show_data({BOKEH: json_item(figure)})


def _fit_bokeh_models(module) -> None:
    """The value of `bt.plot()` in a cell's last line is the figure it has just shown."""

    def show_once(figure) -> None:
        if figure.id not in _shown_bokeh:
            show_bokeh(figure)

    module.LayoutDOM._ipython_display_ = show_once


def _fit_bokeh_show(module) -> None:
    module.show = show_bokeh


def _fit_bokeh_save(module) -> None:
    module.save = lambda figure, *arguments, **options: show_bokeh(figure)


def _fit_bokeh_output(module) -> None:
    module.output_file = module.output_notebook = lambda *arguments, **options: None


def _fit_backtesting(module) -> None:
    """It asks where to write a page and resets Bokeh's state for that; both have no meaning here."""
    module._bokeh_reset = lambda filename=None: None
    module.show = show_bokeh
    module.IS_JUPYTER_NOTEBOOK = True  # so that it makes up no file name and opens no window
