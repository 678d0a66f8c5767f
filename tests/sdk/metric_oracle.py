"""Every figure of a backtest a second time: plain Python, one value after the other."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from itertools import groupby, pairwise

NAN = math.nan


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values) if values else NAN


def over(above: float, below: float) -> float:
    return above / below if below > 0 else NAN


def returns_of(equity: list[float]) -> list[float]:
    return [after / before - 1 if before > 0 else 0.0 for before, after in pairwise(equity)]


def deviation(values: list[float]) -> float:
    if len(values) < 2:
        return NAN
    found = statistics.stdev(values)
    return 0.0 if found < 1e-12 else found


def moment(values: list[float], order: int) -> float:
    if not deviation(values) > 0:
        return NAN
    centre = mean(values)
    return mean([(v - centre) ** order for v in values]) / mean([(v - centre) ** 2 for v in values]) ** (order / 2)


def quantile(values: list[float], share: float) -> float:
    """Linear between the two nearest."""
    if not values:
        return NAN
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def falls_of(equity: list[float]) -> tuple[list[float], list[tuple[float, int]]]:
    """Depth at every bar; depth and bars of each separate fall."""
    below, falls = [], []
    peak, since, deepest = -math.inf, 0, 0.0
    for at, value in enumerate(equity):
        if value >= peak:
            if deepest < 0:
                falls.append((deepest, at - since))
            peak, since, deepest = value, at, 0.0
        depth = value / peak - 1 if peak > 0 else 0.0
        deepest = min(deepest, depth)
        below.append(depth)
    if deepest < 0:
        falls.append((deepest, len(equity) - 1 - since))
    return below, falls


def growth_a_year(equity: list[float], year: float) -> float:
    if len(equity) < 2 or equity[0] <= 0:
        return NAN
    if equity[-1] <= 0:
        return -1.0
    try:
        return (equity[-1] / equity[0]) ** (year / (len(equity) - 1)) - 1
    except OverflowError:
        return NAN


def series_figures(equity: list[float], year: float) -> Iterator[tuple[str, float]]:
    returns = returns_of(equity)
    centre, spread = mean(returns), deviation(returns)
    sharpe = centre / spread if spread > 0 else NAN
    skew, kurtosis = moment(returns, 3), moment(returns, 4)
    term = max(0.0, 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2) if spread > 0 else NAN
    error = math.sqrt(term / (len(returns) - 1)) if spread > 0 else NAN
    below, falls = falls_of(equity)
    losses, gains = -math.fsum(r for r in returns if r < 0), math.fsum(r for r in returns if r > 0)
    downside = math.sqrt(year * mean([min(r, 0) ** 2 for r in returns])) if returns else NAN
    growth, deepest = growth_a_year(equity, year), min(below, default=NAN)
    ulcer = math.sqrt(mean([d * d for d in below])) if below else NAN
    low, high = quantile(returns, 0.05), quantile(returns, 0.95)
    normal = statistics.NormalDist()
    yield "start_equity", equity[0] if equity else NAN
    yield "final_equity", equity[-1] if equity else NAN
    yield "total_return", equity[-1] / equity[0] - 1 if equity and equity[0] > 0 else NAN
    yield "cagr", growth
    yield "best_return", max(returns, default=NAN)
    yield "worst_return", min(returns, default=NAN)
    yield "positive_share", mean([float(r > 0) for r in returns])
    yield "periods_per_year", year
    yield "volatility", spread * math.sqrt(year)
    yield "downside_deviation", downside
    yield "max_drawdown", deepest
    yield "average_drawdown", (mean([depth for depth, _ in falls]) if falls else 0.0) if equity else NAN
    yield "longest_drawdown", float(max((bars for _, bars in falls), default=0)) if equity else NAN
    yield "time_under_water", mean([float(d < 0) for d in below])
    yield "ulcer_index", ulcer
    yield "value_at_risk", -low
    yield "expected_shortfall", -mean([r for r in returns if r <= low])
    yield "tail_ratio", over(abs(high), abs(low))
    yield "skewness", skew
    yield "kurtosis", kurtosis
    yield "sharpe", sharpe * math.sqrt(year)
    yield "sharpe_standard_error", error * math.sqrt(year)
    yield "probabilistic_sharpe", normal.cdf(sharpe / error) if error > 0 else NAN
    needed = 1 + term * (normal.inv_cdf(0.95) / sharpe) ** 2 if sharpe > 0 else NAN
    yield "minimum_track_record", needed
    yield "sortino", over(centre * year, downside)
    yield "calmar", over(growth, -deepest)
    yield "martin", over(growth, ulcer)
    yield "omega", over(gains, losses)
    yield "gain_to_pain", over(gains - losses, losses)


def figures_beside(equity: list[float], benchmark: list[float], year: float) -> Iterator[tuple[str, float]]:
    ours, theirs = returns_of(equity), returns_of(benchmark)
    count, varies = len(ours), deviation(theirs) > 0
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    beta = correlation = NAN
    if varies:
        covariance = math.fsum((a - mean(ours)) * (b - mean(theirs)) for a, b in zip(ours, theirs, strict=True))
        beta = covariance / (count - 1) / statistics.variance(theirs)
        if deviation(ours) > 0:
            correlation = covariance / (count - 1) / statistics.stdev(ours) / statistics.stdev(theirs)
    up = [(a, b) for a, b in zip(ours, theirs, strict=True) if b > 0]
    down = [(a, b) for a, b in zip(ours, theirs, strict=True) if b < 0]
    error = deviation(differences)
    yield "buy_and_hold", benchmark[-1] / benchmark[0] - 1 if benchmark and benchmark[0] > 0 else NAN
    yield "beta", beta
    yield "alpha", year * (mean(ours) - beta * mean(theirs))
    yield "correlation", correlation
    yield "tracking_error", error * math.sqrt(year)
    yield "information_ratio", over(mean(differences) * math.sqrt(year), error)
    yield "treynor", mean(ours) * year / beta if varies and abs(beta) > 1e-12 else NAN
    yield "up_capture", mean([a for a, _ in up]) / mean([b for _, b in up]) if up else NAN
    yield "down_capture", mean([a for a, _ in down]) / mean([b for _, b in down]) if down else NAN


def trading_figures(
    equity: list[float],
    positions: list[float],
    traded: list[float],
    commissions: list[float],
    trades: list[dict[str, float]],
    year: float,
) -> Iterator[tuple[str, float]]:
    profits, fractions = [t["profit"] for t in trades], [t["return_fraction"] for t in trades]
    won, lost = [p for p in profits if p > 0], [p for p in profits if p < 0]
    payoff = mean(won) / -mean(lost) if won and lost else NAN
    share, spread = (len(won) / len(profits) if profits else NAN), deviation(profits)
    streaks = [len(list(run)) for losing, run in groupby(profits, key=lambda p: p < 0) if losing]
    yield "exposure", mean([float(p != 0) for p in positions])
    yield "turnover", year / 2 * mean([abs(t) / e if e > 0 else 0.0 for t, e in zip(traded, equity, strict=True)])
    yield "trades", float(len(profits))
    yield "win_rate", share
    yield "profit_factor", over(math.fsum(won), -math.fsum(lost))
    yield "payoff_ratio", payoff
    yield "expectancy", mean(profits)
    yield "average_trade", mean(fractions)
    yield "best_trade", max(fractions, default=NAN)
    yield "worst_trade", min(fractions, default=NAN)
    yield "average_holding", mean([float(t["exit_bar"] - t["entry_bar"]) for t in trades])
    yield "longest_losing_streak", float(max(streaks, default=0)) if profits else NAN
    yield "system_quality", mean(profits) / (spread / math.sqrt(len(profits))) if spread > 0 else NAN
    yield "kelly_fraction", share - (1 - share) / payoff if payoff > 0 else NAN
    yield "commission_paid", math.fsum(commissions)
