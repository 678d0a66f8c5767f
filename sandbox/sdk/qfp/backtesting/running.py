"""How does a backtest run? Backtest checks bars and rules, calls the strategy bar by bar and reports."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qfp import pointing
from qfp.backtesting import attempts
from qfp.backtesting.core import Account
from qfp.backtesting.given import Commission, checked_bars, commission_of
from qfp.backtesting.lines import Bars, Clock, Line
from qfp.backtesting.products import Product
from qfp.backtesting.rules import USUAL, FillRules
from qfp.backtesting.sharing import averages_ahead
from qfp.backtesting.statistics import Calendar, Figures, TradeColumns
from qfp.backtesting.stats import Stats
from qfp.backtesting.strategy import Strategy, preparing
from qfp.backtesting.tiers import PAYS_FROM, Compiled, Prepared, missing_before, run_compiled, run_over
from qfp.figures import signed

if TYPE_CHECKING:
    from qfp.backtesting.many import Many

__all__ = ["Backtest", "Run", "Stats"]

AHEAD_FROM = 200_000  # bars: with fewer it takes longer to read init() than one pass over them


class Run:
    """One run from the first bar to the last: strategy, account, its curve, and why nothing was traded.

    tier: "interpreted" or "compiled". tier_reason: why it was not compiled although that would have paid.
    """

    tier = "interpreted"
    tier_reason: str | None = None

    def __init__(
        self,
        strategy: Strategy,
        account: Account,
        frame: pd.DataFrame,
        warm_up: int,
        missing: bool,
        calendar: Calendar | None = None,
    ) -> None:
        self.strategy, self.account, self.frame = strategy, account, frame
        self.warm_up = warm_up
        self._missing = missing  # an indicator never had a value
        self._closes = np.asarray(account.closes)
        self.cash, self.curve = account.first_cash, account.by_parts()
        self.trades = TradeColumns.of(account)
        self.figures = Figures(frame.index, self._closes, self.curve, self.trades, warm_up, calendar=calendar)

    @property
    def equity(self) -> np.ndarray:
        """What the account was worth at every close; not to be written to, as figures are made of it later."""
        found = self.curve.whole
        found.flags.writeable = False
        return found

    @cached_property
    def metrics(self) -> dict[str, float]:
        """The site's figures, by qfp.metrics, from the fills replayed."""
        from qfp import metrics, replay

        booked = self.account.fills
        columns = zip(booked.bars, booked.sizes, booked.prices, booked.commissions, strict=True)
        fills = [
            {"bar": bar, "size": size, "price": price, "commission": paid}
            for bar, size, price, paid in sorted(columns, key=lambda fill: fill[0])
        ]
        account = replay.replay(fills, self._closes, self.cash)
        return metrics.summary(
            self.equity,
            account.positions,
            account.traded_value,
            account.commissions,
            account.trades,
            metrics.periods_per_year(self.frame.index),
            self._closes,
        )

    def notes(self) -> list[str]:
        """What should not be overlooked, a sentence each: refused orders, ruin, and why there were no trades."""
        account, lines = self.account, []
        refused = len(account.refused)
        if refused:
            bar, _, reason = account.refused[0]
            # Told by the bar that decided, as everywhere; orders that come with a trade are not among the decisions.
            bar = next((order["bar"] for order in self.orders() if order["outcome"] == "refused"), bar)
            lines.append(
                f"{refused} {'order was' if refused == 1 else 'orders were'} refused because the account could not pay "
                f"for {'it' if refused == 1 else 'them'}, the first decided on {self._date(bar)} ({reason})."
            )
        if account.ruined_at is not None:
            lines.append(f"The account was worth nothing on {self._date(account.ruined_at)}; it ended there.")
        still_open, waiting = account.left_over()
        if still_open and account.ruined_at is None:
            lines.append(
                f"{still_open} {'trade is' if still_open == 1 else 'trades are'} still open at the "
                "end and not counted among the trades; finalize_trades=True closes what is open."
            )
        if account.deferred:
            lines.append(
                f"In {account.deferred} {'trade' if account.deferred == 1 else 'trades'} the bar of the entry also "
                "reached the stop or target; which came first is not known, and it was left for a later bar."
            )
        if waiting:
            lines.append(f"{waiting} {'order' if waiting == 1 else 'orders'} never filled.")
        if self.tier_reason:
            lines.append(self.tier_reason)
        if not account.filled:
            lines.append(f"There were no trades: {self.why_no_trades()}")
        return lines

    def orders(self) -> list[dict[str, Any]]:
        """Every order the program gave, oldest first: bar that decided, size, kind, what became of it, and where they
        apply limit, stop, sl, tp, closes (it closes a trade) and reason.

        size: units, or a fraction of what the account could buy; negative to sell. outcome: filled, refused,
        cancelled, or waiting at the end.
        """
        return self.told()[0]

    def told(self) -> tuple[list[dict[str, Any]], list[list[Any]]]:
        """Every order, with `of` where it is about an open trade: the place of the order that opened that. And every
        stop-loss, target and order that was taken away: [bar, orders before, of, "sl", "tp" or "order"].
        """
        account = self.account
        return account.decisions.told()

    def warnings(self) -> list[str]:
        """The notes that are worth a warning where nobody asks for notes."""
        return [
            note for note in self.notes() if any(word in note for word in ("refused", "finalize_trades", "later bar"))
        ]

    def why_no_trades(self) -> str:
        """A sentence; empty text where something was filled."""
        account, bars = self.account, len(self.frame)
        if account.filled:
            return ""
        if self.warm_up + 1 >= bars or (not account.placed and self._missing):
            return f"its indicators need more than the {bars} bars there are to warm up; take a longer period."
        if not account.placed:
            return "its next() never called buy() or sell(); the condition for it was never true."
        too_late = sum(order._limit is None and order._stop is None for order in account.orders)
        if account.refused and len(account.refused) + too_late >= account.placed:
            price = float(self._closes[-1])
            return f"every order was refused; one unit costs about {signed(price, 2)}, so cash has to be larger."
        if too_late == account.placed:
            return "it ordered on the last bar only, and there is no bar after it to fill on."
        return f"{account.placed} orders were placed, but no price reached their limit or stop in time."

    def _date(self, bar: int) -> Any:
        moment = self.frame.index[bar]
        return moment.date() if hasattr(moment, "date") else f"bar {moment}"


