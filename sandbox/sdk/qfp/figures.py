"""How is each figure of a backtest called, written and explained? Once, for every surface: page, report, laptop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

__all__ = [
    "GROUPS", "HEAD", "NOT_DEFINED", "Definition", "count", "difference", "figures", "grouped", "percent", "ratio",
    "signed",
]  # fmt: skip

NOT_DEFINED = "not defined"
HUGE = 1e9  # from here on nobody counts the digits
WORDS = ((1e9, "billion"), (1e12, "trillion"))


def percent(value: float, whole: bool = False) -> str:
    return f"{signed(value * 100, 1, whole)}\u00a0%"


def signed(value: float, digits: int, whole: bool = False) -> str:
    """12345.678 -> 12 345.68 with thin spaces, where no line may break, and a real minus sign; never "-0.0".

    What is huge is written as 2.97 billion or 2.97 trillion, and from a thousand of those on as 1.23e15, unless the
    whole of it is asked for.
    """
    text = f"{abs(value):,.{digits}f}" if whole or abs(value) < HUGE else _huge(abs(value))
    text = text.replace(",", "\u202f")
    return f"\u2212{text}" if value < 0 and text.strip("0.\u202f") else text


def _huge(value: float) -> str:
    for size, word in WORDS:
        if float(text := f"{value / size:.2f}") < 1000:
            return f"{text}\u00a0{word}"
    return f"{value:.2e}".replace("e+", "e")


def ratio(value: float, whole: bool = False) -> str:
    return signed(value, 2, whole)


def count(value: float, whole: bool = False) -> str:
    return signed(value, 0, whole)


def _bars(value: float, whole: bool = False) -> str:
    return f"{signed(math.ceil(value), 0, whole)} bar{'' if math.ceil(value) == 1 else 's'}"


def _mean_bars(value: float, whole: bool = False) -> str:
    return f"{signed(value, 1, whole)} bars"


def _daily_percent(value: float, whole: bool = False) -> str:
    return f"{signed(value * 100, 2, whole)}\u00a0%"


class Definition(NamedTuple):
    """One figure: its name in qfp.metrics.summary(), what people call it, and what it says in a sentence.

    The formula is in docs/metrics.md, at the anchor named like the key.
    """

    key: str
    label: str
    form: Callable[..., str]  # of the value, and of whether all its digits are wanted
    help: str


# Every figure by group, in the order of the table.
GROUPS: dict[str, tuple[Definition, ...]] = {
    "Growth": (
        Definition("total_return", "Total return", percent, "Last equity over the start value, minus 1."),
        Definition("cagr", "CAGR", percent, "Growth a year, compounded over the bars of a year."),
        Definition("start_equity", "Start equity", count, "Account value on the first bar, in currency."),
        Definition("final_equity", "Final equity", count, "Account value on the last bar, in currency."),
        Definition("best_return", "Best bar", _daily_percent, "Largest return of one bar."),
        Definition("worst_return", "Worst bar", _daily_percent, "Smallest return of one bar."),
        Definition("positive_share", "Winning bars", percent, "Share of the bars with a return above 0."),
        Definition("periods_per_year", "Bars a year", count, "What yearly figures reckon with, read off the bars."),
    ),
    "Risk": (
        Definition("volatility", "Volatility", percent, "Deviation of the returns, scaled to a year."),
        Definition(
            "downside_deviation", "Downside deviation", percent,
            "Deviation of the losses below 0, over all bars, scaled to a year.",
        ),
        Definition("max_drawdown", "Max drawdown", percent, "Deepest fall below the highest value so far."),
        Definition("average_drawdown", "Average drawdown", percent, "Mean depth of the separate falls below a peak."),
        Definition("longest_drawdown", "Longest drawdown", _bars, "Most bars from a peak until it was reached again."),
        Definition("time_under_water", "Time under water", percent, "Share of the bars below an earlier value."),
        Definition("ulcer_index", "Ulcer index", percent, "Root mean square of the drawdowns: depth and length."),
        Definition(
            "value_at_risk", "Value at risk, 95 %", _daily_percent,
            "Loss of one bar that 1 bar in 20 exceeded. Positive for a loss.",
        ),
        Definition(
            "expected_shortfall", "Expected shortfall, 95 %", _daily_percent,
            "Mean loss of the worst 1 bar in 20. Positive for a loss.",
        ),
        Definition("tail_ratio", "Tail ratio", ratio, "Size of the best 5 % of returns over that of the worst 5 %."),
        Definition("skewness", "Skewness", ratio, "Below 0: the large moves are rather losses."),
        Definition("kurtosis", "Kurtosis", ratio, "How fat the tails are; 3 for a normal distribution."),
    ),
    "Reward for risk": (
        Definition(
            "sharpe", "Sharpe", ratio,
            "Mean return over its deviation, a year; risk-free rate 0. What backtesting.py prints is compounded.",
        ),
        Definition(
            "sharpe_standard_error", "Standard error of Sharpe", ratio,
            "How far the Sharpe ratio may be off, with skew and fat tails.",
        ),
        Definition(
            "sharpe_low", "Sharpe, low end", ratio, "Of 100 draws of its returns in blocks, 90 lie between the ends."
        ),
        Definition("sharpe_high", "Sharpe, high end", ratio, "The upper end of the same 90 % interval."),
        Definition(
            "probabilistic_sharpe", "P(Sharpe > 0)", percent,
            "Probability that the true Sharpe ratio is above 0, were this the only version tried.",
        ),
        Definition(
            "minimum_track_record", "Minimum track record", _bars,
            "Bars it takes to be 95 % sure of a Sharpe ratio above 0.",
        ),
        Definition("sortino", "Sortino", ratio, "Mean return over the deviation of the losses, a year."),
        Definition("calmar", "Calmar", ratio, "CAGR over the deepest fall."),
        Definition("martin", "Martin", ratio, "CAGR over the ulcer index."),
        Definition("omega", "Omega", ratio, "Sum of the gains over the sum of the losses, bar by bar."),
        Definition("gain_to_pain", "Gain to pain", ratio, "Sum of all returns over the sum of the losses."),
    ),
    "Beside buy and hold": (
        Definition(
            "buy_and_hold",
            "Buy and hold",
            percent,
            "Total return of holding what was traded from the first bar on, without costs. The table that "
            "Backtest.run() returns counts from the bar at which all indicators have values.",
        ),
        Definition("beta", "Beta", ratio, "How far the account moves when buying and holding moves by 1."),
        Definition("alpha", "Alpha", percent, "Return a year that beta does not explain."),
        Definition("correlation", "Correlation", ratio, "Of the returns with those of buying and holding."),
        Definition(
            "tracking_error", "Tracking error", percent, "Deviation of the differences from it, a year."
        ),
        Definition(
            "information_ratio", "Information ratio", ratio, "Mean difference from it over the tracking error."
        ),
        Definition("treynor", "Treynor", ratio, "Mean return a year over beta."),
        Definition("up_capture", "Up capture", percent, "Share of the gains in the bars in which it rose."),
        Definition("down_capture", "Down capture", percent, "Share of the losses in the bars in which it fell."),
    ),
    "Trading": (
        Definition("exposure", "Exposure", percent, "Share of the bars with an open position."),
        Definition("turnover", "Turnover a year", percent, "One-way value traded over the account's value."),
        Definition("trades", "Trades", count, "Closed round trips."),
        Definition("win_rate", "Win rate", percent, "Share of the trades with a profit after costs."),
        Definition("profit_factor", "Profit factor", ratio, "Sum of the profits over the sum of the losses."),
        Definition("payoff_ratio", "Payoff ratio", ratio, "Mean profit of the winners over the losers' mean loss."),
        Definition("expectancy", "Profit per trade", ratio, "Mean profit of a trade after costs, in currency."),
        Definition("average_trade", "Average trade", _daily_percent, "Mean return of a trade on its entry value."),
        Definition("best_trade", "Best trade", _daily_percent, "Largest return of a trade on its entry value."),
        Definition("worst_trade", "Worst trade", _daily_percent, "Smallest return of a trade on its entry value."),
        Definition("average_holding", "Average holding", _mean_bars, "Mean number of bars between entry and exit."),
        Definition("longest_losing_streak", "Longest losing streak", count, "Most losing trades in a row."),
        Definition(
            "system_quality", "System quality", ratio, "Mean profit of a trade over its standard error."
        ),
        Definition(
            "kelly_fraction", "Kelly fraction", percent, "Stake for the fastest growth, a limit and not advice."
        ),
        Definition("commission_paid", "Commission paid", count, "Sum over all fills, in currency."),
    ),
}  # fmt: skip

# The head of a page, in its order; the others follow in the order of the groups.
HEAD = ("total_return", "buy_and_hold", "cagr", "sharpe", "max_drawdown", "volatility", "exposure", "trades")


def figures(values: Mapping[str, float | None]) -> list[dict[str, Any]]:
    """[{key, label, text, value, help, group, place, anchor, full}]: what every surface shows, the head first.

    values: by key, NaN or None where undefined; those say so. Keys that are missing are left out. group, place: in
    which part of the table, and at which place of the whole. anchor: where the formula is. full: all digits, only where
    the text has fewer; for who points at it, as every surface writes the text.
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
                "text": each.form(value) if value is not None and defined else NOT_DEFINED,
                "value": value if defined else None,
                "help": each.help,
                "group": group,
                "place": places[each.key],
                "anchor": f"/docs/metrics#{each.key}",
            }
            if defined and (full := each.form(value, True)) != shown[each.key]["text"]:
                shown[each.key]["full"] = full
    return [shown.pop(key) for key in HEAD if key in shown] + list(shown.values())


def difference(key: str, change: float) -> str:
    """How much more or less of a figure, with its sign: of percentages in points, of all others in their own form."""
    form = next((each.form for each in chain.from_iterable(GROUPS.values()) if each.key == key), ratio)
    if form in (percent, _daily_percent):
        text = f"{signed(change * 100, 2 if form is _daily_percent else 1)} points"
    else:
        text = form(change) if form in (count, ratio) or change >= 0 else f"\u2212{form(-change)}"
    return f"+{text}" if change > 0 else text


def grouped(shown: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The figures of figures() by group, in the order of the table; those stored without a group come first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for figure in sorted(shown, key=lambda figure: figure.get("place", -1)):
        found.setdefault(figure.get("group", ""), []).append(figure)
    return list(found.items())
