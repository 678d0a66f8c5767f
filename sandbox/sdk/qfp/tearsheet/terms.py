"""What does a heading of a table mean? Of those that are no figure and that not everybody knows."""

from __future__ import annotations

__all__ = ["TERMS"]

# Heading -> (in a sentence, where more is said).
TERMS: dict[str, tuple[str, str]] = {
    "Depth": ("How far the account fell below the highest value before.", "/docs/metrics#max_drawdown"),
    "Trough": ("The day of the lowest value of this fall.", "/docs/metrics#max_drawdown"),
    "Recovered": ("The first day at or above the value before the fall.", "/docs/metrics#longest_drawdown"),
    "CAPM": ("How far the market's returns explain those of the account.", "/docs/metrics#beta"),
    "HAC error": (
        "Standard error that allows for returns that vary together over time (Newey-West).", "/docs/metrics#alpha"
    ),
    "95 % interval": ("Were it done again and again, 95 of 100 such intervals would hold the true value.",
                      "/docs/metrics#alpha"),
    "t": ("The estimate over its standard error; beyond ±2 it is seldom chance.", "/docs/metrics#alpha"),
    "p": ("How likely an estimate this far from 0 is, were the true one 0.", "/docs/metrics#alpha"),
    "Max drawdown": ("Deepest fall below the highest value so far.", "/docs/metrics#max_drawdown"),
    "Drawdown": ("Deepest fall below the highest value so far.", "/docs/metrics#max_drawdown"),
    "Trades": ("Closed round trips.", "/docs/metrics#trades"),
    "Plateau": ("The values whose neighbours do well, too: less likely luck than the single best.", "/docs/sweeps"),
    "Single best": ("The values with the best score of all, which is mostly luck in part.", "/docs/sweeps"),
    "Score then": ("What the chosen values had shown on the bars they were chosen on: in sample.", "/docs/sweeps"),
    "Trials": ("Combinations tried in this window; each counts for the project once.", "/docs/honesty#trials"),
    "Profit": ("After costs, in currency.", "/docs/metrics#expectancy"),
    "Return, 0\u00d7": ("Total return without any costs.", "/docs/honesty#conventions-and-costs"),
    "Return, 1\u00d7": ("Total return at the stated costs.", "/docs/honesty#conventions-and-costs"),
    "Return, 2\u00d7": ("Total return at twice the stated costs.", "/docs/honesty#conventions-and-costs"),
    "Sharpe, 0\u00d7": ("Sharpe ratio without any costs.", "/docs/honesty#conventions-and-costs"),
    "Sharpe, 1\u00d7": ("Sharpe ratio at the stated costs.", "/docs/honesty#conventions-and-costs"),
    "Sharpe, 2\u00d7": ("Sharpe ratio at twice the stated costs.", "/docs/honesty#conventions-and-costs"),
}  # fmt: skip
