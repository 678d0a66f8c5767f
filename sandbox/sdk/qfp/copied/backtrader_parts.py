"""What of backtrader cannot work in a box, and what is in its place? Its windows, and its download from Yahoo.

plot() draws with a window of the desktop and with parts of Matplotlib that are gone; here it shows a chart of the page.
YahooFinanceData downloads from an address that is gone, too; here it reads the site's data.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np

from qfp.copied.recording import CopiedResult

__all__ = ["fit"]

MOST_LINES = 12  # of indicators in one chart
HEIGHT_OF_A_PANEL = 130

Results = list[tuple[CopiedResult, list[Any]]]


def fit(cerebro: type, results_of: Callable[[Any], Results]) -> None:
    """results_of: the results and strategies of what this Cerebro has run last."""
    drawn = cerebro.plot  # type: ignore[attr-defined]

    def plot(self: Any, plotter: Any = None, *args: Any, **kwargs: Any) -> Any:
        if plotter is not None:  # a package that draws itself
            return drawn(self, plotter, *args, **kwargs)
        shown = []
        for result, strategies in results_of(self):
            figure = chart_of(result, strategies)
            figure.show()
            shown.append([figure])
        if not shown:
            print("There is nothing to plot: cerebro.run() comes first, and an optimisation has its own charts.")
        return shown

    cerebro.plot = plot  # type: ignore[attr-defined]
    importlib.import_module("backtrader.feeds.yahoo").YahooFinanceData.start_v7 = _read_ours


def chart_of(result: CopiedResult, strategies: list[Any]) -> Any:
    """Prices with what was bought and sold and the indicators over them, other indicators and the equity below."""
    from qfp.output import COLOURS, Chart, _plain

    class Figure(Chart):
        def savefig(self, *args: Any, **kwargs: Any) -> None:
            print("The chart is not saved as a file: it is on the page, and its menu saves it as a picture.")

    dates = _plain(result.equity.index)
    place = {stamp: at for at, stamp in enumerate(result.stamps.tolist())}
    traces: list[dict[str, Any]] = []

    def line(name: str, x: list[Any], y: Any, axis: str, colour: str, width: float = 1.2) -> None:
        style = {"color": colour, "width": width}
        traces.append(
            {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": _plain(y), "yaxis": axis, "line": style}
        )

    line("Equity", dates, result.equity.to_numpy(), "y", COLOURS[0])
    for number, feed in enumerate(result.feeds[:4]):
        at = [place[stamp] for stamp in feed.stamps.tolist() if stamp in place]
        line(feed.name, [dates[each] for each in at], feed.prices["close"][-len(at) :], "y2", "#7F7F7F", 1)
        for name, sign, symbol, colour in (
            ("bought", 1, "triangle-up", COLOURS[2]),
            ("sold", -1, "triangle-down", COLOURS[1]),
        ):
            own = [(bar, fill.price) for bar, fill in result.fills if fill.feed == number and fill.size * sign > 0]
            if own:
                marker = {"symbol": symbol, "size": 9, "color": colour}
                x, y = [dates[bar] for bar, _ in own], [price for _, price in own]
                traces.append(
                    {
                        "type": "scatter",
                        "mode": "markers",
                        "name": name,
                        "x": x,
                        "y": y,
                        "yaxis": "y2",
                        "marker": marker,
                    }
                )
    panels = 0
    for drawn, (name, values, over) in enumerate(_indicators(strategies)):
        if drawn == MOST_LINES:
            break
        panels += not over
        axis = "y2" if over else f"y{2 + panels}"
        line(name, dates[-len(values) :], values[-len(dates) :], axis, COLOURS[(3 + drawn) % len(COLOURS)])
    height = 460 + HEIGHT_OF_A_PANEL * panels
    share = HEIGHT_OF_A_PANEL / height
    layout: dict[str, Any] = {
        "title": {"text": f"{result.strategy}: prices, trades and equity"},
        "height": height,
        "margin": {"l": 64, "r": 16, "t": 48, "b": 40},
        "hovermode": "x unified",
        "legend": {"orientation": "h", "y": -0.08},
        "yaxis": {"domain": [panels * share, panels * share + share], "title": {"text": "Equity"}},
        "yaxis2": {"domain": [(panels + 1) * share + 0.03, 1], "title": {"text": "Price"}},
        "xaxis": {"anchor": f"y{2 + panels}" if panels else "y"},
    }
    for panel in range(panels):
        layout[f"yaxis{3 + panel}"] = {
            "domain": [(panels - 1 - panel) * share, (panels - panel) * share - 0.03],
        }
    return Figure(traces, layout)


def _indicators(strategies: list[Any]) -> list[tuple[str, np.ndarray, bool]]:
    """Name, values, and whether they belong over the prices: the first line of each indicator that is drawn."""
    found = []
    for strategy in strategies:
        for indicator in strategy.getindicators():
            if not indicator.plotinfo.plot or indicator.plotinfo.plotskip:
                continue
            values = np.array(indicator.lines[0].array, dtype=float)
            if len(values) and np.isfinite(values).any():
                found.append((str(indicator.plotlabel()), values, not indicator.plotinfo.subplot))
    return found


def _read_ours(self: Any) -> None:
    """In the place of a download: the site's bars of that name, in the form of Yahoo's files."""
    from qfp import data

    # All that backtrader would do to them is done: it may drop days, but it must not round.
    bars = data.prices(str(self.p.dataname), _day(self.p.fromdate), _day(self.p.todate))
    self.p.round, self.p.adjclose = False, False
    table = bars[["open", "high", "low", "close"]].assign(adjusted=bars["close"])
    table["volume"] = bars["volume"].fillna(0) if "volume" in bars else 0
    table.columns = ["Open", "High", "Low", "Close", "Adj Close", "Volume"]
    table.index.name = "Date"
    self.error, self.f = None, io.StringIO(table.to_csv(date_format="%Y-%m-%d"))


def _day(moment: Any) -> str | None:
    return None if moment is None else moment.date().isoformat()
