"""A recomputed backtest in words, figures and the points of its chart: formatted once, the same on every surface."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, pairwise
from typing import Any

import numpy as np
from qfp import metrics

CHART_POINTS = 2_000


def _percent(value: float) -> str:
    return f"{_signed(value * 100, 1)} %"


def _signed(value: float, digits: int) -> str:
    """12345.678 -> 12 345.68 with thin spaces and a real minus sign; never "-0.0"."""
    text = f"{abs(value):,.{digits}f}".replace(",", "\u2009")
    return f"\u2212{text}" if value < 0 and text.strip("0.\u2009") else text


def _ratio(value: float) -> str:
    return _signed(value, 2)


def _count(value: float) -> str:
    return _signed(value, 0)


def _bars(value: float) -> str:
    return f"{_signed(math.ceil(value), 0)} bar{'' if math.ceil(value) == 1 else 's'}"


def _mean_bars(value: float) -> str:
    return f"{_signed(value, 1)} bars"


def _daily_percent(value: float) -> str:
    return f"{_signed(value * 100, 2)} %"


@dataclass(frozen=True)
class Definition:
    """One figure: its name in qfp.metrics.summary(), what people call it, and what it says in a sentence.

    The formula is in docs/metrics.md, at the anchor named like the key.
    """

    key: str
    label: str
    form: Callable[[float], str]
    help: str


# Every figure by group, in the order of the table.
GROUPS: dict[str, tuple[Definition, ...]] = {
    "Growth": (
        Definition("total_return", "Total return", _percent, "Last equity over the start value, minus 1."),
        Definition("cagr", "CAGR", _percent, "Growth a year, compounded over the bars of a year."),
        Definition("start_equity", "Start equity", _count, "Account value on the first bar, in currency."),
        Definition("final_equity", "Final equity", _count, "Account value on the last bar, in currency."),
        Definition("best_return", "Best bar", _daily_percent, "Largest return of one bar."),
        Definition("worst_return", "Worst bar", _daily_percent, "Smallest return of one bar."),
        Definition("positive_share", "Winning bars", _percent, "Share of the bars with a return above 0."),
        Definition("periods_per_year", "Bars a year", _count, "What yearly figures reckon with, read off the bars."),
    ),
    "Risk": (
        Definition("volatility", "Volatility", _percent, "Deviation of the returns, scaled to a year."),
        Definition(
            "downside_deviation", "Downside deviation", _percent,
            "Deviation of the losses below 0, over all bars, scaled to a year.",
        ),
        Definition("max_drawdown", "Max drawdown", _percent, "Deepest fall below the highest value so far."),
        Definition("average_drawdown", "Average drawdown", _percent, "Mean depth of the separate falls below a peak."),
        Definition("longest_drawdown", "Longest drawdown", _bars, "Most bars from a peak until it was reached again."),
        Definition("time_under_water", "Time under water", _percent, "Share of the bars below an earlier value."),
        Definition("ulcer_index", "Ulcer index", _percent, "Root mean square of the drawdowns: depth and length."),
        Definition(
            "value_at_risk", "Value at risk, 95 %", _daily_percent,
            "Loss of one bar that 1 bar in 20 exceeded. Positive for a loss.",
        ),
        Definition(
            "expected_shortfall", "Expected shortfall, 95 %", _daily_percent,
            "Mean loss of the worst 1 bar in 20. Positive for a loss.",
        ),
        Definition("tail_ratio", "Tail ratio", _ratio, "Size of the best 5 % of returns over that of the worst 5 %."),
        Definition("skewness", "Skewness", _ratio, "Below 0: the large moves are rather losses."),
        Definition("kurtosis", "Kurtosis", _ratio, "How fat the tails are; 3 for a normal distribution."),
    ),
    "Reward for risk": (
        Definition("sharpe", "Sharpe", _ratio, "Mean return over its deviation, a year; risk-free rate 0."),
        Definition(
            "sharpe_standard_error", "Standard error of Sharpe", _ratio,
            "How far the Sharpe ratio may be off, with skew and fat tails.",
        ),
        Definition(
            "sharpe_low", "Sharpe, low end", _ratio, "Of 100 draws of its returns in blocks, 90 lie between the ends."
        ),
        Definition("sharpe_high", "Sharpe, high end", _ratio, "The upper end of the same 90 % interval."),
        Definition(
            "probabilistic_sharpe", "P(Sharpe > 0)", _percent,
            "Probability that the true Sharpe ratio is above 0, were this the only version tried.",
        ),
        Definition(
            "minimum_track_record", "Minimum track record", _bars,
            "Bars it takes to be 95 % sure of a Sharpe ratio above 0.",
        ),
        Definition("sortino", "Sortino", _ratio, "Mean return over the deviation of the losses, a year."),
        Definition("calmar", "Calmar", _ratio, "CAGR over the deepest fall."),
        Definition("martin", "Martin", _ratio, "CAGR over the ulcer index."),
        Definition("omega", "Omega", _ratio, "Sum of the gains over the sum of the losses, bar by bar."),
        Definition("gain_to_pain", "Gain to pain", _ratio, "Sum of all returns over the sum of the losses."),
    ),
    "Beside buy and hold": (
        Definition("buy_and_hold", "Buy and hold", _percent, "Total return of holding what was traded, without costs."),
        Definition("beta", "Beta", _ratio, "How far the account moves when buying and holding moves by 1."),
        Definition("alpha", "Alpha", _percent, "Return a year that beta does not explain."),
        Definition("correlation", "Correlation", _ratio, "Of the returns with those of buying and holding."),
        Definition(
            "tracking_error", "Tracking error", _percent, "Deviation of the differences from it, a year."
        ),
        Definition(
            "information_ratio", "Information ratio", _ratio, "Mean difference from it over the tracking error."
        ),
        Definition("treynor", "Treynor", _ratio, "Mean return a year over beta."),
        Definition("up_capture", "Up capture", _percent, "Share of the gains in the bars in which it rose."),
        Definition("down_capture", "Down capture", _percent, "Share of the losses in the bars in which it fell."),
    ),
    "Trading": (
        Definition("exposure", "Exposure", _percent, "Share of the bars with an open position."),
        Definition("turnover", "Turnover a year", _percent, "One-way value traded over the account's value."),
        Definition("trades", "Trades", _count, "Closed round trips."),
        Definition("win_rate", "Win rate", _percent, "Share of the trades with a profit after costs."),
        Definition("profit_factor", "Profit factor", _ratio, "Sum of the profits over the sum of the losses."),
        Definition("payoff_ratio", "Payoff ratio", _ratio, "Mean profit of the winners over the losers' mean loss."),
        Definition("expectancy", "Profit per trade", _ratio, "Mean profit of a trade after costs, in currency."),
        Definition("average_trade", "Average trade", _daily_percent, "Mean return of a trade on its entry value."),
        Definition("best_trade", "Best trade", _daily_percent, "Largest return of a trade on its entry value."),
        Definition("worst_trade", "Worst trade", _daily_percent, "Smallest return of a trade on its entry value."),
        Definition("average_holding", "Average holding", _mean_bars, "Mean number of bars between entry and exit."),
        Definition("longest_losing_streak", "Longest losing streak", _count, "Most losing trades in a row."),
        Definition(
            "system_quality", "System quality", _ratio, "Mean profit of a trade over its standard error."
        ),
        Definition(
            "kelly_fraction", "Kelly fraction", _percent, "Stake for the fastest growth, a limit and not advice."
        ),
        Definition("commission_paid", "Commission paid", _count, "Sum over all fills, in currency."),
    ),
}  # fmt: skip

# The head of a page, in its order; the others follow in the order of the groups.
HEAD = ("total_return", "buy_and_hold", "cagr", "sharpe", "max_drawdown", "volatility", "exposure", "trades")


def figures(values: Mapping[str, float | None]) -> list[dict[str, Any]]:
    """[{key, label, text, value, help, group, place, anchor}]: what every surface shows, the head first.

    values: by key, NaN or None where undefined; those say so. Keys that are missing are left out. group, place: in
    which part of the table, and at which place of the whole. anchor: where the formula is.
    """
    shown: dict[str, dict[str, Any]] = {}
    places = {each.key: place for place, each in enumerate(chain.from_iterable(GROUPS.values()))}
    for group, definitions in GROUPS.items():
        for each in definitions:
            if each.key not in values:
                continue
            value = values[each.key]
            defined = value is not None and math.isfinite(value)
            shown[each.key] = {
                "key": each.key,
                "label": each.label,
                "text": each.form(value) if value is not None and defined else "undefined",
                "value": value if defined else None,
                "help": each.help,
                "group": group,
                "place": places[each.key],
                "anchor": f"/docs/metrics#{each.key}",
            }
    return [shown.pop(key) for key in HEAD if key in shown] + list(shown.values())


def grouped(shown: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The figures of figures() by group, in the order of the table; those stored without a group come first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for figure in sorted(shown, key=lambda figure: figure.get("place", -1)):
        found.setdefault(figure.get("group", ""), []).append(figure)
    return list(found.items())


def chart(dates: list[str], equity: np.ndarray, benchmark: np.ndarray | None) -> dict[str, Any]:
    """At most CHART_POINTS points; of every stretch the lowest and the highest value stay, so no fall is
    hidden.
    """
    picks = thinned(equity, CHART_POINTS)
    below = metrics.drawdowns(equity)
    drawn = {
        "dates": [dates[i][:10] if dates[i][10:] in ("", "T00:00:00") else dates[i] for i in picks],
        "equity": [round(float(equity[i]), 4) for i in picks],
        "drawdown": [round(float(below[i]), 6) for i in picks],
    }
    if benchmark is not None:
        drawn["benchmark"] = [round(float(benchmark[i]), 4) for i in picks]
    return drawn


def thinned(values: np.ndarray, most: int) -> list[int]:
    """Positions of at most `most` values: first, last, and the extremes of equal stretches between."""
    count = len(values)
    if count <= most:
        return list(range(count))
    edges = np.linspace(0, count, most // 2, dtype=int)
    picks = {0, count - 1}
    for start, stop in pairwise(edges):
        stretch = values[start:stop]
        if len(stretch):
            picks |= {int(start + stretch.argmin()), int(start + stretch.argmax())}
    return [*sorted(picks)[: most - 1], count - 1] if len(picks) > most else sorted(picks)


def describe(dates: list[str], equity: np.ndarray) -> str:
    """One sentence that says what the curve shows, for those who cannot see it."""
    went = "rose" if equity[-1] > equity[0] else "fell" if equity[-1] < equity[0] else "stayed the same"
    details = metrics.drawdown_details(equity)
    sentence = (
        f"Equity {went} from {_count(float(equity[0]))} to {_count(float(equity[-1]))} "
        f"between {_month(dates[0])} and {_month(dates[-1])}"
    )
    peak, trough, depth = details["start"], details["trough"], details["depth"]
    if peak is None or trough is None or depth is None:
        return f"{sentence}; it never fell."
    since, until = _month(dates[int(peak)]), _month(dates[int(trough)])
    when = since if since == until else f"{since} to {until}"
    return f"{sentence}; worst fall {_signed(-100 * depth, 1)} %, {when}."


def _month(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%b %Y")
