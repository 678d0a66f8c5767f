"""What do the instruments of a portfolio look like side by side? Their bars on the union of their calendars.

A bar that an instrument does not have stays missing: nothing is filled forward into a price that an order could fill
at. Only the account's value looks at the last price there was.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from qfp import panels
from qfp.moments import instants
from qfp.replay import PortfolioReplay, replay_portfolio

if TYPE_CHECKING:
    from qfp.conventions import PortfolioRules

__all__ = ["Market", "UnknownInstrument"]

PATIENCE = np.timedelta64(7, "D")
FIELDS = ("open", "high", "low", "close", "volume")


class UnknownInstrument(ValueError):
    """An instrument was named that is not among those of the backtest; the sentence says which are."""

    def __init__(self, symbol: Any, symbols: Sequence[str]) -> None:
        near = difflib.get_close_matches(str(symbol).upper(), symbols, 3, 0.3) or list(symbols[:5])
        super().__init__(f"{symbol!r} is not among the instruments of this backtest; there is {', '.join(near)}.")


@dataclass
class Market:
    """The bars of several instruments: a row per date of the union, a column per instrument, NaN where it has no bar.

    about: what is known of each column: symbol, series, object, adjust, snapshot.
    split, dividend: on their ex-dates, in shares of that day; None where no instrument has any.
    """

    symbols: list[str]
    index: Any
    fields: dict[str, np.ndarray]
    split: np.ndarray | None
    dividend: np.ndarray | None
    about: list[dict[str, Any]]

    def __post_init__(self) -> None:
        self.column = {symbol: at for at, symbol in enumerate(self.symbols)}
        self._looked_up: tuple[Any, list[int]] | None = None

    @classmethod
    def of(cls, bars: Mapping[str, Any]) -> Market:
        """From frames by symbol, as data.prices() gives them. Raises ValueError, with what to change, for frames that
        are empty, have no close, or are not in the order of their dates.
        """
        if not bars:
            raise ValueError("there are no instruments: give a dictionary of bars by symbol, or a list of symbols")
        frames = {str(symbol): _checked(str(symbol), frame) for symbol, frame in bars.items()}
        symbols = list(frames)
        zones = {str(getattr(frame.index, "tz", None)) for frame in frames.values()}
        if len(zones) > 1:
            raise ValueError("daily bars and bars within a day cannot stand side by side in one account")
        dates = [instants(frame.index) for frame in frames.values()]
        fields: dict[str, np.ndarray] = {}
        union = dates[0]
        for name in FIELDS:
            if all(name in frame.columns for frame in frames.values()):
                union, rows = panels.line_up(
                    [
                        (own, frame[name].to_numpy(dtype=np.float64))
                        for own, frame in zip(dates, frames.values(), strict=True)
                    ]
                )
                fields[name] = np.ascontiguousarray(rows.T)
        first = next(iter(frames.values())).index
        index = first if len(first) == len(union) else _index(union, first)
        split = _actions(frames, dates, union, "split", 1.0)
        dividend = _actions(frames, dates, union, "dividend", 0.0)
        about = [dict(getattr(frame, "attrs", None) or {}) for frame in frames.values()]
        return cls(symbols, index, fields, split, dividend, about)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def close(self) -> np.ndarray:
        return self.fields["close"]

    @cached_property
    def traded(self) -> np.ndarray:
        """Whether an instrument has a bar."""
        return ~np.isnan(self.close)

    @cached_property
    def complete(self) -> bool:
        """Whether every instrument has every bar."""
        return bool(self.traded.all())

    @cached_property
    def last(self) -> np.ndarray:
        """The row of each instrument's last bar; none follows."""
        return len(self) - 1 - self.traded[::-1].argmax(axis=0)

    @cached_property
    def times(self) -> np.ndarray:
        """The moment of each row, in UTC."""
        return instants(self.index)

    @cached_property
    def ended(self) -> np.ndarray:
        """The row at which each instrument counts as ended: the first more than a week after its last bar. The number
        of rows for one that does not. Sooner, nobody could tell an end from a halt.
        """
        return np.searchsorted(self.times, self.times[self.last] + PATIENCE, side="right")

    @cached_property
    def marks(self) -> np.ndarray:
        """The last close there was at each row, 0 before the first: what is held is worth that, never fills at it."""
        if self.complete:
            return self.close
        rows = np.where(self.traded, np.arange(len(self))[:, None], 0)
        np.maximum.accumulate(rows, axis=0, out=rows)
        return np.nan_to_num(np.take_along_axis(self.close, rows, axis=0))

    @cached_property
    def shares(self) -> np.ndarray | None:
        """What one share of the first row has become by each row, through splits; None where there are none."""
        return None if self.split is None else np.cumprod(self.split, axis=0)

    @cached_property
    def paid(self) -> np.ndarray | None:
        """Dividends so far on what one share of the first row has become; None where there are none."""
        if self.dividend is None:
            return None
        return np.cumsum(self.dividend if self.shares is None else self.dividend * self.shares, axis=0)

    @cached_property
    def growth(self) -> np.ndarray:
        """Closes that are comparable over splits and dividends, forwards from the first row: a later action changes
        no earlier value.
        """
        before = np.vstack([self.marks[:1], self.marks[:-1]])
        step = np.ones_like(before)
        if self.split is not None:
            step *= self.split
        if self.dividend is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                base = before / (1.0 if self.split is None else self.split)
                step *= np.where((base > 0) & (self.dividend < base), 1 / (1 - self.dividend / base), 1.0)
        return self.close * np.cumprod(step, axis=0)

    @cached_property
    def years(self) -> np.ndarray:
        """The time from the bar before to each bar, in years of 365 days; 0 for the first."""
        return np.concatenate([[0.0], np.diff(self.times) / np.timedelta64(365, "D")])

    def equal_money(self, cash: float) -> np.ndarray:
        """The account that puts equal money into each instrument at its first close and holds it, without costs; what
        an instrument pays stays cash.
        """
        first, at = self.traded.argmax(axis=0), np.arange(len(self.symbols))
        shares = np.ones_like(self.close) if self.shares is None else self.shares
        paid = np.zeros_like(self.close) if self.paid is None else self.paid
        worth = (self.marks * shares + paid - paid[first, at]) / (self.close[first, at] * shares[first, at])
        return cash * np.where(np.arange(len(self))[:, None] >= first, worth, 1.0).mean(axis=1)

    def replay(
        self, fills: Sequence[np.ndarray], cash: float, rules: PortfolioRules, *, with_trades: bool = True
    ) -> PortfolioReplay:
        """The account that these fills lead to here, with all that the bars imply; see replay_portfolio()."""
        return replay_portfolio(
            fills,
            self.close,
            cash,
            splits=self.split,
            dividends=self.dividend,
            ended=self.ended,
            years=self.years,
            interest=rules.interest,
            borrow=rules.borrow,
            with_trades=with_trades,
        )

    def price(self, fill: str) -> np.ndarray:
        """What market orders fill at, by the name of the rule."""
        name = "open" if fill == "next-open" else "close"
        if fill == "next-average":
            self.need("open", "high", "low")
            return np.mean([self.fields[part] for part in ("open", "high", "low", "close")], axis=0)
        if name == "open":
            self.need("open", hint='; write fill="next-close", which fills at the close of the next bar')
        return self.fields[name]

    def need(self, *names: str, hint: str = "") -> None:
        for name in names:
            if name not in self.fields:
                raise ValueError(f"not every instrument has a column {name}{hint}")

    def columns_of(self, names: Any) -> list[int]:
        """The columns of a table's names, an Index; those of the same names as the last ones are known already. Raises
        UnknownInstrument.
        """
        if self._looked_up is None or not names.equals(self._looked_up[0]):
            self._looked_up = names, [self.at(name) for name in names]
        return self._looked_up[1]

    def at(self, symbol: Any) -> int:
        """The column of a symbol. Raises UnknownInstrument."""
        found = self.column.get(symbol)
        if found is None:
            raise UnknownInstrument(symbol, self.symbols)
        return found


