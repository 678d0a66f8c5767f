"""Which figures does one backtest have? Every one of them, by the functions of this package."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from qfp.metrics import relative, returns, sharpe, trading, underwater
from qfp.metrics.series import NAN, PERIODS_PER_YEAR, pair, ratio, series


def summary(
    equity: Any,
    positions: Any,
    traded_value: Any,
    commissions: Any,
    trades: Sequence[dict[str, Any]],
    periods_per_year: float = PERIODS_PER_YEAR,
    benchmark: Any = None,
) -> dict[str, float]:
    """Every figure of one backtest. The one path behind page, command line and report.

    equity, positions, traded_value: one value per bar. commissions: currency per fill.
    trades: closed trades with "profit" (currency, after costs), "return_fraction", "entry_bar" and "exit_bar".
    periods_per_year: bars of a year, by periods_per_year(dates). benchmark: another equity curve over the same bars;
      without one, the figures beside a benchmark are left out.
    A figure that is not defined, or too large for a number, is NaN.
    """
    account = series(equity, "equity")
    year = periods_per_year
    # Squares of very large values overflow; what comes of it is not finite and so not defined.
    with np.errstate(over="ignore", invalid="ignore"):
        change = returns.returns_of(account)
        found = _growth(account, change, year) | _risk_and_reward(account, change, year)
        if benchmark is not None:
            found |= _beside(*pair(equity, benchmark, ("equity", "benchmark")), year)
        found |= _trading(equity, positions, traded_value, commissions, trades, year)
    return {key: value if math.isfinite(value) else NAN for key, value in found.items()}


def _growth(equity: np.ndarray, change: np.ndarray, year: float) -> dict[str, float]:
    return {
        "start_equity": float(equity[0]) if len(equity) else NAN,
        "final_equity": float(equity[-1]) if len(equity) else NAN,
        "total_return": returns.total_return(equity),
        "cagr": returns.cagr(equity, year),
        "best_return": returns.best_return(change),
        "worst_return": returns.worst_return(change),
        "positive_share": returns.positive_share(change),
        "periods_per_year": float(year),
    }


def _risk_and_reward(equity: np.ndarray, change: np.ndarray, year: float) -> dict[str, float]:
    water, growth = underwater.Underwater(equity), returns.cagr(equity, year)
    moments = sharpe.sharpe_moments(change)
    each, _, skewness, kurtosis = moments
    return {
        "volatility": returns.volatility(change, year),
        "downside_deviation": returns.downside_deviation(change, 0.0, year),
        "max_drawdown": water.max_drawdown(),
        "average_drawdown": water.average_drawdown(),
        "longest_drawdown": water.longest_drawdown(),
        "time_under_water": water.time_under_water(),
        "ulcer_index": water.ulcer_index(),
        "value_at_risk": returns.value_at_risk(change),
        "expected_shortfall": returns.expected_shortfall(change),
        "tail_ratio": returns.tail_ratio(change),
        "skewness": skewness,
        "kurtosis": kurtosis,
        "sharpe": each * math.sqrt(year),
        "sharpe_standard_error": sharpe.sharpe_error(*moments) * math.sqrt(year),
        "probabilistic_sharpe": sharpe.probability_above(*moments),
        "minimum_track_record": sharpe.observations_needed(each, skewness, kurtosis),
        "sortino": returns.sortino_ratio(change, periods_per_year=year),
        "calmar": ratio(growth, -water.max_drawdown()),
        "martin": ratio(growth, water.ulcer_index()),
        "omega": returns.omega_ratio(change),
        "gain_to_pain": returns.gain_to_pain(change),
    }


def _beside(equity: np.ndarray, benchmark: np.ndarray, year: float) -> dict[str, float]:
    change, theirs = returns.returns_of(equity), returns.returns_of(benchmark)
    return {
        "buy_and_hold": returns.total_return(benchmark),
        "beta": relative.beta(change, theirs),
        "alpha": relative.alpha(change, theirs, 0.0, year),
        "correlation": relative.correlation(change, theirs),
        "tracking_error": relative.tracking_error(change, theirs, year),
        "information_ratio": relative.information_ratio(change, theirs, year),
        "treynor": relative.treynor_ratio(change, theirs, 0.0, year),
        "up_capture": relative.up_capture(change, theirs),
        "down_capture": relative.down_capture(change, theirs),
    }


def _trading(
    equity: Any,
    positions: Any,
    traded_value: Any,
    commissions: Any,
    trades: Sequence[dict[str, Any]],
    year: float,
) -> dict[str, float]:
    profits, fractions = trading.column(trades, "profit"), trading.column(trades, "return_fraction")
    return {
        "exposure": trading.exposure(positions),
        "turnover": trading.turnover(traded_value, equity, year),
        "trades": float(len(profits)),
        "win_rate": trading.win_rate(profits),
        "profit_factor": trading.profit_factor(profits),
        "payoff_ratio": trading.payoff_ratio(profits),
        "expectancy": trading.expectancy(profits),
        "average_trade": trading.average_trade(fractions),
        "best_trade": returns.best_return(fractions),
        "worst_trade": returns.worst_return(fractions),
        "average_holding": trading.average_holding(trades),
        "longest_losing_streak": trading.longest_losing_streak(profits),
        "system_quality": trading.system_quality(profits),
        "kelly_fraction": trading.kelly_fraction(profits),
        "commission_paid": float(np.sum(series(commissions, "commissions"))),
    }
