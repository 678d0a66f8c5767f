"""How does a portfolio run? Portfolio holds bars and rules; run() walks the bars, or books weights for all at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np

from qfp.backtesting import attempts
from qfp.conventions import FILLS, PortfolioRules, _parts
from qfp.figures import signed
from qfp.moments import instants
from qfp.portfolio import orders as o
from qfp.portfolio.account import Account
from qfp.portfolio.context import Context, Members
from qfp.portfolio.market import Market
from qfp.portfolio.orders import Order, Targets, is_undone
from qfp.portfolio.schedule import decided
from qfp.portfolio.vectorised import Booked, book
from qfp.replay import PortfolioReplay

__all__ = ["Portfolio", "PortfolioRun", "frames_of"]

LONG_IDLE = 21  # bars; most tables begin with the bars
Commission = float | tuple[float, float] | Callable[[float, float], float]


class Portfolio:
    """Bars of several instruments, the account that trades them and its rules; run() runs a strategy.

    The arguments are those of portfolio_backtest(). Made once, it runs any number of strategies over the same bars.
    """

    def __init__(
        self,
        bars: Mapping[str, Any] | Sequence[str] | str,
        *,
        start: Any = None,
        end: Any = None,
        adjust: Any = None,
        cash: float = 100_000,
        fill: str = "next-open",
        commission: Commission = 0.001,
        spread: float = 0.0,
        slippage: float = 0.0,
        fractional: bool = False,
        short: bool = False,
        leverage: float = 1.0,
        borrow: float = 0.0,
        interest: float = 0.0,
        halted: str = "wait",
        members: Any = None,
    ) -> None:
        if fill not in FILLS:
            raise ValueError(f"fill is {', '.join(FILLS[:-1])} or {FILLS[-1]}, not {fill!r}")
        if halted not in ("wait", "refuse"):
            raise ValueError(f'halted is "wait" or "refuse", not {halted!r}')
        if not 0 < cash < 1e15:
            raise ValueError(f"cash is an amount above 0, not {cash!r}")
        if not 0 < leverage <= 100:
            raise ValueError(f"leverage is how many times the account may be held, such as 1 or 2, not {leverage!r}")
        for name, value in (("spread", spread), ("slippage", slippage), ("borrow", borrow), ("interest", interest)):
            if not (-0.5 if name == "interest" else 0) <= value <= 0.5:
                raise ValueError(f"{name} is a fraction such as 0.001 (0.1 %), not {value!r}")
        self._commission = commission if callable(commission) else None
        if not callable(commission):
            fixed, share = _parts(commission)
            if fixed < 0 or not 0 <= share < 0.1:
                raise ValueError("commission is a fraction from 0 to 0.1 (0.001 is 0.1 %), or (fixed amount, fraction)")
            commission = (fixed, share) if isinstance(commission, (tuple, list)) else share
        self.rules = PortfolioRules(
            fill=fill,
            commission=None if callable(commission) else commission,
            spread=float(spread),
            slippage=float(slippage),
            fractional=bool(fractional),
            short=bool(short),
            leverage=float(leverage),
            borrow=float(borrow),
            interest=float(interest),
            halted=halted,
        )
        self.cash = float(cash)
        if isinstance(bars, str) and members is None:
            members = bars
        self.market = Market.of(frames_of(bars, start, end, adjust))
        self.market.price(fill)
        self.members = _members(members, self.market)

    def run(
        self,
        on_bar: Callable[..., Any] | None = None,
        *,
        weights: Any = None,
        rebalance: Any = None,
        warm_up: int = 0,
        **params: Any,
    ) -> PortfolioRun:
        """Run one strategy: a function that is called at every close, or target weights.

        params go to the function. Raises TypeError unless exactly one of on_bar and weights is given.
        """
        if (on_bar is None) == (weights is None):
            raise TypeError("give either on_bar=, a function called at every close, or weights=")
        run = self._run(on_bar, weights, rebalance, int(warm_up), params)
        if attempts.asked_by_program():
            attempts.count_portfolio(self, weights if on_bar is None else on_bar, params, run.equity)
        return run

    def _run(
        self,
        on_bar: Callable[..., Any] | None,
        weights: Any,
        rebalance: Any,
        warm_up: int,
        params: dict[str, Any],
    ) -> PortfolioRun:
        if on_bar is not None:
            if not callable(on_bar):
                raise TypeError("on_bar is a function that takes one argument, what is known at the close of a bar")
            if rebalance is not None:
                raise TypeError("rebalance= belongs to weights=; on_bar is called at every close")
            account = self._account()
            context = Context(self.market, account, self.members)

            def decide(bar: int) -> None:
                context.bar = bar
                on_bar(context, **params)

            walk(account, decide, warm_up)
            return PortfolioRun(self, account=account, warm_up=warm_up)
        rows, table = decided(weights, rebalance, self.market, self.members, warm_up, params)
        # A function needs what is before its first decision; a table that begins late only leaves cash lying.
        idle = int(rows[0]) if hasattr(weights, "columns") and len(rows) else 0
        booked = book(self.market, self.rules, self.cash, rows, table)
        if booked is not None:
            return PortfolioRun(self, booked=booked, rows=rows, weights=table, warm_up=warm_up, idle=idle)
        account = self._account()
        at = dict(zip(rows.tolist(), table, strict=True))

        def aim(bar: int) -> None:
            if bar in at:
                account.aim(at[bar])

        walk(account, aim, warm_up)
        return PortfolioRun(self, account=account, warm_up=warm_up, idle=idle)

    def _account(self) -> Account:
        return Account(self.market, self.rules, self._commission, self.cash)


def walk(account: Account, decide: Callable[[int], None], warm_up: int) -> None:
    """Every bar: what comes before trading, fills, the decision at the close, and the account's value."""
    same_close = account.rules.fill == "same-close"
    for bar in range(len(account.market)):
        account.open(bar)
        if account.orders or account.targets:
            account.fill(bar)
        if bar >= warm_up:
            decide(bar)
            if same_close and (account.orders or account.targets):
                account.fill_market(bar)
        if not account.close(bar):
            break


