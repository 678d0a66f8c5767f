"""What would this portfolio have earned? portfolio_backtest() runs it, shows the result and records it."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from qfp import checking
from qfp.moments import dates_of
from qfp.portfolio.running import Commission, Portfolio, PortfolioRun, frames_of
from qfp.results import Result, digest, simple

__all__ = ["PortfolioResult", "portfolio_backtest"]

MAX_FILLS_LISTED = 100_000
MAX_FLOWS_LISTED = 50_000
MAX_ORDERS_LISTED = 100_000
MAX_REFUSED_LISTED = 200


def portfolio_backtest(
    bars: Any,
    on_bar: Any = None,
    *,
    weights: Any = None,
    rebalance: Any = None,
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
    warm_up: int = 0,
    name: str = "",
    **params: Any,
) -> PortfolioResult:
    """Run a strategy over many instruments in one account, print the rules it was run by, and show what came of it.

    bars: a dictionary of DataFrames by symbol, each as data.prices() gives it, or a list of symbols or a universe,
      which are read as they were traded, with their splits and dividends; or a DataFrame of closes by symbol, of which
      the site knows nothing. Dates may differ; start and end cut all.
    adjust: how symbols are read: as they were traded (None), or "all" or "split" as data.prices() has them.
    on_bar: a function called at every close with what is known then and orders to give (docs/portfolio.md). Or:
    weights: fractions of the account by symbol: a dictionary, a DataFrame with a row per date, or a function of what is
      known that returns them, or None to leave things as they are.
    rebalance: when weights are decided: daily, weekly, monthly (unless told), quarterly, yearly, on the first bar of
      each, or a list of dates. A DataFrame has its own dates.
    cash: what the account begins with.
    fill: next-open, next-close, next-average, or same-close, which cannot be traded.
    commission: fraction of the traded value per fill, (fixed amount, fraction), or a function of size and price.
    spread, slippage: fractions of the price; a market or stop order fills worse by half the spread and the slippage.
    fractional: hold parts of a share. short: sell more than is held. leverage: what positions may be worth together, in
      times of the account. borrow: fee on short positions a year. interest: on cash a year.
    halted: an order for an instrument without a bar waits for its next one ("wait") or is refused ("refuse").
    members: a universe, such as "synth/us500", whose members on the day a strategy is told, or rows of data.members();
      the universe itself where bars name one.
    warm_up: bars before the first decision. name: what the result is called. params: go to the function.

    Returns a PortfolioResult. Raises TypeError or ValueError, with what to change, for bars or values that cannot be
    run. Refused orders, ended instruments and a run without trades are said in a sentence, never an error.
    """
    settings: dict[str, Any] = {
        "cash": cash,
        "fill": fill,
        "commission": commission,
        "spread": spread,
        "slippage": slippage,
        "fractional": fractional,
        "short": short,
        "leverage": leverage,
        "borrow": borrow,
        "interest": interest,
        "halted": halted,
        "members": bars if isinstance(bars, str) and members is None else members,
    }
    how = {"on_bar": on_bar, "weights": weights, "rebalance": rebalance, "warm_up": warm_up, **params}
    strategy = on_bar if on_bar is not None else weights
    frames = frames_of(bars, start, end, adjust)
    before = checking.begin(strategy)
    portfolio = Portfolio(frames, **settings)
    run = portfolio.run(**how)
    called = getattr(strategy, "__name__", "") if callable(strategy) else ""
    result = PortfolioResult(name or called.strip("<>") or "Target weights", run, params)
    result._announce()
    if before is not None:
        result.checks = checking.look_at_portfolio(frames, settings, how, portfolio.market, before, result.claim)
    return result


class PortfolioResult(Result):
    """What came out of a portfolio's backtest.

    metrics: figures by name, computed by qfp.metrics; NaN where a figure is not defined.
    equity: Series of the account's value at each bar's close. conventions: the rules it was run by.
    claim: what was handed to the site.
    checks: what the look-ahead and the amnesia test found; docs/honesty.md has the answers they give.
    """

    def __init__(self, strategy: str, run: PortfolioRun, params: dict[str, Any]) -> None:
        import pandas as pd

        self.strategy, self.params, self._run = strategy, params, run
        self.checks: dict[str, Any] = {}
        self.conventions = run.portfolio.rules
        self.equity = pd.Series(run.equity, index=run.portfolio.market.index, name="equity")

    @cached_property
    def metrics(self) -> dict[str, float]:  # type: ignore[override]
        return self._run.metrics

    @cached_property
    def fills(self) -> Any:
        """Every fill, oldest first: date, bar, symbol, size, price and commission."""
        import pandas as pd

        bars, instruments, sizes, prices, commissions = self._run.fills
        market = self._run.portfolio.market
        return pd.DataFrame(
            {
                "date": market.index[bars],
                "bar": bars,
                "symbol": [market.symbols[at] for at in instruments.tolist()],
                "size": sizes,
                "price": prices,
                "commission": commissions,
            }
        )

    @cached_property
    def trades(self) -> Any:
        """Closed round trips, oldest entry first closed, in the order of their exits."""
        return self._table(list(self._run.replay.trades), ["entry_bar", "exit_bar"])

    @cached_property
    def flows(self) -> Any:
        """Dividends, splits, interest, borrowing fees and payments for what has ended."""
        return self._table(self._run.flows, ["bar"])

    @cached_property
    def orders(self) -> Any:
        """What was decided, by the bar that decided, with what became of it; the size of a target is a weight."""
        return self._table(self._run.orders(), ["bar"])

    @cached_property
    def refused_orders(self) -> list[dict[str, Any]]:
        """Bar, instrument and reason of every refused order."""
        return [{"bar": bar, "instrument": at, "reason": reason} for bar, at, reason in self._run.refused()]

    @cached_property
    def positions(self) -> Any:
        """Units held at each close: a row per date, a column per symbol."""
        import pandas as pd

        market = self._run.portfolio.market
        return pd.DataFrame(self._run.replay.units, index=market.index, columns=market.symbols)

    def notes(self) -> list[str]:
        """What should not be overlooked, a sentence each: refused orders, what ended, and why there were no trades."""
        return self._run.notes()

    def _table(self, rows: list[dict[str, Any]], bars: list[str]) -> Any:
        import pandas as pd

        market, frame = self._run.portfolio.market, pd.DataFrame(rows)
        for name in reversed(bars):
            if name in frame:
                frame.insert(0, name.replace("bar", "date"), market.index[frame[name].to_numpy(int)])
        if "instrument" in frame:
            names = dict(enumerate(market.symbols))
            frame.insert(len(bars), "symbol", frame.pop("instrument").map(names))
        return frame

    @cached_property
    def claim(self) -> dict[str, Any]:  # type: ignore[override]
        import qfp

        run, market = self._run, self._run.portfolio.market
        dates = dates_of(market.index)
        bars, instruments, sizes, prices, commissions = (column.tolist() for column in run.fills)
        fills = [
            {"bar": bar, "instrument": at, "size": size, "price": price, "commission": paid}
            for bar, at, size, price, paid in zip(
                bars[:MAX_FILLS_LISTED], instruments, sizes, prices, commissions, strict=False
            )
        ]
        first = market.traded.argmax(axis=0)
        return {
            "version": 2,
            "engine": {"name": "qfp", "version": qfp.__version__},
            "strategy": self.strategy[:120],
            "params": {key: simple(value) for key, value in self.params.items()},
            "instruments": [
                {
                    "symbol": about.get("symbol") or symbol,
                    "series": about.get("series"),
                    "object": about.get("object"),
                    "adjust": about.get("adjust"),
                    "first": int(first[at]),
                    "last": int(market.last[at]),
                }
                for at, (symbol, about) in enumerate(zip(market.symbols, market.about, strict=True))
            ],
            "snapshot": next((about["snapshot"] for about in market.about if about.get("snapshot")), None),
            "period": {"start": dates[0], "end": dates[-1]},
            "cash": run.portfolio.cash,
            "conventions": self.conventions.as_dict(),
            "dates": dates,
            "digest": digest(market.close),
            "equity": run.equity.tolist(),
            "fills": fills,
            "fill_count": len(bars),
            "flows": run.flows[:MAX_FLOWS_LISTED],
            "orders": run.orders(MAX_ORDERS_LISTED),
            "order_count": run.order_count(),
            "trades": [],
            "refused_orders": self.refused_orders[:MAX_REFUSED_LISTED],
            "no_trades": run.why_no_trades()[:300],
        }
