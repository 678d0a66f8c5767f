"""What else could have happened? Returns drawn again in blocks, and trades in another order.

Returns that follow each other are kept together in blocks, so that calm and stormy stretches stay what they are.
Everything is drawn by numpy's PCG64 from the seed: one seed, one result.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from qfp.metrics.series import series

__all__ = ["block_length", "monte_carlo", "shuffle_trades", "Paths"]

PATHS = 10_000
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
CHART_POINTS = 250
# Elements drawn at once: 32 MB of floats.
PIECE = 4_000_000
# Correlations further apart than this are not looked at; it is as many as 40,000 returns ask for.
MOST_LAGS = 200
KINDS = ("stationary", "circular")


@dataclass(frozen=True)
class Paths:
    """Simulated accounts, each starting at 1 (shuffle_trades(): at its cash).

    final: last value of each path. max_drawdown: deepest fall of each, fractions <= 0. levels: the quantiles shown.
    steps, bands: at which steps, and one row per level: the quantiles of the value there. actual: the path that
    happened, at the same steps. paths, seed, block: how they were drawn.
    """

    final: np.ndarray
    max_drawdown: np.ndarray
    levels: tuple[float, ...]
    steps: np.ndarray
    bands: np.ndarray
    actual: np.ndarray
    paths: int
    seed: int
    block: float

    def quantile(self, level: float) -> float:
        """The value that this share of the paths end below."""
        return float(np.quantile(self.final, level))

    def loss_probability(self) -> float:
        """Share of the paths that end below where they began."""
        return float(np.mean(self.final < self.actual[0]))

    def drawdown_quantile(self, level: float) -> float:
        """The depth that this share of the paths fall beyond; 0.05 gives a fall that 1 in 20 exceeds."""
        return float(np.quantile(self.max_drawdown, level))


def monte_carlo(
    returns: Any, paths: int = PATHS, seed: int = 0, block: float | None = None, kind: str = "stationary"
) -> Paths:
    """Accounts that grow by returns drawn from these, with replacement, in blocks.

    returns: fractions per period. block: mean length of a block, by block_length() unless given; 1 draws
      single returns. kind: "stationary" (lengths drawn, Politis & Romano 1994) or "circular" (all of one length, 1992).
    Raises ValueError for fewer than two returns.
    """
    returns = _enough(returns)
    length = block_length(returns, kind) if block is None else block
    growth = np.log1p(np.maximum(returns, -1 + 1e-12))  # a total loss stays one: the account falls by e-27
    steps = np.unique(np.linspace(0, len(returns), min(CHART_POINTS, len(returns) + 1)).astype(int))
    final, deepest, shown = np.empty(paths), np.empty(paths), np.empty((paths, len(steps)), dtype=np.float32)
    rng = np.random.default_rng(seed)
    at = 0
    for picks in drawn_positions(len(returns), paths, length, kind, rng):
        wealth = np.zeros((len(picks), len(returns) + 1))
        np.cumsum(growth[picks], axis=1, out=wealth[:, 1:])
        stretch = slice(at, at + len(picks))
        final[stretch], shown[stretch] = np.exp(wealth[:, -1]), np.exp(wealth[:, steps])
        deepest[stretch] = np.expm1((wealth - np.maximum.accumulate(wealth, axis=1)).min(axis=1))
        at += len(picks)
    actual = np.concatenate([[1.0], np.cumprod(1 + returns)])[steps]
    bands = np.quantile(shown, LEVELS, axis=0)
    return Paths(final, deepest, LEVELS, steps, bands, actual, paths, seed, length)


def shuffle_trades(profits: Any, cash: float, paths: int = PATHS, seed: int = 0, replace: bool = False) -> Paths:
    """Accounts that take the same trades in another order.

    profits: one per closed trade, currency. cash: at the start, currency. The end is the same in every order, the falls
    on the way are not. replace: draw the trades with replacement instead; then the end differs, too.
    Raises ValueError for fewer than two trades or no cash.
    """
    profits = series(profits, "profits")
    if len(profits) < 2:
        raise ValueError(f"an order needs at least two trades, not {len(profits)}")
    if not cash > 0:
        raise ValueError("cash must be above 0")
    rng = np.random.default_rng(seed)
    steps = np.unique(np.linspace(0, len(profits), min(CHART_POINTS, len(profits) + 1)).astype(int))
    final, deepest, shown = np.empty(paths), np.empty(paths), np.empty((paths, len(steps)), dtype=np.float32)
    rows = max(1, PIECE // len(profits))
    for at in range(0, paths, rows):
        count = min(rows, paths - at)
        order = (
            rng.integers(0, len(profits), (count, len(profits)))
            if replace
            else rng.permuted(np.tile(np.arange(len(profits)), (count, 1)), axis=1)
        )
        account = np.full((count, len(profits) + 1), float(cash))
        account[:, 1:] += np.cumsum(profits[order], axis=1)
        # An account that is worth nothing is at an end.
        account[np.maximum.accumulate(account <= 0, axis=1)] = 0.0
        peak = np.maximum.accumulate(account, axis=1)
        stretch = slice(at, at + count)
        final[stretch], shown[stretch] = account[:, -1], account[:, steps]
        deepest[stretch] = (account / peak - 1).min(axis=1)
    actual = np.concatenate([[cash], cash + np.cumsum(profits)])[steps]
    return Paths(final, deepest, LEVELS, steps, np.quantile(shown, LEVELS, axis=0), actual, paths, seed, 1.0)


def block_length(returns: Any, kind: str = "stationary") -> float:
    """How long a block should be to keep what follows what; at least 1.

    Politis & White (2004) with the correction of Patton, Politis & White (2009). 1 for fewer than 20 returns or none
    that vary.
    """
    returns = series(returns)
    count = len(returns)
    centred = returns - returns.mean() if count else returns
    power = float(centred @ centred) / count if count else 0.0
    if count < 20 or power <= 1e-24:
        return 1.0
    reach = max(5, math.ceil(math.sqrt(math.log10(count))))
    furthest = min(math.ceil(math.sqrt(count)) + reach, count - 1, MOST_LAGS)
    covariances = np.array([float(centred[lag:] @ centred[: count - lag]) / count for lag in range(furthest + 1)])
    small = np.abs(covariances[1:] / power) < 2 * math.sqrt(math.log10(count) / count)
    # The first lag after which `reach` correlations in a row are within the noise.
    quiet = next((lag for lag in range(len(small) - reach + 1) if small[lag : lag + reach].all()), None)
    lags = quiet if quiet is not None else int(np.flatnonzero(~small)[-1]) + 1
    lags = min(2 * max(lags, 1), furthest)
    steps = np.arange(1, lags + 1)
    window = np.where(steps <= lags / 2, 1.0, 2 * (1 - steps / lags))  # flat top, then falling to 0
    slope = 2 * float(window @ (steps * covariances[1 : lags + 1]))
    level = power + 2 * float(window @ covariances[1 : lags + 1])
    if level == 0:
        return 1.0
    variance = (2 if kind == "stationary" else 4 / 3) * level**2
    best = (2 * slope**2 / variance * count) ** (1 / 3)
    return float(min(max(1.0, best), math.ceil(min(3 * math.sqrt(count), count / 3))))


def drawn_blocks(
    count: int, paths: int, block: float, kind: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Where each block starts and how long it is, a row per path; the lengths of a row add up to `count`.

    Blocks that reach the end go on at the beginning.
    """
    if kind not in KINDS:
        raise ValueError(f'kind is "stationary" or "circular", not {kind!r}')
    if not 1 <= block <= count:
        raise ValueError(f"a block has 1 to {count} periods, not {block:g}")
    if kind == "circular":
        fixed = round(block)
        lengths = np.full((paths, math.ceil(count / fixed)), fixed)
    else:
        mean = count / block
        lengths = rng.geometric(1 / block, (paths, int(mean + 6 * math.sqrt(mean) + 6)))
        lengths[:, -1] += count  # whatever is left, should so many short ones come together
    ends = np.minimum(np.cumsum(lengths, axis=1), count)
    lengths = np.diff(ends, axis=1, prepend=0)
    return rng.integers(0, count, lengths.shape), lengths


def drawn_positions(count: int, paths: int, block: float, kind: str, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Positions to draw, a row of `count` per path, some paths at a time."""
    rows = max(1, PIECE // count)
    for at in range(0, paths, rows):
        some = min(rows, paths - at)
        starts, lengths = drawn_blocks(count, some, block, kind, rng)
        flat = lengths.ravel()
        begun = np.cumsum(flat) - flat
        within = np.arange(some * count) - np.repeat(begun, flat)
        yield ((np.repeat(starts.ravel(), flat) + within) % count).reshape(some, count)


def _enough(returns: Any) -> np.ndarray:
    returns = series(returns)
    if len(returns) < 2:
        raise ValueError(f"at least two returns are needed, not {len(returns)}")
    return returns