class PortfolioRun:
    """What came out of one run: equity at every close, fills, flows, decisions and the figures.

    equity: one value per bar, currency.
    """

    def __init__(
        self,
        portfolio: Portfolio,
        *,
        warm_up: int,
        account: Account | None = None,
        booked: Booked | None = None,
        rows: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        idle: int = 0,
    ) -> None:
        """idle: bars before the first row of a table of weights."""
        self.portfolio, self.warm_up, self.idle = portfolio, warm_up, idle
        self._account, self._booked, self._rows, self._weights = account, booked, rows, weights
        if booked is not None:
            self.equity = booked.equity
        else:
            assert account is not None
            held = account.history()
            self.equity = account.cash_at + np.einsum("ij,ij->i", held, portfolio.market.marks)

    @cached_property
    def fills(self) -> tuple[np.ndarray, ...]:
        """Columns of bar, instrument, size, price and commission, in the order of the bars."""
        if self._booked is not None:
            return self._booked.fills
        assert self._account is not None
        columns = self._account.fills.columns()
        order = np.argsort(columns[0], kind="stable")
        return tuple(column[order] for column in columns)

    @cached_property
    def replay(self) -> PortfolioReplay:
        """The account once more, from the fills alone: trades, units at every close, flows."""
        return self.portfolio.market.replay(self.fills, self.portfolio.cash, self.portfolio.rules)

    @property
    def flows(self) -> list[dict[str, Any]]:
        """Dividends, splits, interest, borrowing fees and payments for what has ended, by bar."""
        return self.replay.flows if self._account is None else self._account.flows

    @property
    def ruined_at(self) -> int | None:
        """The bar at whose close nothing was left, or None."""
        return None if self._account is None else self._account.ruined_at

    @cached_property
    def metrics(self) -> dict[str, float]:
        """The site's figures, by qfp.metrics."""
        from qfp import metrics

        account = self.replay
        return metrics.summary(
            account.equity,
            account.positions,
            account.traded_value,
            account.commissions,
            account.trades,
            metrics.periods_per_year(instants(self.portfolio.market.index)),
            self.portfolio.market.equal_money(self.portfolio.cash),
        )

    def decisions(self) -> list[Order | Targets]:
        """What was decided, oldest first."""
        if self._account is not None:
            return [decision for decision in self._account.decisions if not is_undone(decision)]
        assert self._rows is not None and self._weights is not None
        last = len(self.portfolio.market) - (self.portfolio.rules.fill != "same-close")
        before = np.zeros(self._weights.shape[1])
        found: list[Order | Targets] = []
        for row, weights in zip(self._rows.tolist(), self._weights, strict=True):
            targets = Targets.of(row, weights, before)
            if row < last:
                targets.outcomes[:] = o.FILLED
            found.append(targets)
        return found

    def orders(self, most: int | None = None) -> list[dict[str, Any]]:
        """The decisions, one dictionary each: bar, instrument, size or weight, kind, outcome, and where they apply
        limit, stop and reason.
        """
        found: list[dict[str, Any]] = []
        for entry in o.listed(self.decisions()):
            if len(found) == most:
                break
            found.append(entry)
        return found

    def order_count(self) -> int:
        """How many decisions there are."""
        return sum(1 if isinstance(d, Order) else int(d.shown.sum()) for d in self.decisions())

    def refused(self) -> Iterator[tuple[int, int, str]]:
        """Bar, instrument and reason of every refused order."""
        if self._account is None:
            return
        for decision in self._account.decisions:
            if isinstance(decision, Order):
                if decision.outcome == o.REFUSED:
                    yield decision.bar, decision.instrument, decision.reason
            else:
                for number, reason in sorted(decision.reasons.items()):
                    yield decision.bar, number, reason

    def notes(self) -> list[str]:
        """What should not be overlooked, a sentence each: refused orders, ruin, what ended, why no trades."""
        market, lines = self.portfolio.market, []
        if self.idle - self.warm_up > LONG_IDLE:
            lines.append(
                f"The weights begin on {self._date(self.idle)}; on the {self.idle} bars before, the account lies in "
                f'cash, which counts in every figure. Leave them out with start="{self._date(self.idle)}".'
            )
        refused = list(self.refused())
        for reason, count in Counter(reason for _, _, reason in refused).most_common():
            bar, number, _ = next(entry for entry in refused if entry[2] == reason)
            orders = "order was" if count == 1 else "orders were"
            lines.append(f"{count} {orders} refused: {reason}; first {market.symbols[number]} on {self._date(bar)}.")
        for flow in self.flows:
            if flow["kind"] == "delisting":
                name = market.symbols[flow["instrument"]]
                lines.append(
                    f"{name} has no bars after {self._date(int(market.last[flow['instrument']]))}; what was held of it "
                    f"was paid out at its last close, {signed(flow['price'], 2)}."
                )
        if self.ruined_at is not None:
            lines.append(f"The account was worth nothing on {self._date(self.ruined_at)}; it ended there.")
        if not len(self.fills[0]):
            lines.append(f"There were no trades: {self.why_no_trades()}")
        return lines

    def why_no_trades(self) -> str:
        """A sentence; empty text where something was filled."""
        if len(self.fills[0]):
            return ""
        market, bars = self.portfolio.market, len(self.portfolio.market)
        orders, refused = self.orders(), list(self.refused())
        if self.warm_up >= bars:
            return f"it warms up for {self.warm_up} bars and there are {bars}; take a longer period."
        if not orders:
            return "nothing was ever ordered; the condition for it was never true, or the weights were always 0."
        if len(refused) >= len(orders):
            if any(reason in (o.NO_MONEY, o.TOO_SMALL) for _, _, reason in refused):
                number = refused[0][1]
                price = market.marks[-1, number]
                return (
                    f"every order was refused; one share of {market.symbols[number]} costs about {signed(price, 2)}, "
                    "so cash has to be larger."
                )
            if all(reason in (o.ENDED, o.NO_PRICE, o.HALTED) for _, _, reason in refused):
                return "there was no data to fill on; the instruments had no bars when they were ordered."
            return "every order was refused, for the reasons above."
        waiting = [order for order in orders if order["outcome"] == "waiting"]
        if all(order["bar"] == bars - 1 for order in waiting):
            return "it ordered on the last bar only, and there is no bar after it to fill on."
        return f"{len(orders)} orders were placed, but no price reached their limit or stop in time."

    def _date(self, bar: int) -> str:
        moment = self.portfolio.market.index[bar]
        return str(moment.date() if moment == moment.normalize() else moment)