class Backtest:
    """A strategy, the bars it trades and the account it trades with; run() runs it.

    data: DataFrame by time with Open, High, Low, Close and, if wanted, Volume and other columns.
    strategy: a class that derives from Strategy, ours or backtesting.py's.
    cash: at the start. spread: fraction of the price, paid on entry. commission: fraction of the value per fill,
      (fixed amount, fraction), or a function of size and price. margin: required share of a position's value.
    trade_on_close: market orders fill at the close that decides instead of the next open.
    hedging: long and short trades may be open at once. exclusive_orders: a new order closes what is open.
    finalize_trades: what is open on the last bar is closed, and counts as a trade.
    rules: qfp.backtesting.USUAL, or COMPATIBLE for every habit of backtesting.py; docs/fills.md has the differences.
    """

    rules: FillRules = USUAL

    def __init__(
        self,
        data: pd.DataFrame,
        strategy: type,
        *,
        cash: float = 10_000,
        spread: float = 0.0,
        commission: Commission = 0.0,
        margin: float = 1.0,
        trade_on_close: bool = False,
        hedging: bool = False,
        exclusive_orders: bool = False,
        finalize_trades: bool = False,
        rules: FillRules | None = None,
    ) -> None:
        self._strategy = _adapted(strategy)
        self._data, self._prices, self._range = checked_bars(data, cash)
        self._commission, self._fixed_fee = commission_of(commission)
        if not 0 < margin <= 1:
            raise ValueError(f"margin is a fraction above 0 and up to 1 (1 is no leverage), not {margin!r}")
        if not isinstance(spread, Number):
            raise TypeError(f"spread is a fraction of the price, such as 0.0002, not {spread!r}")
        self._cash, self._spread, self._leverage = float(cash), float(spread), 1 / margin
        self._flags = (bool(trade_on_close), bool(hedging), bool(exclusive_orders))
        self._finalize = bool(finalize_trades)
        if rules is not None:
            self.rules = rules
        self._columns: dict[str, np.ndarray] = {}
        # Of searches, by machine code: how the interpreted tier ended for some parameters, and indicators.
        self.compared: dict[Any, tuple[float, int]] = {}
        self.indicators: dict[Any, dict[Any, Any]] = {}
        self._calendar = Calendar(self._data.index)
        self._results: Stats | None = None

    def run(self, **params: Any) -> Stats:
        """Run it with these values for the strategy's parameters, and return its figures.

        They are Start, End, Duration, Exposure Time [%], Equity Final [$], Equity Peak [$], Commissions [$],
        Return [%], Buy & Hold Return [%], Return (Ann.) [%], Volatility (Ann.) [%], CAGR [%], Sharpe Ratio,
        Sortino Ratio, Calmar Ratio, Alpha [%], Beta, Max. Drawdown [%], Avg. Drawdown [%], Max. Drawdown Duration,
        Avg. Drawdown Duration, # Trades, Win Rate [%], Best Trade [%], Worst Trade [%], Avg. Trade [%],
        Max. Trade Duration, Avg. Trade Duration, Profit Factor, Expectancy [%], SQN, Kelly Criterion, and with a line
        of their own _strategy, _equity_curve and _trades. Warns about refused orders and what is open at the end.
        """
        run = self.run_once(params)
        attempts.count_run(self, params, run)
        return self.reported(run)

    def reported(self, run: Run) -> Stats:
        """The figures of a run, after its warnings."""
        for note in run.warnings():
            pointing.warn(note)
        self._results = self.report(run)
        return self._results

    def run_once(
        self,
        params: dict[str, Any],
        memo: dict[Any, Any] | None = None,
        tier: str | None = None,
        whole: bool = False,
    ) -> Run:
        """The run itself, without figures; report() makes them.

        memo: indicators of other runs over the same bars, by function and arguments. tier: "interpreted", or
        "compiled" where that can be; None leaves it to the number of bars. whole: a compiled run is compared with an
        interpreted one over all bars, as for results that others rely on, not over the first ones only.
        """
        if tier not in (None, "interpreted", "compiled"):
            raise ValueError(f'tier is "interpreted" or "compiled", not {tier!r}')
        run = self.carry_out(self.prepare(params, memo), tier, whole)
        if attempts.asked_by_program():
            attempts.count_run(self, params, run)
        return run

    def account(self) -> Account:
        """An account at its beginning."""
        account = Account(
            self._prices,
            self._data.index,
            self._cash,
            self._spread,
            self._commission,
            self._leverage,
            *self._flags,
            self.rules,
            self._fixed_fee,
        )
        account.range = self._range
        return account

    def prepare(self, params: Mapping[str, Any], memo: dict[Any, Any] | None = None) -> Prepared:
        """A strategy whose init() has run, before its first bar."""
        frame = self._data
        clock = Clock(frame.index)
        account = self.account()
        strategy = self._strategy(account, Bars(frame, clock, self._columns), clock, dict(params))
        strategy._memo = memo
        if memo is None and len(frame) >= AHEAD_FROM:
            strategy._ahead = averages_ahead(strategy)
        with preparing(strategy):
            strategy.init()
        _follow_attributes(strategy, clock)
        warm_ups = [missing_before(line) for line in strategy._indicators if not line.options.get("scatter")]
        warm_up = max((bars for bars, _ in warm_ups), default=0)
        account.decisions.begin(min(warm_up, account.bar))
        return Prepared(strategy, account, clock, frame, warm_up, any(missing for _, missing in warm_ups))

    def carry_out(self, prepared: Prepared, tier: str | None, whole: bool = False, compared: bool = False) -> Run:
        """Run a prepared strategy over its bars; see run_once(). compared: it was, with an interpreted run before."""
        strategy, account, clock = prepared.strategy, prepared.account, prepared.clock
        start, reason = 1 + prepared.warm_up, None
        if tier == "compiled" or (tier is None and len(clock.index) >= PAYS_FROM):
            compiled = self.compiled(prepared, whole, compared)
            account, reason = compiled.account or account, compiled.reason
        if account is prepared.account:
            run_over(strategy, account, clock, start, self._finalize)
        clock.set(len(prepared.frame))
        clock.stop()
        run = self.run_of(prepared, account, prepared.warm_up)
        run.tier, run.tier_reason = ("interpreted" if account is prepared.account else "compiled"), reason
        return run

    def run_of(self, prepared: Prepared, account: Account, warm_up: int) -> Run:
        """A run that ended with this account."""
        return Run(prepared.strategy, account, prepared.frame, warm_up, prepared.missing, self._calendar)

    def run_many(
        self,
        combinations: Sequence[Mapping[str, Any]],
        figures: Sequence[str] = ("Equity Final [$]", "# Trades"),
        tier: str | None = None,
    ) -> Many:
        """Figures of many combinations of parameters: .columns has an array per figure, .errors what failed.

        combinations: values by parameter, such as [{"fast": 10, "slow": 30}, ...]. figures: labels of run()'s figures
        or names of qfp.metrics, such as "sharpe". tier: "interpreted", or "compiled" where that can be; None leaves it
        to the number of bars and combinations. Indicators that combinations share are computed once.
        """
        from qfp.backtesting.many import run_many

        listed = combinations if isinstance(combinations, Product) else list(combinations)
        many = run_many(self, listed, figures, tier)
        if attempts.asked_by_program() and figures:
            attempts.count(self, listed, many.columns[figures[0]], figures[0])
        return many

    def compiled(self, prepared: Prepared, whole: bool = False, compared: bool = False) -> Compiled:
        """What the compiled tier makes of a prepared strategy, compared over all bars or over the first ones.

        compared: it was before, and is not again.
        """
        return run_compiled(prepared, self.account, 1 + prepared.warm_up, self._finalize, whole, compared)

    def report(self, run: Run) -> Stats:
        """The figures and tables of a run."""
        return Stats.of(run)

    def optimize(
        self,
        *,
        maximize: str | Callable[[Stats], float] = "SQN",
        method: str = "grid",
        max_tries: float | None = None,
        constraint: Callable[[Any], bool] | None = None,
        return_heatmap: bool = False,
        return_optimization: bool = False,
        random_state: int | None = None,
        **ranges: Any,
    ) -> Any:
        """The run with the best parameters; with return_heatmap also the figure of every combination tried.

        maximize: a label of the figures, or a function of them. method: "grid" tries every combination, or max_tries
        of them (a number, or a fraction) drawn at random; "random" is the same; "sambo" searches, where the package
        sambo is installed. constraint: a function of the parameters that says which combinations are allowed.
        random_state: makes a draw repeatable. ranges: a list of values, or a range, per parameter.
        """
        from qfp.backtesting.optimising import optimize

        return optimize(
            self, maximize, method, max_tries, constraint, return_heatmap, return_optimization, random_state, ranges
        )

    def plot(self, *, results: Stats | None = None, **_: Any) -> Any:
        """Show equity over drawdown as a qfp chart. Options of backtesting.py's plot are taken and not needed."""
        from qfp import output

        results = self._results if results is None else results
        if results is None:
            raise RuntimeError("run() the backtest before plot()")
        curve = results["_equity_curve"]
        times = output._plain(curve.index)
        chart = output.Chart(
            [
                {"type": "scatter", "mode": "lines", "name": "Equity", "x": times, "y": curve["Equity"].tolist()},
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": "Drawdown",
                    "x": times,
                    "y": (-curve["DrawdownPct"]).tolist(),
                    "yaxis": "y2",
                },
            ],
            {
                "title": {"text": f"{results['_strategy']}: equity and drawdown"},
                "height": 460,
                "xaxis": {"anchor": "y2"},
                "yaxis": {"domain": [0.32, 1], "title": {"text": "Equity"}},
                "yaxis2": {"domain": [0, 0.26], "title": {"text": "Drawdown"}, "tickformat": ".0%"},
            },
        )
        chart.show()
        return chart


