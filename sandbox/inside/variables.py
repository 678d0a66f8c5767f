"""What does a live interpreter hold, and what is in a table of it? Lists of variables, and pages of frames and arrays.

Nothing of the user's is changed by looking, and no code of theirs is called that could be avoided: texts of values
are made for types of Python, numpy and pandas only.
"""

from __future__ import annotations

import json
import reprlib
import sys
import types
from typing import Any

from . import display

MAX_VARIABLES = 500
MAX_NAME = 100
MAX_PREVIEW = 120
MAX_PAGE_ROWS = 200
MAX_PAGE_COLUMNS = 50
MAX_PAGE_BYTES = 190_000  # what a page may take on its way, with room for what is put around it
CACHED_ORDERS = 4
PLAIN_MODULES = {"builtins", "datetime", "decimal", "fractions", "pathlib", "collections", "uuid", "enum"}
INDEX_COLUMN = -1

_short = reprlib.Repr()
_short.maxlevel, _short.maxstring, _short.maxother = 3, 60, 60
_short.maxlist = _short.maxtuple = _short.maxdict = _short.maxset = _short.maxfrozenset = _short.maxdeque = 6


class CannotShow(Exception):
    """The question cannot be answered; the text says why."""


# The list


def list_variables(namespace: dict[str, Any], hidden: frozenset[str]) -> dict[str, Any]:
    """The user's own names, in the order they were first given. Modules and names with an underscore are left out."""
    found: list[dict[str, Any]] = []
    more = 0
    for name, value in list(namespace.items()):
        if name.startswith("_") or name in hidden or issubclass(type(value), types.ModuleType):
            continue
        if len(found) >= MAX_VARIABLES:
            more += 1
            continue
        found.append(_describe(name, value))
    return {"variables": found, "more": more}


def _describe(name: str, value: Any) -> dict[str, Any]:
    kind = type(value)
    facts: dict[str, Any] = {"name": name[:MAX_NAME], "type": kind.__name__[:MAX_NAME]}
    facts |= {"shape": "", "size": None, "preview": "", "pages": False}
    try:
        facts.update(_facts(value))
    except (Exception, SystemExit):  # of a class derived from one we know, with ideas of its own
        facts["preview"] = "(could not be looked at)"
    return facts


def _facts(value: Any) -> dict[str, Any]:
    kind = type(value)  # not isinstance(): it believes what a __class__ of the program's own says
    pandas, numpy = sys.modules.get("pandas"), sys.modules.get("numpy")
    if pandas is not None and issubclass(kind, pandas.DataFrame):
        return {
            "shape": _shape(value.shape),
            "size": int(value.memory_usage(deep=False).sum()),
            "preview": _cut(", ".join(f"{display._name(name)}" for name in value.columns[:12])),
            "pages": True,
        }
    if pandas is not None and issubclass(kind, (pandas.Series, pandas.Index)):
        texts = [str(each) for each in value[:6].tolist()]
        return {
            "type": type(value).__name__ + f" ({value.dtype})"[:40],
            "shape": _shape(value.shape),
            "size": int(value.memory_usage(deep=False)),
            "preview": _cut(", ".join(texts) + (", …" if len(value) > 6 else "")),
            "pages": True,
        }
    if numpy is not None and issubclass(kind, numpy.ndarray):
        texts = [str(each) for each in value.flat[:6].tolist()]
        return {
            "type": f"ndarray ({value.dtype})"[:60],
            "shape": _shape(value.shape),
            "size": int(value.nbytes),
            "preview": _cut(", ".join(texts) + (", …" if value.size > 6 else "")),
            "pages": value.ndim in (1, 2),
        }
    facts: dict[str, Any] = {"size": sys.getsizeof(value)}
    if issubclass(kind, (str, bytes, list, tuple, dict, set, frozenset)):
        facts["shape"] = _grouped(len(value))
    if issubclass(kind, types.FunctionType):
        names = value.__code__.co_varnames[: value.__code__.co_argcount]
        facts["preview"] = _cut(f"{value.__name__}({', '.join(names)})")
    elif issubclass(kind, type):
        facts["preview"] = _cut(value.__qualname__)
    elif type(value).__module__.partition(".")[0] in PLAIN_MODULES | {"numpy", "pandas"}:
        facts["preview"] = _cut(_short.repr(value))
    return facts


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(_grouped(length) for length in shape)


def _grouped(number: int) -> str:
    """With thin spaces, where no line may break, as everywhere on the site."""
    return f"{number:,}".replace(",", "\u202f")


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_PREVIEW else text[: MAX_PREVIEW - 1] + "…"


