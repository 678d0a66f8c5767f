"""How does a result get before somebody's eyes? On the page in order of appearance; on a laptop in the
notebook, the browser or the terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from qfp import channel

__all__ = ["show", "display", "table", "chart", "Table", "Chart"]

PLOTLY = "application/vnd.plotly.v1+json"
TABLE = "application/vnd.qfp.table+json"
MAX_ROWS = 200
# A colour-blind-safe set, in the order of Okabe and Ito.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#B3A300")


def show(*values: Any) -> None:
    """Show each value: charts, Plotly and Matplotlib figures, DataFrames, Series, tables, images, HTML, text.

    On the site it appears beside the code. In a notebook it is displayed; in a terminal figures open in
    the browser and everything else is printed.
    """
    for value in values:
        _show_one(value)


def display(*values: Any) -> None:
    """The same as show(), under the name that notebooks use."""
    show(*values)


def table(data: Any, caption: str = "", max_rows: int = MAX_ROWS) -> Table:
    """A table to show.

    data: a DataFrame, a Series, a dictionary of columns or a list of dictionaries (one a row).
    caption: a line under it. max_rows: so many rows are shown at most; the caption's count is of all.

    Returns a Table; show() it, or leave it as the last expression of a cell.
    """
    return Table(_columns_and_rows(data, max_rows), caption)


def chart(
    data: Any = None,
    title: str = "",
    *,
    x: Any = None,
    y: Any = None,
    kind: str = "line",
    x_title: str = "",
    y_title: str = "",
    log: bool = False,
    height: int = 420,
) -> Chart:
    """A simple chart.

    data: a Series (one line), a DataFrame (a line per numeric column), a dictionary of name to Series or
      sequence, or bars with open, high, low and close for kind="candles".
    x, y: instead of data, one line of these two sequences; y alone or a dictionary of several, too.
    title: what it shows, with its unit. kind: "line", "candles", "bar" or "points".
    x_title, y_title: titles of the axes. log: logarithmic y-axis. height: pixels.

    Returns a Chart; show() it. For anything richer make a Plotly figure and show() that.
    """
    if (data is None) == (y is None):
        raise TypeError("chart() takes either data or y (with x), not both and not neither")
    if kind == "candles":
        traces = [_candles(data)]
    elif kind in ("line", "bar", "points"):
        traces = _traces(y if data is None else data, kind, x)
    else:
        raise ValueError(f'kind is "line", "candles", "bar" or "points", not {kind!r}')
    layout: dict[str, Any] = {
        "title": {"text": title},
        "height": height,
        "margin": {"l": 56, "r": 16, "t": (84 if len(traces) > 1 else 48) if title else 16, "b": 40},
        "colorway": list(COLOURS),
        "showlegend": len(traces) > 1,
        "hovermode": "x unified" if kind == "line" else "closest",
        "xaxis": {"title": {"text": x_title}},
        "yaxis": {"title": {"text": y_title}, "type": "log" if log else "linear"},
    }
    if kind == "candles":
        layout["xaxis"]["rangeslider"] = {"visible": False}
    return Chart(traces, layout)


class Table:
    """Rows and columns as the page draws them."""

    def __init__(self, content: dict[str, Any], caption: str = "") -> None:
        self.content = {**content, "caption": caption}

    def _repr_qfp_table_(self) -> dict[str, Any]:
        return self.content

    def _repr_html_(self) -> str:
        from html import escape

        head = "".join(f"<th>{escape(column['name'])}</th>" for column in self.content["columns"])
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(_as_text(cell))}</td>" for cell in row) + "</tr>"
            for row in self.content["rows"]
        )
        caption = escape(self.content["caption"])
        return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    def __repr__(self) -> str:
        lines = [[column["name"] for column in self.content["columns"]]]
        lines += [[_as_text(cell) for cell in row] for row in self.content["rows"]]
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        kinds = [column["kind"] for column in self.content["columns"]]
        text = [
            "  ".join(
                cell.rjust(width) if kind == "number" else cell.ljust(width)
                for cell, width, kind in zip(line, widths, kinds, strict=True)
            ).rstrip()
            for line in lines
        ]
        hidden = self.content["total_rows"] - len(self.content["rows"])
        notes = [f"... and {hidden} more rows"] if hidden > 0 else []
        return "\n".join([*text, *notes, *([self.content["caption"]] if self.content["caption"] else [])])


class Chart:
    """A figure in Plotly's form, made without importing Plotly."""

    def __init__(self, data: list[dict[str, Any]], layout: dict[str, Any]) -> None:
        self.data, self.layout = data, layout

    def figure(self) -> Any:
        """The same as a plotly.graph_objects.Figure, to change or save."""
        import plotly.graph_objects as go

        return go.Figure(data=self.data, layout=self.layout)

    def show(self) -> None:
        """Show it."""
        show(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {PLOTLY: {"data": self.data, "layout": self.layout}, "text/plain": repr(self)}

    def __repr__(self) -> str:
        title = self.layout.get("title", {}).get("text") or "without title"
        return f"<Chart {title}, {len(self.data)} traces>"


def _show_one(value: Any) -> None:
    if isinstance(value, Chart) and channel.connected:
        channel.emit(
            {
                "type": "display",
                "data": {PLOTLY: {"data": value.data, "layout": value.layout}},
                "metadata": {},
            }
        )
    elif isinstance(value, Table) and channel.connected:
        channel.emit({"type": "display", "data": {TABLE: value.content}, "metadata": {}})
    elif channel.connected or "ipykernel" in sys.modules:
        from IPython.display import display as ipython_display

        ipython_display(value)
    elif isinstance(value, Chart):
        value.figure().show()
    elif (hasattr(value, "show") and hasattr(value, "to_plotly_json")) or (
        "matplotlib.figure" in sys.modules and isinstance(value, sys.modules["matplotlib.figure"].Figure)
    ):
        value.show()
    else:
        print(value)


def _columns_and_rows(data: Any, max_rows: int) -> dict[str, Any]:
    import pandas as pd

    if isinstance(data, pd.Series):
        data = data.to_frame(data.name if data.name is not None else "value")
    elif not isinstance(data, pd.DataFrame):
        data = pd.DataFrame(data)
    only_counts = isinstance(data.index, pd.RangeIndex) and (data.index.start, data.index.step) == (0, 1)
    if not only_counts or data.index.name is not None:
        index = data.index.to_frame(index=False)
        index.columns = [str(name) if name is not None else "" for name in data.index.names]
        data = pd.concat([index, data.reset_index(drop=True)], axis=1)
    shown = data.iloc[:max_rows]
    kinds = [_kind(shown.iloc[:, i]) for i in range(shown.shape[1])]
    columns = [{"name": str(name), "kind": kind} for name, kind in zip(shown.columns, kinds, strict=True)]
    cells = [[_cell(value, kind) for value in shown.iloc[:, i]] for i, kind in enumerate(kinds)]
    return {
        "columns": columns,
        "rows": [list(row) for row in zip(*cells, strict=True)],
        "total_rows": len(data),
    }


def _kind(column: Any) -> str:
    from pandas.api import types

    if types.is_bool_dtype(column.dtype):
        return "boolean"
    if types.is_datetime64_any_dtype(column.dtype):
        return "date"
    return "number" if types.is_numeric_dtype(column.dtype) else "text"


def _cell(value: Any, kind: str) -> Any:
    import pandas as pd

    if pd.api.types.is_scalar(value) and pd.isna(value):
        return None
    if kind == "boolean":
        return bool(value)
    if kind == "number":
        return value.item() if hasattr(value, "item") else value
    if kind == "date":
        return value.date().isoformat() if value == value.normalize() else value.isoformat()
    return str(value)


def _as_text(cell: Any) -> str:
    if cell is None:
        return ""
    return f"{cell:,.6g}" if isinstance(cell, float) else str(cell)


def _plain(values: Any) -> list[Any]:
    """A list for JSON: dates as ISO text, NaN as None."""
    import numpy as np
    import pandas as pd

    index = pd.Index(values)
    if isinstance(index, pd.DatetimeIndex):
        whole_days = bool((index == index.normalize()).all())
        return list(index.strftime("%Y-%m-%d" if whole_days else "%Y-%m-%dT%H:%M:%S"))
    array = np.asarray(values)
    if array.dtype.kind == "f":
        return [float(value) if np.isfinite(value) else None for value in array]
    return [value.item() if hasattr(value, "item") else str(value) for value in array]


def _traces(data: Any, kind: str, x: Any = None) -> list[dict[str, Any]]:
    import pandas as pd

    if isinstance(data, pd.Series):
        lines: Mapping[str, Any] = {str(data.name or ""): data}
    elif isinstance(data, pd.DataFrame):
        lines = {str(name): data[name] for name in data.columns if pd.api.types.is_numeric_dtype(data[name].dtype)}
    elif isinstance(data, Mapping):
        lines = data
    elif isinstance(data, Sequence) or hasattr(data, "__array__"):
        lines = {"": data}
    else:
        raise TypeError(f"chart() takes a Series, a DataFrame, a dictionary or a sequence, not {type(data).__name__}")
    form = {"line": {"type": "scatter", "mode": "lines"}, "bar": {"type": "bar"}}.get(
        kind, {"type": "scatter", "mode": "markers"}
    )
    traces = []
    for name, values in lines.items():
        along = x
        if along is None:
            along = values.index if isinstance(values, pd.Series) else range(len(values))
        if len(along) != len(values):
            raise ValueError(f"x has {len(along)} values and {name or 'y'} has {len(values)}")
        traces.append({**form, "name": str(name), "x": _plain(along), "y": _plain(values)})
    return traces


def _candles(bars: Any) -> dict[str, Any]:
    columns = {str(name).lower(): name for name in bars.columns}
    missing = {"open", "high", "low", "close"} - set(columns)
    if missing:
        raise ValueError(f"candles need open, high, low and close; {', '.join(sorted(missing))} is missing")
    prices = {name: _plain(bars[columns[name]]) for name in ("open", "high", "low", "close")}
    return {
        "type": "candlestick",
        "x": _plain(bars.index),
        **prices,
        "increasing": {"line": {"color": COLOURS[0]}},
        "decreasing": {"line": {"color": COLOURS[1]}},
    }