def _follow_attributes(strategy: Strategy, clock: Clock) -> None:
    """Let arrays that init() computed from Lines and kept on the strategy grow with the clock as well."""
    for name, value in vars(strategy).items():
        if isinstance(value, Line) and value.ndim and value.shape[-1] == clock.length and not clock.follows(value):
            setattr(strategy, name, clock.follow(value, value.name or name))


def _foreign() -> Any:
    """backtesting.py's Strategy, where the program has loaded it."""
    return getattr(sys.modules.get("backtesting"), "Strategy", None)


def is_strategy(strategy: Any) -> bool:
    """Whether it is a class that Backtest can run."""
    bases = tuple(base for base in (Strategy, _foreign()) if isinstance(base, type))
    return isinstance(strategy, type) and issubclass(strategy, bases)


def _adapted(strategy: Any) -> type[Strategy]:
    """The class itself, or one that also derives from our Strategy where it derives from backtesting.py's."""
    if isinstance(strategy, type) and issubclass(strategy, Strategy):
        return strategy
    if is_strategy(strategy):
        return _joined(strategy, _foreign())
    raise TypeError("strategy is a class that derives from Strategy (not an instance of one)")


@cache
def _joined(strategy: type, foreign: type) -> type[Strategy]:
    # Placed between the program's classes and the library's, ours answers first; super() works as written.
    bridge = type("Strategy", (Strategy, foreign), {"__module__": __name__})
    joined = type(strategy.__name__, (strategy, bridge), {"__module__": strategy.__module__})
    joined.__qualname__ = strategy.__qualname__
    return joined
