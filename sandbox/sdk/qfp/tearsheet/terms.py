"""What does a heading of a table mean? Of those that are no figure and that not everybody knows."""

from __future__ import annotations

from qfp.figures import GROUPS

__all__ = ["EVERYDAY", "TERMS", "definition"]

# Heading -> (in a sentence, where more is said).
TERMS: dict[str, tuple[str, str]] = {
    "Peak": ("The day of the highest value before this fall.", "/docs/metrics#max_drawdown"),
    "Bars": ("From the peak to the bar that reached it again, or to the last one.", "/docs/metrics#longest_drawdown"),
    "Depth": ("How far the account fell below the highest value before.", "/docs/metrics#max_drawdown"),
    "Trough": ("The day of the lowest value of this fall.", "/docs/metrics#max_drawdown"),
    "Recovered": ("The first day at or above the value before the fall.", "/docs/metrics#longest_drawdown"),
    "Crisis": ("A stretch in which markets fell; only those that the bars cover whole.",
               "/docs/metrics#stretches-of-time"),
    "Dates": ("First and last day of the stretch.", "/docs/metrics#stretches-of-time"),
    "Return": ("Gain or loss over what was there at the start, after costs.", "/docs/metrics#total_return"),
    "Equal money, held": ("Equal money in each instrument at the start, held to the end, without costs.",
                          "/docs/metrics#buy_and_hold"),
    "Equal parts held": ("Equal parts of each instrument, held over the same bars, without costs.",
                         "/docs/metrics#buy_and_hold"),
    "Alpha a year": ("Return a year that the factors in the same table do not explain.", "/docs/metrics#alpha"),
    "Factor": ("A kind of share whose returns may explain those of the account.", "/docs/metrics#regressions"),
    "Market": ("How much the account moves with all shares together, less cash.", "/docs/metrics#regressions"),
    "Size (SMB)": ("Above 0 it moves with small companies, below 0 with large ones (small minus big).",
                   "/docs/metrics#regressions"),
    "Value (HML)": ("Above 0 it moves with shares that are cheap for their book value, below 0 with dear ones "
                    "(high minus low).", "/docs/metrics#regressions"),
    "Profitability (RMW)": ("Above 0 it moves with companies of high profits, below 0 of low ones (robust minus "
                            "weak).", "/docs/metrics#regressions"),
    "Investment (CMA)": ("Above 0 it moves with companies that invest little, below 0 with those that invest much "
                         "(conservative minus aggressive).", "/docs/metrics#regressions"),
    "Momentum (MOM)": ("Above 0 it moves with what has risen over the year before, below 0 with what has fallen.",
                       "/docs/metrics#regressions"),
    "Estimate": ("What the regression finds for it.", "/docs/metrics#regressions"),
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
    "Window": ("A stretch to choose the values on, and the next one to trade with them.", "/docs/sweeps#walk-forward"),
    "Chosen on": ("The bars on which the values were chosen.", "/docs/sweeps#walk-forward"),
    "Chosen": ("The values that were traded next.", "/docs/sweeps#walk-forward"),
    "Traded": ("The bars on which they were traded: none of them was known when they were chosen.",
               "/docs/sweeps#walk-forward"),
    "Trial": ("One combination of values, run once.", "/docs/sweeps"),
    "Splits": ("Ways to cut the time into two halves.", "/docs/metrics#chosen-or-stumbled-upon"),
    "Logit from": ("Rank of the chosen combination in the other half: 0 is the median, below 0 is worse.",
                   "/docs/metrics#chosen-or-stumbled-upon"),
    "Filled at": ("The price of the bar at which every order is filled.", "/docs/honesty#conventions-and-costs"),
    "Total": ("The year's months compounded.", "/docs/metrics#stretches-of-time"),
    "Size": ("Units bought; below 0 units sold short.", "/docs/fills"),
    "Entry price": ("Mean price at which it was opened, with spread and slippage.", "/docs/fills"),
    "Exit price": ("Mean price at which it was closed, with spread and slippage.", "/docs/fills"),
    "Profit": ("After costs, in currency.", "/docs/metrics#expectancy"),
    "Return, 0\u00d7": ("Total return without any costs.", "/docs/honesty#conventions-and-costs"),
    "Return, 1\u00d7": ("Total return at the stated costs.", "/docs/honesty#conventions-and-costs"),
    "Return, 2\u00d7": ("Total return at twice the stated costs.", "/docs/honesty#conventions-and-costs"),
    "Sharpe, 0\u00d7": ("Sharpe ratio without any costs.", "/docs/honesty#conventions-and-costs"),
    "Sharpe, 1\u00d7": ("Sharpe ratio at the stated costs.", "/docs/honesty#conventions-and-costs"),
    "Sharpe, 2\u00d7": ("Sharpe ratio at twice the stated costs.", "/docs/honesty#conventions-and-costs"),
}  # fmt: skip

# What everybody knows, or what says no more than where a row is from.
EVERYDAY = {"Year", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Entry", "Exit",
            "Instrument"}  # fmt: skip

_FIGURES = {each.label: (each.help, f"/docs/metrics#{each.key}") for group in GROUPS.values() for each in group}
_ALPHA_OF = ": alpha a year"  # of one of several models


def definition(name: str) -> tuple[str, str] | None:
    """(what it means, where more is said) of a heading or of a figure's name; None where there is none."""
    return TERMS.get("Alpha a year" if name.endswith(_ALPHA_OF) else name) or _FIGURES.get(name)
