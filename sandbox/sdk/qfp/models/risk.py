"""How much may be lost? Value at risk, expected shortfall, and whether forecasts of them came true.

level 0.95 looks at the worst 5 %. Both measures are positive for a loss, in the unit of what they are computed from
(returns: fractions). Expected shortfall is the mean loss beyond value at risk (Acerbi and Tasche, Journal of Banking
and Finance 26, 2002).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import chdtrc, ndtri, xlogy

__all__ = ["Risk", "historical", "normal", "cornish_fisher", "discrete", "portfolio", "kupiec", "christoffersen"]


@dataclass(frozen=True)
class Risk:
    """var: value at risk. es: expected shortfall. Both positive for a loss."""

    var: float
    es: float


def historical(returns: Any, *, level: float = 0.95, method: str = "linear") -> Risk:
    """From the returns as they were; missing ones are left out.

    method: "linear" interpolates between the two returns about the quantile (numpy's default; the definition of
      `qfp.metrics`), "order" takes the k-th worst return, k = (1 - level) n rounded up. With few returns they differ
      much: say which. es is the mean of the returns at or below -var.
    """
    r = np.asarray(returns, dtype=float)
    r = np.sort(r[~np.isnan(r)])
    tail = _tail(level)
    if not len(r):
        return Risk(math.nan, math.nan)
    if method == "linear":
        quantile = float(np.quantile(r, tail))
        worst = r[r <= quantile]
    elif method == "order":
        worst = r[: max(1, math.ceil(tail * len(r) - 1e-9))]
        quantile = float(worst[-1])
    else:
        raise ValueError(f'method must be "linear" or "order", not {method!r}')
    return Risk(-quantile, -float(worst.mean()))


def normal(mean: float, deviation: float, *, level: float = 0.95) -> Risk:
    """Of a normal return: `var = -(mu + s z)`, z the (1 - level) quantile, `es = -mu + s n(z) / (1 - level)`."""
    tail = _tail(level)
    z = float(ndtri(tail))
    return Risk(-(mean + deviation * z), -mean + deviation * _density(z) / tail)


def cornish_fisher(
    mean: float, deviation: float, skewness: float, excess_kurtosis: float, *, level: float = 0.95
) -> Risk:
    """Of a return whose quantile is corrected for skewness and kurtosis (Cornish and Fisher 1937; Zangari 1996):
    `z' = z + (z^2 - 1) s/6 + (z^3 - 3z) k/24 - (2z^3 - 5z) s^2/36`, k the excess over 3.

    es integrates the same quantiles over the tail. Boudt, Peterson and Croux (2008) use an Edgeworth density for it
    and differ. The correction is only a quantile function for moderate values: far out it would fall again.
    """
    tail = _tail(level)
    z = float(ndtri(tail))
    s, k = skewness, excess_kurtosis
    corrected = z + (z**2 - 1) * s / 6 + (z**3 - 3 * z) * k / 24 - (2 * z**3 - 5 * z) * s**2 / 36
    first = -_density(z) / tail  # means of z, z^2, z^3 over the tail of a normal variable
    second = 1 - z * _density(z) / tail
    third = -(z**2 + 2) * _density(z) / tail
    shortfall = first + (second - 1) * s / 6 + (third - 3 * first) * k / 24 - (2 * third - 5 * first) * s**2 / 36
    return Risk(-(mean + deviation * corrected), -(mean + deviation * shortfall))


def discrete(losses: Any, probabilities: Any, *, level: float = 0.95) -> Risk:
    """Of a loss with few values: var is the smallest loss not exceeded with probability level; es takes of its
    probability only the part inside the tail.
    """
    loss, probability = np.asarray(losses, dtype=float), np.asarray(probabilities, dtype=float)
    tail = _tail(level)
    if loss.shape != probability.shape or np.any(probability < 0) or abs(probability.sum() - 1) > 1e-9:
        raise ValueError("each loss needs a probability, and they must add up to 1")
    order = np.argsort(loss)
    loss, probability = loss[order], probability[order]
    reached = np.cumsum(probability)
    index = int(np.argmax(reached >= level - 1e-12))
    beyond = float(loss[index + 1 :] @ probability[index + 1 :])
    return Risk(float(loss[index]), (beyond + (reached[index] - level) * loss[index]) / tail)


def portfolio(values: Any, volatilities: Any, correlations: Any, *, level: float = 0.99, periods: float = 1.0) -> float:
    """Normal value at risk of positions: values in currency, volatilities per period; mean 0, by the root of time."""
    exposure = np.asarray(values, dtype=float) * np.asarray(volatilities, dtype=float)
    variance = float(exposure @ np.asarray(correlations, dtype=float) @ exposure)
    return -float(ndtri(_tail(level))) * math.sqrt(variance * periods)


def kupiec(exceptions: int, observations: int, *, level: float = 0.95) -> tuple[float, float]:
    """Is the number of losses beyond var what it should be? The likelihood ratio and its p-value (chi-squared, one
    degree of freedom). Small p-values reject the forecasts. Kupiec, Journal of Derivatives 3 (1995).
    """
    tail = _tail(level)
    if not 0 <= exceptions <= observations or observations < 1:
        raise ValueError("exceptions must be between 0 and the number of observations")
    ratio = 2 * (
        _log_likelihood(exceptions, observations, exceptions / observations)
        - _log_likelihood(exceptions, observations, tail)
    )
    return max(0.0, ratio), float(chdtrc(1, max(0.0, ratio)))


def christoffersen(hits: Any, *, level: float = 0.95) -> tuple[float, float]:
    """Do losses beyond var come alone, and as often as they should? The likelihood ratio of conditional coverage and
    its p-value (chi-squared, two degrees of freedom): Kupiec's ratio plus that of a hit depending on the one before.
    hits: True where the loss exceeded var, oldest first. Christoffersen, International Economic Review 39 (1998).
    """
    hit = np.asarray(hits, dtype=bool)
    if hit.ndim != 1 or len(hit) < 2:
        raise ValueError("hits must be a list of two observations or more")
    before, after = hit[:-1], hit[1:]
    calm, troubled = int((~before).sum()), int(before.sum())
    after_calm, after_trouble = int((~before & after).sum()), int((before & after).sum())
    together = (after_calm + after_trouble) / len(after)
    apart = _log_likelihood(after_calm, calm, after_calm / calm if calm else 0.0)
    apart += _log_likelihood(after_trouble, troubled, after_trouble / troubled if troubled else 0.0)
    independence = 2 * (apart - _log_likelihood(after_calm + after_trouble, len(after), together))
    ratio = kupiec(int(hit.sum()), len(hit), level=level)[0] + max(0.0, independence)
    return ratio, float(chdtrc(2, ratio))


def _log_likelihood(events: int, trials: int, probability: float) -> float:
    return float(xlogy(events, probability) + xlogy(trials - events, 1 - probability))


def _tail(level: float) -> float:
    if not 0.5 <= level < 1:
        raise ValueError(f"level must be from 0.5 to below 1, such as 0.95, not {level!r}")
    return 1 - level


def _density(z: float) -> float:
    return math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
