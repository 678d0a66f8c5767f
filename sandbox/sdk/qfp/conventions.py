"""By which rules were orders filled and costs taken? Each set of rules has an id and a version and says
itself in words.

A result stores the id, the version and every number, so that it can be read years later and compared with
another one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["BacktestingPy", "CopiedRules", "PortfolioRules", "Usual", "lines_of_parts"]

FILLS = ("next-open", "next-close", "next-average", "same-close")
# Other libraries whose backtests are recorded, and what their market orders fill at: the open or close of the bar after
# the decision, or of the bar that decides, the open before its close is known.
LIBRARIES = ("backtrader", "zipline")
UNBOUNDED_LEVERAGE = 10_000.0  # of contracts that are held for a margin
_UNLEVERED = "an order may make positions worth what the account is worth, and no more."
WHOLE_UNITS = "Whole units only unless the order says otherwise."
_OUTGROWN = "A short position that then loses outgrows it: its exposure may go beyond 100 %."
_TIE = "Where a bar reaches both a stop and a target, the stop counts."
COPIED_FILLS = ("next-open", "next-close", "same-open", "same-close")


@dataclass(frozen=True)
class BacktestingPy:
    """The rules of backtesting.py, for `backtest(..., rules="backtesting.py")`.

    commission: fraction of the traded value per fill, or (fixed amount, fraction); None when it is a
      function.
    spread: fraction of the price; an entry fills this much worse than the price, an exit at the price.
    margin: required share of a position's value; 1 is no leverage.
    trade_on_close: market orders fill at the close of the bar that decides instead of the next open.
    hedging: long and short trades may be open at once. exclusive_orders: a new order closes what is open.
    finalize_trades: what is open at the end is closed on the last bar.
    """

    commission: float | tuple[float, float] | None = 0.001
    spread: float = 0.0
    margin: float = 1.0
    trade_on_close: bool = False
    hedging: bool = False
    exclusive_orders: bool = False
    finalize_trades: bool = True

    version = 1

    @property
    def id(self) -> str:
        """next-open, or same-close where market orders fill at the close of the bar that decides."""
        return "same-close" if self.trade_on_close else "next-open"

    @property
    def has_costs(self) -> bool:
        """False when neither commission nor spread is taken, which flatters every result."""
        return self.commission is None or any(_parts(self.commission)) or self.spread > 0

    def commission_for(self, size: float, price: float) -> float | None:
        """What a fill of so many units at this price is charged, in currency; None when a function
        decides.
        """
        if self.commission is None:
            return None
        fixed, share = _parts(self.commission)
        return fixed + abs(size) * price * share

    def lines(self) -> list[str]:
        """The rules as sentences, in the order they are printed."""
        if self.trade_on_close:
            lines = [
                "Decided on a bar's close; market orders fill at that same close, which cannot be traded in practice."
            ]
        else:
            lines = ["Decided on a bar's close; market orders fill at the next bar's open."]
        lines.append("Limit and stop orders fill within a later bar, at their price or at an open beyond it.")
        lines.append(self._tie_line())
        lines.append(_commission_line(self.commission))
        if self.spread:
            lines.append(f"Spread {_percent(self.spread)} of the price, paid on entry.")
        elif self.has_costs:
            lines.append("No spread and no slippage.")
        else:
            lines[-1] = "No costs at all: no commission, no spread, no slippage."  # instead of "No commission."
        if self.margin < 1:
            lines.append(f"Margin {_percent(self.margin)}: up to {1 / self.margin:.3g} times the account may be held.")
        else:
            lines.append(f"No leverage: {_UNLEVERED} {_OUTGROWN}")
            lines.append(WHOLE_UNITS)
        if self.exclusive_orders:
            lines.append("A new order closes the open trade first.")
        if self.hedging:
            lines.append(
                "Long and short trades may be open at the same time; figures of trades are counted from the fills, "
                "oldest entry closed first, so they are not those of the strategy's own trades."
            )
        if self.finalize_trades:
            lines.append(self._end_line())
        else:
            lines.append("Trades open at the end are valued at the last close and not counted as trades.")
        lines.append("Cash earns no interest; short positions pay no borrowing fee.")
        return lines

    def _tie_line(self) -> str:
        return (
            f"{_TIE} In the bar in which a limit or stop order opens a trade neither counts, but for a target beyond a "
            "touched stop order that is reached without the stop-loss."
        )

    def _end_line(self) -> str:
        return "Trades open at the end are closed at the last bar."

    def as_dict(self) -> dict[str, Any]:
        """Id, version, every number and the lines, ready for JSON."""
        return {"id": self.id, "version": self.version, **asdict(self), "lines": self.lines()}


@dataclass(frozen=True)
class Usual(BacktestingPy):
    """The rules `backtest` runs by unless told otherwise: nothing is decided with a price that is not known yet, and
    where a bar leaves open what came first, the worse for the trader counts. The fields are those of BacktestingPy.
    """

    version = 2

    def _tie_line(self) -> str:
        return _TIE

    def _end_line(self) -> str:
        return "Trades open at the end are closed at the last close."


@dataclass(frozen=True)
class PortfolioRules:
    """The rules of an account with many instruments, for `portfolio_backtest`.

    fill: what market orders and target weights fill at: next-open, next-close, next-average (the mean of open, high,
      low and close of the next bar, a stand-in for its average price) or same-close (the close that decides).
    commission: fraction of the traded value per fill, or (fixed amount, fraction); None when it is a function.
    spread: fraction of the price between bid and ask; a market or stop order pays half of it. slippage: fraction of
      the price that a market or stop order fills worse, on top.
    fractional: any fraction of a share may be held; otherwise whole ones. short: more may be sold than is held.
    leverage: what long and short positions may be worth together, in times of the account.
    borrow: fee for short positions a year, as a fraction of their value. interest: on cash a year, as a fraction;
      owed cash costs the same.
    halted: an order for an instrument without a bar on the day of its fill waits for the next one ("wait") or is
      refused ("refuse").
    """

    fill: str = "next-open"
    commission: float | tuple[float, float] | None = 0.001
    spread: float = 0.0
    slippage: float = 0.0
    fractional: bool = False
    short: bool = False
    leverage: float = 1.0
    borrow: float = 0.0
    interest: float = 0.0
    halted: str = "wait"

    version = 1

    @property
    def id(self) -> str:
        """portfolio-next-open and the like."""
        return f"portfolio-{self.fill}"

    @property
    def has_costs(self) -> bool:
        """False when no commission, spread or slippage is taken, which flatters every result."""
        return self.commission is None or any(_parts(self.commission)) or self.worse > 0

    @property
    def worse(self) -> float:
        """By what fraction of the price a market or stop order fills worse."""
        return self.spread / 2 + self.slippage

    def commission_for(self, size: float, price: float) -> float | None:
        """What a fill of so many units at this price is charged, in currency; None when a function decides."""
        if self.commission is None:
            return None
        fixed, share = _parts(self.commission)
        return fixed + abs(size) * price * share

    def lines(self) -> list[str]:
        """The rules as sentences, in the order they are printed."""
        lines = [
            {
                "next-open": "Decided on a bar's close; filled at the open of the next bar.",
                "next-close": "Decided on a bar's close; filled at the close of the next bar.",
                "next-average": "Decided on a bar's close; filled at the mean of the next bar's open, high, low and "
                "close.",
                "same-close": "Decided on a bar's close; filled at that same close, which nobody can trade.",
            }[self.fill],
            "Limit and stop orders fill within a later bar, at their price or at an open beyond it; where a bar "
            "reaches both a stop and a limit, the stop counts.",
        ]
        lines.append(_commission_line(self.commission))
        if self.worse:
            parts = [f"{_percent(value)} {name}" for name, value in self._spreads() if value]
            lines.append(f"Market and stop orders fill worse by {' and '.join(parts)}; limit orders at their price.")
        elif self.has_costs:
            lines.append("No spread and no slippage.")
        else:
            lines[-1] = "No costs at all: no commission, no spread, no slippage."  # instead of "No commission."
        lines.append("Any fraction of a share." if self.fractional else "Whole shares only.")
        short = "Short selling allowed" if self.short else "No short selling"
        if self.leverage == 1 and self.short:
            lines.append(f"{short}; no leverage: {_UNLEVERED} {_OUTGROWN}")
        elif self.leverage == 1:
            lines.append(f"{short}; no leverage.")
        else:
            lines.append(f"{short}; positions may be worth {self.leverage:g} times the account together.")
        waits = "waits for its next bar" if self.halted == "wait" else "is refused"
        lines.append(f"An order for an instrument without a bar that day {waits}; no price is carried into a fill.")
        lines.append(
            "Dividends are paid in cash and splits change the shares held, on bars that are not adjusted for them. An "
            "instrument without further bars is paid out at its last close a week after it."
        )
        cash = f"Cash earns {_percent(self.interest)} a year, owed cash costs it" if self.interest else "No interest"
        fee = f"short positions pay {_percent(self.borrow)} a year" if self.borrow else "no borrowing fee"
        lines.append(f"{cash}; {fee}.")
        lines.append("Positions open at the end are valued at the last close and not counted as trades.")
        return lines

    def _spreads(self) -> tuple[tuple[str, float], ...]:
        return ("of half the spread", self.spread / 2), ("of slippage", self.slippage)

    def as_dict(self) -> dict[str, Any]:
        """Id, version, every number and the lines, ready for JSON."""
        return {"id": self.id, "version": self.version, **asdict(self), "lines": self.lines()}


@dataclass(frozen=True)
class CopiedRules:
    """The rules of a backtest that another library has run.

    library, library_version: whose rules they are. fill: one of COPIED_FILLS.
    commission: fraction of the traded value; per_unit: currency for each unit; the two are added up, and both are None
    where the program's own scheme decides, or instruments have different ones.
    slippage: fraction of the price that a market or stop order fills worse; None where it varies.
    slippage_fixed: the same in currency.
    at_close: some orders were to fill at the close of the next bar. leverage: the highest that a scheme allows.
    """

    library: str
    library_version: str
    fill: str = "next-open"
    commission: float | None = 0.0
    per_unit: float | None = 0.0
    slippage: float | None = 0.0
    slippage_fixed: float = 0.0
    at_close: bool = False
    leverage: float = 1.0

    version = 1
    margin = 1.0

    @property
    def id(self) -> str:
        """backtrader/next-open and the like."""
        return f"{self.library}/{self.fill}"

    @property
    def trade_on_close(self) -> bool:
        return self.fill == "same-close"

    @property
    def movable(self) -> bool:
        """Whether it is known what its fills would have been elsewhere: at the usual open or close, by one slippage."""
        return self.fill in ("next-open", "same-close") and self.slippage is not None and not self.slippage_fixed

    @property
    def spread(self) -> float:
        """What every fill of a market order is worse by, as a fraction."""
        return self.slippage or 0.0

    @property
    def has_costs(self) -> bool:
        """False when neither commission nor slippage is taken, which flatters every result."""
        taken = (self.commission, self.per_unit, self.slippage, self.slippage_fixed)
        return any(each is None or each for each in taken)

    def commission_for(self, size: float, price: float) -> float | None:
        """What a fill of so many units at this price is charged, in currency; None when the program decides."""
        if self.commission is None or self.per_unit is None:
            return None
        return abs(size) * (price * self.commission + self.per_unit)

    def lines(self) -> list[str]:
        """The rules as sentences, in the order they are printed."""
        lines = [f"Run by {self.library} {self.library_version}, which filled every order by its own rules."]
        lines.append(
            {
                "next-open": "Decided on a bar's close; market orders fill at the next bar's open.",
                "next-close": "Decided on a bar's close; orders fill at the close of the next bar.",
                "same-open": "Decided at a bar's open with its whole bar in sight (cheat-on-open); market orders fill "
                "at that open.",
                "same-close": "Decided on a bar's close; market orders fill at that same close (cheat-on-close), which "
                "cannot be traded in practice.",
            }[self.fill]
        )
        if self.fill != "next-close":
            lines.append("Limit and stop orders fill within a later bar, at their price or at an open beyond it.")
        lines.append(
            {
                "backtrader": "Where a bar reaches several orders, the one that was placed first counts; of a bracket "
                "of backtrader that is the stop.",
                "zipline": "Whether a limit or stop is reached is asked of the close alone, which cannot be beyond "
                "both a stop and a target.",
            }[self.library]
        )
        if self.at_close:
            lines.append("Some orders were to fill at the close of the next bar.")
        lines.append(self._commission_line())
        worse = [_percent(self.slippage)] if self.slippage else []
        worse += [f"{self.slippage_fixed:g} a unit"] if self.slippage_fixed else []
        if self.slippage is None:
            lines.append("Slippage by a scheme of its own, which depends on volumes or is the program's.")
        elif worse:
            lines.append(f"Slippage: market and stop orders fill worse by {' and '.join(worse)}.")
        elif self.has_costs:
            lines.append("No slippage.")
        else:
            lines[-1] = "No costs at all: no commission and no slippage."  # instead of "No commission."
        lines.append(
            {
                "backtrader": "Orders that the cash cannot pay for are refused; short positions need none.",
                "zipline": "The account may borrow and sell short without a limit, an interest or a fee.",
            }[self.library]
        )
        if self.leverage >= UNBOUNDED_LEVERAGE:
            lines.append("Contracts are held for a margin of their own, so their leverage has no bound.")
        elif self.leverage > 1:
            lines.append(f"Leverage up to {self.leverage:g}.")
        lines.append(
            "Dividends and splits are those that the prices are adjusted for. Positions open at the end are valued at "
            "the last close and not counted as trades."
        )
        return lines

    def _commission_line(self) -> str:
        if self.commission is None or self.per_unit is None:
            return "Commission by the program's own schemes, per fill."
        share, unit = f"{_percent(self.commission)} of the traded value", f"{self.per_unit:g} a unit"
        parts = [text for text, value in ((share, self.commission), (unit, self.per_unit)) if value]
        return f"Commission {' plus '.join(parts)}, per fill." if parts else "No commission."

    def as_dict(self) -> dict[str, Any]:
        """Id, version, every number and the lines, ready for JSON."""
        return {"id": self.id, "version": self.version, **asdict(self), "lines": self.lines()}


def _commission_line(commission: float | tuple[float, float] | None) -> str:
    if commission is None:
        return "Commission by the program's own function, per fill."
    fixed, share = _parts(commission)
    if fixed and share:
        return f"Commission {fixed:g} plus {_percent(share)} of the traded value per fill."
    if fixed:
        return f"Commission {fixed:g} per fill."
    return f"Commission {_percent(share)} of the traded value per fill." if share else "No commission."


def _parts(commission: float | tuple[float, float]) -> tuple[float, float]:
    fixed, share = commission if isinstance(commission, (tuple, list)) else (0.0, commission)
    return float(fixed), float(share)


def _percent(fraction: float) -> str:
    return f"{fraction * 100:.6g} %"


def lines_of_parts(lines: list[str], unit: float) -> list[str]:
    """The sentences of the rules for a backtest that trades parts of a unit, such as a FractionalBacktest."""
    return [*(line for line in lines if line != WHOLE_UNITS), f"Parts of a unit are traded, each {unit:g} of it."]
