"""Could this be luck? How sure a Sharpe ratio is, what so many trials would have brought anyway, and whether the best
of them was chosen or stumbled upon.

Ratios named `sharpe` are per period, like their skewness and raw kurtosis (3 for a normal distribution); ratios named
annual are annualised. A figure that is not defined is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np

from qfp.figures import signed
from qfp.metrics import normal
from qfp.metrics.series import NAN, NOISE, PERIODS_PER_YEAR, series, spread
from qfp.metrics.sharpe import (
    minimum_track_record,
    observations_needed,
    probabilistic_sharpe_ratio,
    probability_above,
    sharpe_error,
    sharpe_lower_bound,
    sharpe_moments,
)
from qfp.resampling import block_length, drawn_blocks, drawn_positions

__all__ = [
    "sharpe_moments", "sharpe_error", "sharpe_lower_bound", "probability_above", "observations_needed",
    "probabilistic_sharpe_ratio", "minimum_track_record",
    "expected_maximum", "exact_expected_maximum", "minimum_backtest_length", "effective_trials", "trial_clusters",
    "deflated_sharpe_ratio", "Deflated", "bootstrap_interval", "Interval", "probability_of_overfitting",
    "overfitting_of_blocks", "Overfitting",
]  # fmt: skip

EULER = 0.5772156649015329
FEWEST_CONFIGURATIONS = 12
TOO_LARGE = 1e100
MOST_BLOCKS = 2_000  # of one draw
MOST_CORRELATED = 2_000  # columns compared with each other: 32 MB of correlations
# Splits times configurations handled at once: a table of 16 MB.
PIECE = 2_000_000
NEAR = 20_000  # of them at a time: what a core keeps near


# The best of many ------------------------------------------------------------------------------------------------


def expected_maximum(trials: float) -> float:
    """The largest of so many standard normal numbers, as expected: (1 - g) F(1 - 1/N) + g F(1 - 1/(N e)).

    F is the inverse of the normal distribution, g Euler's constant. 0 for one trial or less.
    Source: Bailey & Lopez de Prado (2014), J. Portfolio Management 40(5).
    """
    if not trials > 1:
        return 0.0
    # From below: 1 - 1/N is 1 for very many.
    best = -normal.quantile(1 / trials), -normal.quantile(1 / (trials * math.e))
    return max(0.0, (1 - EULER) * best[0] + EULER * best[1])


def exact_expected_maximum(trials: int) -> float:
    """The same without the approximation, by integrating over the largest: 0.5642 for two."""
    if trials <= 1:
        return 0.0
    at = np.linspace(-12, 12, 4_801)
    below = np.array([normal.below(x) for x in at])
    density = np.exp(-(at**2) / 2) / math.sqrt(2 * math.pi)
    return float(np.sum(at * trials * density * below ** (trials - 1)) * (at[1] - at[0]))


def minimum_backtest_length(trials: float, annual_sharpe: float = 1.0) -> float:
    """Years of data below which the best of so many worthless trials is expected to show this annual Sharpe ratio.

    Source: Bailey, Borwein, Lopez de Prado & Zhu (2014), Notices of the AMS 61(5).
    """
    return (expected_maximum(trials) / annual_sharpe) ** 2 if annual_sharpe > 0 else NAN


def effective_trials(trials: int, mean_correlation: float, clusters: int = 1) -> float:
    """How many independent trials so many alike amount to: c + (1 - c) M, and no fewer than their clusters."""
    correlation = min(1.0, max(0.0, mean_correlation))
    return max(float(clusters), correlation + (1 - correlation) * trials) if trials > 0 else 0.0


def trial_clusters(returns: Any, alike: float = 0.7) -> tuple[float, int]:
    """(mean correlation of the trials, number of clusters): what effective_trials() takes.

    returns: a matrix, one column per trial, no missing values. Trials are in one cluster when a chain of correlations
    of at least `alike` joins them. Of more than 2,000 columns, 2,000 are looked at.
    """
    matrix = _matrix(returns)
    picks = np.unique(np.linspace(0, matrix.shape[1] - 1, min(matrix.shape[1], MOST_CORRELATED)).astype(int))
    centred = matrix[:, picks] - matrix[:, picks].mean(axis=0)
    lengths = np.sqrt((centred**2).sum(axis=0))
    alive = lengths > NOISE
    if not alive.any():
        return 1.0, 1
    units = centred[:, alive] / lengths[alive]
    count = units.shape[1]
    correlations = units.T @ units
    mean = float((correlations.sum() - count) / (count * (count - 1))) if count > 1 else 1.0
    near, left, clusters = correlations >= alike, np.ones(count, dtype=bool), 0
    while left.any():
        front = np.zeros(count, dtype=bool)
        front[int(left.argmax())] = True
        clusters += 1
        while front.any():
            left &= ~front
            front = near[front].any(axis=0) & left
    return mean, clusters


@dataclass(frozen=True)
class Deflated:
    """probability: that the true Sharpe ratio is above what chance alone gives the best of the trials.

    annual_sharpe: what was found. annual_threshold: what chance gives. trials: how many were reckoned with.
    """

    probability: float
    annual_sharpe: float
    annual_threshold: float
    trials: float


def deflated_sharpe_ratio(
    returns: Any,
    trials: float,
    annual_variance: float | None = None,
    periods_per_year: float = PERIODS_PER_YEAR,
) -> Deflated:
    """The probabilistic Sharpe ratio against the best that so many trials would show by chance.

    trials: how many different ones there were, by effective_trials() where they resemble each other. One is no
    deflation. annual_variance: variance of the trials' annual Sharpe ratios; without it, that of trials without any
    skill over as many periods, periods_per_year / (T - 1).
    The probability is NaN where the Sharpe ratio is. Source: Bailey & Lopez de Prado (2014).
    """
    sharpe, observations, skewness, kurtosis = sharpe_moments(returns)
    if annual_variance is None:
        variance = 1 / (observations - 1) if observations > 1 else NAN
    else:
        variance = max(0.0, annual_variance) / periods_per_year
    threshold = math.sqrt(variance) * expected_maximum(trials) if trials > 1 else 0.0
    year = math.sqrt(periods_per_year)
    found = probability_above(sharpe, observations, skewness, kurtosis, threshold)
    return Deflated(found, sharpe * year, threshold * year, float(trials))


# How far it could be off ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Interval:
    """low, high: ends of the interval. estimate: of the returns as they are. level: share of the draws between.

    block: mean length of the blocks. paths, seed: how they were drawn.
    """

    low: float
    high: float
    estimate: float
    level: float
    block: float
    paths: int
    seed: int


def bootstrap_interval(
    returns: Any,
    statistic: str | Callable[[np.ndarray], float] = "sharpe",
    level: float = 0.9,
    paths: int = 2_000,
    seed: int = 0,
    block: float | None = None,
    kind: str = "stationary",
    periods_per_year: float = PERIODS_PER_YEAR,
) -> Interval:
    """Between which values a figure of these returns lies when the returns are drawn again in blocks.

    statistic: "sharpe" or "mean", both annual, or a function of an array of returns. block, kind: as in
    resampling.monte_carlo(). Draws in which the figure is not defined are left out.
    low and high are NaN for fewer than ten returns, or where the figure itself is not defined. Returns beyond 1e100 are
    left out: no account has them, and their squares are no numbers.
    """
    returns = series(returns)
    returns = returns[np.abs(returns) < TOO_LARGE]
    if isinstance(statistic, str) and statistic not in ("sharpe", "mean"):
        raise ValueError('statistic is "sharpe", "mean" or a function of the returns')
    if len(returns) < 10 or not spread(returns) > 0:
        return Interval(NAN, NAN, NAN, level, 1.0, 0, seed)
    # Of very many returns the blocks are longer than they need be, or the draws would take seconds.
    length = max(block_length(returns, kind), len(returns) / MOST_BLOCKS) if block is None else block
    rng = np.random.default_rng(seed)
    if isinstance(statistic, str):
        estimate = _of_sums(returns.sum(), (returns**2).sum(), len(returns), statistic, periods_per_year)
        found = _drawn_sums(returns, paths, length, kind, statistic, periods_per_year, rng)
    else:
        estimate = np.float64(statistic(returns))
        rows = drawn_positions(len(returns), paths, length, kind, rng)
        found = np.array([float(statistic(returns[picks])) for some in rows for picks in some])
    found = found[np.isfinite(found)]
    if not len(found) or not np.isfinite(estimate):
        return Interval(NAN, NAN, float(estimate), level, length, paths, seed)
    low, high = np.quantile(found, ((1 - level) / 2, (1 + level) / 2))
    return Interval(float(low), float(high), float(estimate), level, length, paths, seed)


def _drawn_sums(
    returns: np.ndarray,
    paths: int,
    block: float,
    kind: str,
    statistic: str,
    periods_per_year: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """The statistic of each draw, from the sums of its blocks: no draw is ever written out."""
    count = len(returns)
    twice = np.concatenate([returns, returns])
    sums = np.concatenate([[0.0], np.cumsum(twice)])
    squares = np.concatenate([[0.0], np.cumsum(twice**2)])
    found = []
    rows = max(1, int(PIECE * block / count))
    for at in range(0, paths, rows):
        starts, lengths = drawn_blocks(count, min(rows, paths - at), block, kind, rng)
        total = (sums[starts + lengths] - sums[starts]).sum(axis=1)
        power = (squares[starts + lengths] - squares[starts]).sum(axis=1)
        found.append(_of_sums(total, power, count, statistic, periods_per_year))
    return np.concatenate(found)


def _of_sums(total: Any, power: Any, count: int, statistic: str, periods_per_year: float) -> Any:
    mean = total / count
    if statistic == "mean":
        return mean * periods_per_year
    variance = np.maximum(power - count * mean**2, 0.0) / (count - 1)
    deviation = np.sqrt(variance)
    undefined = deviation <= NOISE
    return np.where(undefined, NAN, mean / np.where(undefined, 1.0, deviation)) * math.sqrt(periods_per_year)


# Was the best one chosen or stumbled upon? ----------------------------------------------------------------------


@dataclass(frozen=True)
class Overfitting:
    """The probability of backtest overfitting, and what it was made from.

    probability: share of the splits in which the configuration that was best in one half was no better than the median
    in the other. strict: the same without those exactly in the middle. mean_logit: mean of ln(w / (1 - w)) with
    w = rank / (configurations + 1). loss_probability: share of the splits in which the best one then lost.
    slope: of the ratio in the other half on the ratio in the first; NaN where that does not vary.
    configurations, splits: how many. logits: one per split. too_few: there are fewer than 12 configurations, and the
    figure is too coarse to be shown.
    """

    probability: float
    strict: float
    mean_logit: float
    loss_probability: float
    slope: float
    configurations: int
    splits: int
    logits: np.ndarray

    @property
    def too_few(self) -> bool:
        return self.configurations < FEWEST_CONFIGURATIONS

    @property
    def text(self) -> str:
        """The finding in a sentence."""
        if not self.configurations:
            return "What each of them returned was not kept, so the probability of overfitting cannot be told."
        if self.too_few:
            return f"Too few configurations to say: {self.configurations} of at least {FEWEST_CONFIGURATIONS}."
        if math.isnan(self.probability):
            return "Not defined: the periods are too few, or nothing varies."
        return (
            f"In {signed(100 * self.probability, 0)}\u00a0% of {signed(self.splits, 0)} splits the best of "
            f"{signed(self.configurations, 0)} configurations in one half was no better than the median in the other."
        )

    def histogram(self, bins: int = 20) -> list[tuple[float, float, int]]:
        """[(from, to, splits)] of the logits, ascending: below 0 the choice did not hold."""
        if not len(self.logits):
            return []
        reach = max(1e-9, float(np.abs(self.logits).max()))
        counts, edges = np.histogram(self.logits, bins=bins, range=(-reach, reach))
        return [(float(a), float(b), int(n)) for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)]


def probability_of_overfitting(returns: Any, blocks: int = 16) -> Overfitting:
    """How often the configuration that is best in half of the time is below the median in the other half (CSCV).

    returns: a matrix of returns per period, one column per configuration, of ALL that were tried and not of the
    survivors; no missing values. blocks: an even number; the time is cut into so many equal stretches (the oldest
    periods that are left over are dropped), and every half of them is tried. The measure is the Sharpe ratio; of equal
    ones the first wins, ranks of equal ones are averaged, and one without variation ranks last.
    Source: Bailey, Borwein, Lopez de Prado & Zhu (2017), J. Computational Finance 20(4).
    """
    if blocks < 2 or blocks % 2:
        raise ValueError(f"blocks must be an even number, not {blocks}")
    matrix = _matrix(returns)
    count = matrix.shape[1]
    length = len(matrix) // blocks
    if length < 1 or length * blocks < 4 or count < 2:
        return Overfitting(NAN, NAN, NAN, NAN, NAN, count, 0, np.empty(0))
    cut = matrix[len(matrix) - length * blocks :].reshape(blocks, length, count)
    return overfitting_of_blocks(cut.sum(axis=1), (cut**2).sum(axis=1), length)


def overfitting_of_blocks(sums: np.ndarray, squares: np.ndarray, length: int) -> Overfitting:
    """The same from the sums of the returns and of their squares: a row per block of `length` periods, a column per
    configuration.
    """
    blocks, count = sums.shape
    if length * blocks < 4 or count < 2:
        return Overfitting(NAN, NAN, NAN, NAN, NAN, count, 0, np.empty(0))
    halves = _halves(blocks)
    periods, splits = length * blocks // 2, len(halves)
    logit, first, second = (np.empty(splits) for _ in range(3))
    rows, few = max(1, PIECE // count), max(1, NEAR // count)
    for at in range(0, splits // 2, rows):
        chosen = halves[at : min(at + rows, splits // 2)]
        rest = 1 - chosen
        tables = [chosen @ sums, chosen @ squares, rest @ sums, rest @ squares]
        for begin in range(0, len(chosen), few):
            some = [table[begin : begin + few] for table in tables]
            one, other = _ratios(some[0], some[1], periods), _ratios(some[2], some[3], periods)
            every = np.arange(len(one))
            places = at + begin + every
            for inside, outside, its in ((one, other, places), (other, one, splits - 1 - places)):
                best = inside.argmax(axis=1)
                then = outside[every, best]
                below = np.count_nonzero(outside < then[:, None], axis=1)
                equal = np.count_nonzero(outside == then[:, None], axis=1)
                share = (below + (equal + 1) / 2) / (count + 1)
                logit[its], first[its], second[its] = np.log(share / (1 - share)), inside[every, best], then
    logit[np.abs(logit) < NOISE] = 0.0
    known = np.isfinite(first) & np.isfinite(second)
    if not known.any():
        return Overfitting(NAN, NAN, NAN, NAN, NAN, count, 0, np.empty(0))
    return Overfitting(
        float(np.mean(logit <= 0)),
        float(np.mean(logit < 0)),
        float(logit.mean()),
        float(np.mean(second[known] < 0)),
        _slope(first[known], second[known]),
        count,
        len(halves),
        logit,
    )


@lru_cache(maxsize=4)
def _halves(blocks: int) -> np.ndarray:
    """One row per way to choose half of the blocks, 1 where chosen; from the other end, the rest of them."""
    picks = np.array(list(combinations(range(blocks), blocks // 2)))
    found = np.zeros((len(picks), blocks))
    np.put_along_axis(found, picks, 1.0, axis=1)
    return found


def _ratios(sums: np.ndarray, squares: np.ndarray, periods: int) -> np.ndarray:
    """Sharpe ratios per period from sums, which are written over; -infinity where nothing varies."""
    mean, deviation = np.divide(sums, periods, out=sums), squares
    power = np.square(mean)
    power *= periods
    deviation -= power
    np.maximum(deviation, 0.0, out=deviation)
    deviation /= periods - 1
    np.sqrt(deviation, out=deviation)
    flat = deviation <= NOISE
    deviation[flat] = 1.0
    mean /= deviation
    mean[flat] = -np.inf
    return mean


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    centred = x - x.mean()
    power = float(centred @ centred)
    return float(centred @ (y - y.mean())) / power if power > NOISE else NAN


def _matrix(returns: Any) -> np.ndarray:
    matrix = np.asarray(returns, dtype=np.float64)
    if matrix.ndim != 2 or not matrix.shape[1]:
        raise ValueError(f"returns must be a matrix with one column per trial, not of shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ValueError("the matrix must not hold missing or infinite values")
    return matrix