def frames_of(bars: Any, start: Any, end: Any, adjust: Any = None) -> Mapping[str, Any]:
    """Frames by symbol; symbols and universes are read from the data of this program, as they were traded unless
    adjust says otherwise.
    """
    import pandas as pd

    if isinstance(bars, pd.DataFrame):
        closes = {str(name): bars[[name]].dropna().set_axis(["close"], axis=1) for name in bars.columns}
        return frames_of(closes, start, end, adjust)
    if isinstance(bars, Mapping):
        if adjust is not None:
            raise TypeError(
                "adjust= is for symbols, which are read here; these bars have been read already: give adjust= to "
                "data.prices() or data.panel() instead"
            )
        if start is None and end is None:
            return bars
        return {symbol: frame.loc[start:end] for symbol, frame in bars.items()}
    if isinstance(bars, (str, list, tuple)) and all(isinstance(symbol, str) for symbol in bars):
        from qfp import data

        if not isinstance(bars, str):
            return {symbol: _read(symbol, start, end, adjust) for symbol in bars}
        found, symbols = {}, data.universe(bars)
        for symbol in symbols:
            with suppress(data.NoData):  # not all were there at that time
                found[symbol] = data.prices(symbol, start, end, adjust=adjust)
        return found or {symbol: _read(symbol, start, end, adjust) for symbol in symbols}
    raise TypeError(
        'bars have to be a list of symbols, a dictionary such as {"IBM": data.prices("IBM", adjust=None)}, a universe, '
        'or a table of closes with a column per symbol, as data.panel() gives it; closes alone need fill="next-close"'
    )


def _read(symbol: str, start: Any, end: Any, adjust: Any) -> Any:
    """Bars of a symbol. Raises NoData with what to write where they come only adjusted."""
    from qfp import data

    try:
        return data.prices(symbol, start, end, adjust=adjust)
    except data.NoData:
        adjusted = None
        if adjust != "all":
            with suppress(data.NoData):
                adjusted = data.prices(symbol, start, end)
        if adjusted is None:
            raise
    write, has = 'adjust="all"', ""
    if "open" not in adjusted.columns:
        write, has = f'{write}, fill="next-close"', ", and with closes alone"
    raise data.NoData(
        f"{symbol} comes only adjusted for splits and dividends{has}. Write portfolio_backtest(…, {write}), which "
        "reads all of them adjusted."
    )


def _members(members: Any, market: Market) -> Members | None:
    if members is None:
        return None
    if isinstance(members, str):
        from qfp import data

        members = data.members(members)
    return Members(members, market)