def _checked(symbol: str, frame: Any) -> Any:
    import pandas as pd

    if isinstance(frame, pd.Series):
        frame = frame.to_frame("close")
    if not isinstance(frame, pd.DataFrame):
        raise ValueError(
            f'the bars of {symbol} have to be a DataFrame, such as data.prices("{symbol}"), or a Series of closes, not '
            f'a {type(frame).__name__}; what data.panel() returns can be given as it is, with fill="next-close"'
        )
    if any(name != str(name).lower() for name in frame.columns):
        frame = frame.rename(columns={name: str(name).lower() for name in frame.columns})
    if "close" not in frame.columns:
        raise ValueError(f"the bars of {symbol} have no column close")
    if not isinstance(frame.index, pd.DatetimeIndex):
        raise ValueError(f"the bars of {symbol} are not dated: their index has to be dates")
    if not frame.index.is_monotonic_increasing or not frame.index.is_unique:
        raise ValueError(f"the dates of {symbol} are not in order, or one stands twice")
    prices = [name for name in ("open", "high", "low", "close") if name in frame.columns]
    values = frame[prices].to_numpy(dtype=np.float64)
    whole = ~np.isnan(values).any(axis=1)
    if not whole.all():
        frame, values = frame[whole], values[whole]
    if not len(frame):
        raise ValueError(f"there are no bars of {symbol}")
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise ValueError(f"some prices of {symbol} are not above 0; prices of shares are")
    return frame


def _index(instants: np.ndarray, like: Any) -> Any:
    index = type(like)(instants, name=like.name)
    return index if like.tz is None else index.tz_localize("UTC").tz_convert(like.tz)


def _actions(
    frames: Mapping[str, Any], dates: list[np.ndarray], union: np.ndarray, name: str, usual: float
) -> np.ndarray | None:
    """Splits or dividends, where the bars have not been adjusted for them."""
    table = None
    for at, (frame, own) in enumerate(zip(frames.values(), dates, strict=True)):
        adjusted = (getattr(frame, "attrs", None) or {}).get("adjust")
        if name not in frame.columns or adjusted == "all" or (adjusted == "split" and name == "split"):
            continue
        values = frame[name].to_numpy(dtype=np.float64)
        acted = np.flatnonzero(~np.isnan(values) & (values != usual))
        acted = acted[acted > 0]  # nobody held it before its first bar
        if not len(acted):
            continue
        if (values[acted] <= 0).any():
            raise ValueError(f"a {name} is a number above 0")
        if table is None:
            table = np.full((len(union), len(frames)), usual)
        table[np.searchsorted(union, own[acted]), at] = values[acted]
    return table
