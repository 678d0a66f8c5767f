"""How is the result of a backtest shown and handed over? One way for one instrument and for many."""

from __future__ import annotations

import re
import secrets
import textwrap
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from qfp import channel, checking, forking, metrics, packing

if TYPE_CHECKING:
    import pandas as pd

    from qfp.conventions import BacktestingPy, CopiedRules, PortfolioRules
    from qfp.output import Chart, Table

__all__ = ["Result", "digest", "head_figures", "simple"]

TOO_LONG = (
    f"the site keeps backtests of up to {packing.MOST_BARS:,} bars, and up to {packing.MOST_OPENED // 10**6} MB of one "
    "run. This one is longer, so it counts as a trial, has no page and nobody checks it; a shorter period has one. Its "
    "figures:"
)
LINE = 66  # characters of a console beside an editor on a screen of 1280 pixels
ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # of a function or an object: another one in every run

# While a program is tried with other values: takes each result, which is then neither shown nor handed over.
taker: Callable[[Result], None] | None = None
# The same for what backtest() is asked for, before it is run: strategy, bars, options, parameters.
instead: Callable[[type, Any, dict[str, Any], dict[str, Any]], None] | None = None


_rules_said = ""


class Result(ABC):
    """A finished backtest: its figures, its equity by bar, the rules it was run by, and what is handed to the site."""

    strategy: str
    conventions: BacktestingPy | PortfolioRules | CopiedRules
    equity: pd.Series
    metrics: dict[str, float]
    claim: dict[str, Any]
    number: int | None = None  # of the program's backtests, where the site takes them

    @abstractmethod
    def notes(self) -> list[str]:
        """What should not be overlooked, a sentence each."""

    def table(self) -> Table:
        """The head figures as a Table."""
        from qfp.output import Table

        rows = [[label, text] for label, text in head_figures(self.metrics)]
        columns = [{"name": "Figure", "kind": "text"}, {"name": self.strategy, "kind": "text"}]
        return Table({"columns": columns, "rows": rows, "total_rows": len(rows)})

    def plot(self) -> Chart:
        """Equity over drawdown as a Chart; on a laptop it opens in the browser or the notebook."""
        chart = self.chart()
        chart.show()
        return chart

    def chart(self) -> Chart:
        """Equity over drawdown, sharing the time axis, as a Chart that is not shown yet."""
        from qfp.output import COLOURS, Chart, _plain

        dates, below = _plain(self.equity.index), metrics.drawdowns(self.equity.to_numpy())
        return Chart(
            [
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": "Equity",
                    "x": dates,
                    "y": _plain(self.equity.to_numpy()),
                    "line": {"color": COLOURS[0]},
                },
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": "Drawdown",
                    "x": dates,
                    "y": _plain(below),
                    "yaxis": "y2",
                    "fill": "tozeroy",
                    "line": {"color": COLOURS[1], "width": 1},
                },
            ],
            {
                "title": {"text": f"{self.strategy}: equity and drawdown"},
                "height": 460,
                "margin": {"l": 64, "r": 16, "t": 48, "b": 40},
                "showlegend": False,
                "hovermode": "x unified",
                "xaxis": {"anchor": "y2"},
                "yaxis": {"domain": [0.32, 1], "title": {"text": "Equity"}},
                "yaxis2": {"domain": [0, 0.26], "title": {"text": "Drawdown"}, "tickformat": ".0%"},
            },
        )

    def __repr__(self) -> str:
        figures = ", ".join(f"{label} {text}" for label, text in head_figures(self.metrics)[:4])
        return f"<BacktestResult {self.strategy}: {figures}>"

    def _rules_in_words(self) -> list[str]:
        return self.conventions.lines()

    def _announce(self) -> None:
        if taker is not None:
            taker(self)
            return
        global _rules_said
        rules = " ".join(self._rules_in_words())
        if rules != _rules_said:  # of many backtests by the same rules, once
            print(textwrap.fill(rules, LINE, break_on_hyphens=False))
            _rules_said = rules
        for note in self.notes():
            print(note)
        # Several workers of pmap() count alike, so their backtests are numbered by chance, above all others.
        number = 2**32 + secrets.randbits(48) if forking.in_worker else checking.backtests - 1
        beyond = not forking.in_worker and checking.backtests > checking.MOST_BACKTESTS
        # Of backtests beyond those that the site records it is told no more than lets them count.
        claim = packing.attempt_of(self.claim) if beyond else self.claim
        message = {"type": "backtest", "claim": claim, "number": number}
        if forking.in_worker:  # whether it is too long is seen where its messages are sent on
            message["instead"] = self._too_long()
        if channel.emit(message):
            self.number = checking.before + number
        elif channel.connected:
            print(self._too_long())
        else:
            print(self.table())
            try:
                self.plot()
            except ImportError:
                print("For the chart, install plotly:  pip install plotly")

    def _too_long(self) -> str:
        figures = [f"{label}: {text}" for label, text in head_figures(self.metrics)]
        return "\n".join([textwrap.fill(f"{self.strategy}: {TOO_LONG}", LINE, break_on_hyphens=False), *figures])


def simple(value: Any) -> Any:
    """A parameter as JSON holds it; anything but numbers and text in the words Python has for it."""
    if hasattr(value, "item") and not getattr(value, "ndim", 0):
        value = value.item()
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    return ADDRESS.sub("", str(value))[:200]


def digest(closes: np.ndarray) -> int:
    """Tells in a claim whether two runs traded the same bars."""
    return zlib.crc32(np.ascontiguousarray(closes, dtype=float).data)


def head_figures(found: dict[str, float]) -> list[tuple[str, str]]:
    def percent(key: str) -> str:
        return "–" if np.isnan(found[key]) else f"{found[key]:.1%}"

    def number(key: str) -> str:
        return "–" if np.isnan(found[key]) else f"{found[key]:.2f}"

    return [
        ("Total return", percent("total_return")),
        ("CAGR", percent("cagr")),
        ("Sharpe", number("sharpe")),
        ("Max drawdown", percent("max_drawdown")),
        ("Volatility", percent("volatility")),
        ("Sortino", number("sortino")),
        ("Calmar", number("calmar")),
        ("Trades", f"{found['trades']:.0f}"),
        ("Win rate", percent("win_rate")),
        ("Exposure", percent("exposure")),
        ("Commission paid", f"{found['commission_paid']:,.2f}"),
        ("Final equity", f"{found['final_equity']:,.2f}"),
    ]