# Pages


class Orders:
    """The orders of rows that were asked for lately: sorting a million rows takes longer than showing fifty."""

    def __init__(self) -> None:
        self._kept: list[tuple[Any, int, bool, Any]] = []

    def clear(self) -> None:
        """A cell may change what it likes."""
        self._kept.clear()

    def get(self, value: Any, frame: Any, column: int, descending: bool) -> Any:
        for kept in self._kept:
            if kept[0] is value and kept[1:3] == (column, descending):
                return kept[3]
        order = _order(frame, column, descending)
        self._kept = [*self._kept[-CACHED_ORDERS + 1 :], (value, column, descending, order)]
        return order


def page(namespace: dict[str, Any], orders: Orders, question: dict[str, Any]) -> dict[str, Any]:
    """Rows and columns of a table, sorted if asked for, as few as fit."""
    name = str(question.get("name"))
    if name not in namespace:
        raise CannotShow(f"There is no variable {name[:MAX_NAME]} any more.")
    value = namespace[name]
    frame = _as_frame(value)
    first = _clamp(question.get("first"), 0, max(0, len(frame) - 1))
    count = _clamp(question.get("count"), 1, MAX_PAGE_ROWS)
    left = _clamp(question.get("left"), 0, max(0, frame.shape[1] - 1))
    width = _clamp(question.get("width"), 1, MAX_PAGE_COLUMNS)
    sort, descending = question.get("sort"), question.get("descending") is True
    rows: Any = slice(first, first + count)
    if isinstance(sort, int):
        if not INDEX_COLUMN <= sort < frame.shape[1]:
            raise CannotShow("There is no such column any more.")
        rows = orders.get(value, frame, sort, descending)[rows]
    else:
        sort = None
    shown = frame.iloc[rows, left : left + width]
    answer = _table(shown)
    while len(json.dumps(answer, ensure_ascii=True)) > MAX_PAGE_BYTES and len(answer["rows"]) > 1:
        answer["rows"] = answer["rows"][: len(answer["rows"]) // 2]
    return {
        **answer,
        "name": name[:MAX_NAME],
        "total_rows": len(frame),
        "total_columns": frame.shape[1],
        "first": first,
        "left": left,
        "sort": sort,
        "descending": descending,
    }


def _as_frame(value: Any) -> Any:
    """The value as a DataFrame; no row of a large one is copied."""
    import pandas

    kind = type(value)
    numpy = sys.modules["numpy"]
    if issubclass(kind, pandas.DataFrame):
        return value
    if issubclass(kind, pandas.Series):
        return value.to_frame(value.name if value.name is not None else "value")
    if issubclass(kind, pandas.Index):
        return value.to_frame(index=False)
    if issubclass(kind, numpy.ndarray) and value.ndim in (1, 2):
        if value.dtype.names:
            return pandas.DataFrame(value)
        return pandas.DataFrame(value, columns=["value"] if value.ndim == 1 else None, copy=False)
    raise CannotShow(f"A {type(value).__name__} has no rows to page through.")


def _order(frame: Any, column: int, descending: bool) -> Any:
    """Positions of the rows in the order of a column; missing values come last, equal ones stay as they were."""
    import pandas

    values = frame.index.get_level_values(0) if column == INDEX_COLUMN else frame.iloc[:, column]
    series = pandas.Series(values.array, copy=False)
    try:
        ordered = series.sort_values(ascending=not descending, kind="stable")
    except TypeError:  # of several types: as they read
        ordered = series.astype(str).sort_values(ascending=not descending, kind="stable")
    return ordered.index.to_numpy()


def _table(shown: Any) -> dict[str, Any]:
    """Columns with kinds and rows of plain values. The index comes first, even where it only numbers the rows: sorted
    rows are told apart by it.
    """
    import pandas

    index = shown.index
    levels = range(index.nlevels)
    parts = [(display._name(index.names[level]), index.get_level_values(level)) for level in levels]
    parts += [(display._name(name), shown.iloc[:, place]) for place, name in enumerate(shown.columns)]
    columns, values = [], []
    for name, part in parts:
        kind = display._kind(pandas, part)
        columns.append({"name": name[:MAX_NAME], "kind": kind})
        values.append([display._cell(pandas, value, kind) for value in part])
    return {
        "columns": columns,
        "index_columns": index.nlevels,
        "rows": [list(row) for row in zip(*values, strict=True)],
    }


def _clamp(value: Any, low: int, high: int) -> int:
    return max(low, min(high, value)) if isinstance(value, int) else low
