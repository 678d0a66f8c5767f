"""What may a strategy see on this bar? Lines are arrays that end at the current bar and grow with the clock.

A Line is an ordinary NumPy array over the whole series whose length is set anew on every bar, in place. Whatever a
program does with it (an index from the end, a slice, a negative step, .s, .df, a copy in a list), it meets an array
that has no later values: there is nothing to wrap around to. Making a slice per series and bar instead costs several
times as much, and leaves every reference that was kept before with another length.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Bars", "Clock", "Line", "capitalised", "column_of"]

# A NumPy array object begins, after Python's own header, with its data pointer, its number of dimensions and a pointer
# to its lengths (documented as PyArrayObject, unchanged since NumPy 1.0).
_LENGTHS = object.__basicsize__ + 2 * ctypes.sizeof(ctypes.c_void_p)
PRICES = ("Open", "High", "Low", "Close")


def capitalised(bars: Any) -> Any:
    """Bars whose prices are in columns with small letters, as qfp.data gives them, under the names that a Backtest
    reads, in a new frame; anything else as it is.
    """
    columns = getattr(bars, "columns", ())
    if all(name in columns for name in PRICES) or not all(name.lower() in columns for name in PRICES):
        return bars
    return bars.rename(columns={name.lower(): name for name in (*PRICES, "Volume")})


def column_of(frame: Any, name: str, dtype: Any = None) -> np.ndarray:
    """The values of a column: what frame[name].to_numpy(dtype) is, not a copy where that can be, and not to be written
    to. The Series in between takes pandas thirty functions, and to call one for the first time costs a box some pages.
    """
    place = frame.columns.get_loc(name)
    # Not of pandas' public interface, so another pandas may lack it.
    array_of = getattr(frame, "_get_column_array", None) if isinstance(place, int) else None  # the only one of its name
    values = array_of(place) if array_of is not None else None
    if type(values) is not np.ndarray:
        return frame[name].to_numpy(dtype=dtype)
    values = values.view()
    values.flags.writeable = False
    return np.asarray(values, dtype)


def _length_of(array: np.ndarray) -> ctypes.c_ssize_t:
    """The place in memory where the length of the last dimension is kept."""
    lengths = ctypes.c_void_p.from_address(id(array) + _LENGTHS).value
    assert lengths is not None
    return ctypes.c_ssize_t.from_address(lengths + (array.ndim - 1) * ctypes.sizeof(ctypes.c_ssize_t))


class Line(np.ndarray):
    """Values of one series, or one row per series, up to the current bar; the last one is of the current bar.

    `bool(line)` and `float(line)` are those of the last value. `line.s` and `line.df` are pandas objects of what can
    be seen now.
    """

    name: str | Sequence[str] | None = None
    clock: Clock | None = None
    options: dict[str, Any] = {}

    # The whole series lies behind a Line; it is not handed out.
    base = None

    def __bool__(self) -> bool:
        return bool(self.flat[-1]) if self.ndim and self.size else bool(np.asarray(self))

    def __float__(self) -> float:
        return float(self.flat[-1]) if self.ndim and self.size else float(np.asarray(self))

    def __reduce__(self) -> Any:
        return np.asarray(self).copy().__reduce__()

    def __repr__(self) -> str:
        return repr(np.asarray(self))

    def __str__(self) -> str:
        return str(np.asarray(self))

    def _index(self) -> pd.Index | None:
        if self.clock is None:
            return None
        seen, mine = self.clock.length, self.shape[-1]
        return self.clock.index[seen - mine : seen] if mine <= seen else None

    @property
    def s(self) -> pd.Series:
        """A Series of the values seen so far; of the first row where there are several."""
        import pandas as pd

        values = np.asarray(self)
        return pd.Series(values[0] if self.ndim > 1 else values, index=self._index(), name=self.name)

    @property
    def df(self) -> pd.DataFrame:
        """A DataFrame of the values seen so far, one column per row."""
        import pandas as pd

        rows = np.atleast_2d(np.asarray(self))
        names = [self.name] * len(rows) if isinstance(self.name, str) else self.name
        return pd.DataFrame(rows.T, index=self._index(), columns=names)

    def to_series(self) -> pd.Series:
        """The same as .s."""
        return self.s


class Clock:
    """How many bars can be seen. Every Line of a run follows it."""

    def __init__(self, index: pd.Index) -> None:
        self.index = index
        self.length = len(index)
        self.lengths: list[ctypes.c_ssize_t] = []
        self._lines: list[Line] = []  # keeps alive what `lengths` points into
        # A type of this run: also a Line made from others (`high - low`) finds the dates of its bars.
        self.line_type: type[Line] = type("Line", (Line,), {"clock": self, "__module__": __name__})

    def __reduce__(self) -> Any:
        return Clock, (self.index[: self.length],)  # lines travel as plain arrays of what was seen

    def follow(self, values: np.ndarray, name: str | Sequence[str] | None = None, **options: Any) -> Line:
        """A Line over these values; their last dimension has one value per bar of the whole series."""
        values = np.asarray(values)
        if not values.flags.writeable:  # pandas hands out its own memory so
            values = values.copy()
        return self.seen(values, name, **options)

    def seen(self, values: np.ndarray, name: str | Sequence[str] | None = None, **options: Any) -> Line:
        """The same over the very memory of an array."""
        line: Any = values.view(self.line_type)
        line.name, line.options = name, options
        length = _length_of(line)
        length.value = self.length
        self._lines.append(line)
        self.lengths.append(length)
        return line

    def follows(self, line: Line) -> bool:
        """Whether the line grows with this clock, not merely was computed from such lines."""
        return any(line is other for other in self._lines)

    def set(self, length: int) -> None:
        """So many bars can be seen from now on."""
        self.length = length
        for place in self.lengths:
            place.value = length

    def stop(self) -> None:
        """Let go of the lines, which stay as they are. Their type knows the clock, and types wait for the garbage
        collector: with the clock would wait what a finished run has computed, tens of megabytes over a million bars.
        """
        self._lines.clear()
        self.lengths.clear()


class Bars:
    """The bars up to the current one: Open, High, Low, Close, Volume and any further column as Lines.

    `data.Close[-1]` is the close of the current bar; `data["Close"]` is the same. `len(data)` counts the bars seen.
    """

    def __init__(self, frame: pd.DataFrame, clock: Clock, arrays: dict[str, np.ndarray]) -> None:
        """arrays: columns of the frame that other runs over it have asked for."""
        self._shared, self._clock, self._arrays = frame, clock, arrays
        self._own: pd.DataFrame | None = None
        self._pip: float | None = None

    @property
    def _frame(self) -> pd.DataFrame:
        """The frame of this run, to which init() may add."""
        if self._own is None:
            self._own = self._shared.copy(deep=False)
        return self._own

    def _array(self, name: str) -> np.ndarray | None:
        """Not a copy: of millions of bars that takes as long as a run over them. It cannot be written to."""
        if self._own is None and name in self._arrays:
            return self._arrays[name]
        frame = self._shared if self._own is None else self._own
        if name not in frame.columns:
            return None
        values = np.ascontiguousarray(column_of(frame, name)).view()
        values.flags.writeable = False
        if self._own is None:
            self._arrays[name] = values
        return values

    def __getattr__(self, name: str) -> Line:
        # Reached once per column: afterwards it is an ordinary attribute.
        if name.startswith("_"):
            raise AttributeError(name)
        if self._array(name) is None:
            raise AttributeError(self._no_column(name))
        return self[name]

    def __getitem__(self, name: str) -> Line:
        found = self.__dict__.get(name)
        if found is None:
            values = self._array(name)
            if values is None:
                raise KeyError(self._no_column(name))
            found = self._clock.seen(values, name)
            self.__dict__[name] = found
        return found

    def _no_column(self, name: Any) -> str:
        import difflib

        there = list(map(str, self._frame))
        near = difflib.get_close_matches(str(name).casefold(), [each.casefold() for each in there], 1, 0.75)
        meant = next((f". Did you mean {each}?" for each in there if each.casefold() in near), "")
        return f"the bars have no column {name!r}; they have {', '.join(there)}{meant}"

    def holds(self, line: Line) -> bool:
        """Whether this is the line of one of the columns."""
        return vars(self).get(str(line.name)) is line

    def __len__(self) -> int:
        return self._clock.length

    def __iter__(self) -> Iterator[str]:
        return iter(self._frame.columns)

    def __repr__(self) -> str:
        seen = self._clock.length
        last = self._frame.iloc[seen - 1].to_dict() if seen else {}
        at = self._clock.index[seen - 1] if seen else None
        return f"<Bars {seen} up to {at} ({', '.join(f'{name}={value}' for name, value in last.items())})>"

    @property
    def index(self) -> pd.Index:
        """The times of the bars seen so far."""
        return self._clock.index[: self._clock.length]

    @property
    def df(self) -> pd.DataFrame:
        """The bars seen so far as a DataFrame; a column that init() adds to it is there on every bar."""
        seen = self._clock.length
        return self._frame if seen == len(self._frame) else self._frame.iloc[:seen]

    @property
    def pip(self) -> float:
        """The smallest step the prices are quoted in, told from their decimals: 0.01 or 0.0001, for example."""
        if self._pip is None:
            closes = self._frame["Close"].to_numpy(dtype=float)[: self._clock.length]
            decimals = [len(repr(float(price)).partition(".")[2]) for price in closes]
            self._pip = float(10.0 ** -np.median(decimals))
        return self._pip


def _check() -> None:
    """Refuse an unknown build of NumPy at once instead of writing to a wrong place."""
    array = np.arange(6.0).reshape(2, 3)
    line = array.view(Line)
    place = _length_of(line)
    if place.value != 3:
        raise ImportError("This build of NumPy keeps the length of an array elsewhere; qfp.backtesting needs CPython.")
    place.value = 2
    if line.shape != (2, 2) or line[1, -1] != 4.0:
        raise ImportError("This build of NumPy keeps the length of an array elsewhere; qfp.backtesting needs CPython.")


_check()
