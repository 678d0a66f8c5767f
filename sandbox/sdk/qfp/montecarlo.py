"""What is an option worth when only its paths can be simulated? European and arithmetic Asian options, with the
closed formulas they are checked against.

All figures are annual and continuously compounded: rate 0.05 is 5 % a year, years 0.5 is six months. Prices are in the
currency of spot and strike. The model is geometric Brownian motion under the risk-neutral measure,
`S(t) = S(0) exp((r - q - v^2/2) t + v W(t))` (Black and Scholes 1973, Merton 1973).

Paths are simulated in single precision, in blocks with random numbers of their own (SFC64, seeded by the seed and the
number of the block), so a seed gives the same digits with any number of workers. Normal numbers come from pairs of
uniform ones (Box and Muller 1958): with 24 bits, none lies further out than 5.77 deviations and their variance is
1 - 5.5e-7, which moves a price by far less than any standard error reached here.
"""

from __future__ import annotations

import math
import secrets
import threading
from dataclasses import dataclass
from typing import Any

from qfp.parallel import pmap
from qfp.simulated import machine_code, walk

__all__ = ["european", "asian", "black_scholes", "geometric_asian", "Estimate"]

PIECE = 16_384  # paths handled together: the few arrays of this length stay in the processor's cache
EUROPEAN_BLOCK = 16 * PIECE  # paths of one item of pmap(), which all draw from one generator
ASIAN_BLOCK = PIECE
LONG = 8_000_000  # normal numbers, from which on making machine code takes less time than it saves
MAX_DEVIATION = 12.0  # volatility * sqrt(years); beyond it single precision has no number for the price

_arrays = threading.local()


@dataclass(frozen=True)
class Estimate:
    """A simulated price. The true value of the model lies within 1.96 standard errors in 95 of 100 simulations.

    value: the estimate. standard_error: its standard deviation. paths: how many were simulated.
    seed: gives the same estimate again. plain_standard_error: what the same paths give without variance reduction;
      equal to standard_error where none was asked for.
    """

    value: float
    standard_error: float
    paths: int
    seed: int
    plain_standard_error: float

    @property
    def interval(self) -> tuple[float, float]:
        """Bounds of the 95 % confidence interval."""
        return self.value - 1.96 * self.standard_error, self.value + 1.96 * self.standard_error

    def __str__(self) -> str:
        return f"{self.value:.6g} ± {1.96 * self.standard_error:.2g} (95 %, {self.paths:,} paths)"


def european(
    kind: str,
    spot: float,
    strike: float,
    rate: float,
    volatility: float,
    years: float,
    *,
    dividend: float = 0.0,
    paths: int = 1_000_000,
    seed: int | None = None,
    variance_reduction: bool = True,
    workers: int | None = None,
    where: str = "auto",
    progress: bool | str = False,
) -> Estimate:
    """The price of a European call or put by simulation of the price at expiry.

    `V = exp(-r T) E[max(S(T) - K, 0)]`, for a put `max(K - S(T), 0)`.

    kind: "call" or "put".
    spot, strike: in one currency. rate, dividend: a year, continuous. volatility: a year. years: to expiry.
    paths: rounded up to a whole number of pairs.
    seed: the same seed gives the same estimate; chosen, and told in the result, when left out.
    variance_reduction: simulate every second path as the mirror image of the one before (antithetic variates,
      Hammersley and Morton 1956). The standard error is that of the pairs' means, as the two are not independent.
    workers, where, progress: as in `pmap`.

    Returns an Estimate. `black_scholes` gives the exact value.
    """
    option = _Option(kind, spot, strike, rate, volatility, years, dividend, 1, variance_reduction)
    return _simulate(_European(option, _is_long(paths)), paths, EUROPEAN_BLOCK, seed, workers, where, progress)


def asian(
    kind: str,
    spot: float,
    strike: float,
    rate: float,
    volatility: float,
    years: float,
    *,
    steps: int = 252,
    dividend: float = 0.0,
    paths: int = 100_000,
    seed: int | None = None,
    variance_reduction: bool = True,
    workers: int | None = None,
    where: str = "auto",
    progress: bool | str = False,
) -> Estimate:
    """The price of an Asian call or put on the arithmetic mean of the prices at i T/n, i = 1 ... n, by simulation.

    `V = exp(-r T) E[max(A - K, 0)]`, `A = (S(t1) + ... + S(tn)) / n`; the price at the start is not averaged.

    steps: n, the number of fixings. The other arguments are those of `european`.
    variance_reduction: use the geometric mean of the same path, whose price is known (`geometric_asian`), as a
      control variate: `A - b (G - E[G])`, b by regression over all paths (Kemna and Vorst 1990; Glasserman, Monte
      Carlo Methods in Financial Engineering, 2003, section 4.1). The standard error is that of the regression's rest;
      that b comes from the same paths shifts the value by order 1/paths, well below it.

    Returns an Estimate.
    """
    if not isinstance(steps, int) or isinstance(steps, bool) or not 1 <= steps <= 100_000:
        raise ValueError(f"steps must be a whole number from 1 to 100,000, not {steps!r}")
    option = _Option(kind, spot, strike, rate, volatility, years, dividend, steps, variance_reduction)
    return _simulate(_Asian(option, _is_long(paths, steps)), paths, ASIAN_BLOCK, seed, workers, where, progress)


def black_scholes(
    kind: str, spot: float, strike: float, rate: float, volatility: float, years: float, *, dividend: float = 0.0
) -> float:
    """The exact price of a European option (Black and Scholes 1973, with a dividend yield: Merton 1973).

    `C = S exp(-q T) N(d1) - K exp(-r T) N(d2)`, `d1 = (ln(S/K) + (r - q + v^2/2) T) / (v sqrt(T))`,
    `d2 = d1 - v sqrt(T)`; the put by parity. At expiry, or without volatility, the discounted payoff.
    """
    _Option(kind, spot, strike, rate, volatility, years, dividend, 1, False)
    mean = math.log(spot) + (rate - dividend - volatility**2 / 2) * years
    return _lognormal_option(kind, mean, volatility * math.sqrt(years), strike, math.exp(-rate * years))


def geometric_asian(
    kind: str,
    spot: float,
    strike: float,
    rate: float,
    volatility: float,
    years: float,
    *,
    steps: int = 252,
    dividend: float = 0.0,
) -> float:
    """The exact price of an Asian option on the geometric mean of the prices at i T/n, i = 1 ... n.

    The logarithm of the mean is normal, with mean `ln S + (r - q - v^2/2) T (n+1) / (2n)` and variance
    `v^2 T (n+1)(2n+1) / (6 n^2)` (Kemna and Vorst 1990; discrete fixings: Clewlow and Strickland, Implementing
    Derivatives Models, 1998, pp. 118-123).
    """
    _Option(kind, spot, strike, rate, volatility, years, dividend, steps, False)
    drift = rate - dividend - volatility**2 / 2
    mean = math.log(spot) + drift * years * (steps + 1) / (2 * steps)
    deviation = volatility * math.sqrt(years * (steps + 1) * (2 * steps + 1) / (6 * steps**2))
    return _lognormal_option(kind, mean, deviation, strike, math.exp(-rate * years))


def _lognormal_option(kind: str, mean: float, deviation: float, strike: float, discount: float) -> float:
    """An option on exp(X), X normal."""
    sign = 1 if kind == "call" else -1
    forward = math.exp(mean + deviation**2 / 2)
    if deviation == 0:
        return discount * max(0.0, sign * (forward - strike))
    d2 = (mean - math.log(strike)) / deviation
    d1 = d2 + deviation
    return discount * sign * (forward * _normal(sign * d1) - strike * _normal(sign * d2))


def _normal(x: float) -> float:
    """The cumulative standard normal distribution; by erfc, which is exact far out, too."""
    return math.erfc(-x / math.sqrt(2)) / 2


# Simulation


@dataclass(frozen=True)
class _Option:
    kind: str
    spot: float
    strike: float
    rate: float
    volatility: float
    years: float
    dividend: float
    steps: int
    variance_reduction: bool

    def __post_init__(self) -> None:
        if self.kind not in ("call", "put"):
            raise ValueError(f'kind must be "call" or "put", not {self.kind!r}')
        for name in ("spot", "strike", "rate", "volatility", "years", "dividend"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ValueError(f"{name} must be a number, not {value!r}")
        if self.spot <= 0 or self.strike <= 0:
            raise ValueError("spot and strike must be more than 0")
        if self.volatility < 0 or self.years < 0:
            raise ValueError("volatility and years must not be negative")
        if self.volatility * math.sqrt(self.years) > MAX_DEVIATION:
            raise ValueError(
                f"volatility * sqrt(years) is {self.volatility * math.sqrt(self.years):.3g}, more than "
                f"{MAX_DEVIATION:g}: volatility is a fraction a year (0.2 is 20 %), years are years"
            )

    @property
    def sign(self) -> int:
        return 1 if self.kind == "call" else -1

    @property
    def step_drift(self) -> float:
        return (self.rate - self.dividend - self.volatility**2 / 2) * self.years / self.steps

    @property
    def step_deviation(self) -> float:
        return self.volatility * math.sqrt(self.years / self.steps)

    @property
    def discount(self) -> float:
        return math.exp(-self.rate * self.years)


def _is_long(paths: int, steps: int = 1) -> bool:
    """Whether machine code is worth making, and is there: made here, so that workers have it from the beginning."""
    return isinstance(paths, int) and paths * steps >= LONG and machine_code() is not None


@dataclass(frozen=True)
class _Moments:
    """Count, means and centred second moments of two variables; blocks are joined without losing digits."""

    count: float = 0.0
    mean_x: float = 0.0
    mean_y: float = 0.0
    xx: float = 0.0
    yy: float = 0.0
    xy: float = 0.0

    @classmethod
    def of(cls, x: Any, y: Any) -> _Moments:
        mean_x, mean_y = float(x.mean(dtype=float)), float(y.mean(dtype=float))
        dx, dy = x.astype(float) - mean_x, y.astype(float) - mean_y
        return cls(len(x), mean_x, mean_y, _dot(dx, dx), _dot(dy, dy), _dot(dx, dy))

    @classmethod
    def of_one(cls, x: Any) -> _Moments:
        """The second variable is not used."""
        mean = float(x.mean())
        x -= x.dtype.type(mean)
        rest = float(x.mean())  # what single precision left of the mean
        return cls(len(x), mean + rest, 0.0, _dot(x, x) - len(x) * rest**2)

    def __add__(self, other: _Moments) -> _Moments:
        """The moments of both samples together (Chan, Golub and LeVeque 1979)."""
        count = self.count + other.count
        if count == 0:
            return self
        dx, dy = other.mean_x - self.mean_x, other.mean_y - self.mean_y
        share = other.count / count
        weight = self.count * share
        return _Moments(
            count,
            self.mean_x + dx * share,
            self.mean_y + dy * share,
            self.xx + other.xx + dx * dx * weight,
            self.yy + other.yy + dy * dy * weight,
            self.xy + other.xy + dx * dy * weight,
        )


def _simulate(
    simulation: _European | _Asian,
    paths: int,
    block: int,
    seed: int | None,
    workers: int | None,
    where: str,
    progress: bool | str,
) -> Estimate:
    if not isinstance(paths, int) or isinstance(paths, bool) or paths < 2:
        raise ValueError(f"paths must be a whole number of at least 2, not {paths!r}")
    if seed is not None and (not isinstance(seed, int) or seed < 0):
        raise ValueError(f"seed must be a whole number of at least 0, not {seed!r}")
    seed = secrets.randbits(63) if seed is None else seed
    paths += paths % 2
    blocks = [(number, min(block, paths - start)) for number, start in enumerate(range(0, paths, block))]
    parts = pmap(_Blocks(simulation, seed), blocks, workers=workers, where=where, progress=progress)
    total = sum(parts, _Moments())
    value, standard_error, plain = simulation.estimate(total)
    return Estimate(value, standard_error, paths, seed, plain)


@dataclass(frozen=True)
class _Blocks:
    """What pmap() calls: the moments of one block of paths."""

    simulation: _European | _Asian
    seed: int

    def __call__(self, block: tuple[int, int]) -> _Moments:
        import numpy as np

        number, paths = block
        generator = np.random.Generator(np.random.SFC64(np.random.SeedSequence(self.seed, spawn_key=(number,))))
        total = _Moments()
        for start in range(0, paths, PIECE):
            total += self.simulation.moments(generator, min(PIECE, paths - start))
        return total


@dataclass(frozen=True)
class _European:
    """long: whether machine code is worth making."""

    option: _Option
    long: bool = False

    def moments(self, generator: Any, paths: int) -> _Moments:
        """Of the payoffs, undiscounted; with antithetic pairs, of the pairs' means and of half their differences."""
        import numpy as np

        option = self.option
        growth = option.spot * math.exp(option.step_drift)
        level = np.float32(option.strike / growth)
        if not option.variance_reduction:
            return _Moments.of_one(_payoffs(self._ratios(generator, paths), level, option.sign, growth))
        ratios = self._ratios(generator, paths // 2)
        mirror = _array("mirror", len(ratios))
        np.reciprocal(ratios, out=mirror)
        up = _payoffs(ratios, level, option.sign, growth)
        down = _payoffs(mirror, level, option.sign, growth)
        up += down
        up *= np.float32(0.5)
        down -= up  # minus half the difference: with the means, it gives the variance of a single path
        variance_within = _dot(down, down)
        means = _Moments.of_one(up)
        return _Moments(means.count, means.mean_x, 0.0, means.xx, variance_within, 0.0)

    def _ratios(self, generator: Any, paths: int) -> Any:
        """What chance makes of the prices at expiry."""
        import numpy as np

        walked = walk(generator, paths, [1.0], self.option.step_deviation) if self.long else None
        if walked:
            return walked[0]
        z = _normals(generator, _array("z", paths), self.option.step_deviation)
        return np.exp(z, out=z)

    def estimate(self, total: _Moments) -> tuple[float, float, float]:
        discount = self.option.discount
        error = math.sqrt(total.xx / max(1.0, total.count - 1) / total.count)
        plain = error
        if self.option.variance_reduction:
            paths = 2 * total.count
            plain = math.sqrt(2 * (total.xx + total.yy) / (paths - 1) / paths)
        return discount * total.mean_x, discount * error, discount * plain


@dataclass(frozen=True)
class _Asian:
    """long: whether machine code is worth making."""

    option: _Option
    long: bool = False

    def moments(self, generator: Any, paths: int) -> _Moments:
        """Of the payoffs on the arithmetic and on the geometric mean, undiscounted.

        The sum of the prices is built from the last step to the first, `Y = Q (a + Y)`, with Q the random part of a
        step's growth and a the rest of it: two operations a step, and no price that has to be kept.
        """
        import numpy as np

        option = self.option
        steps, drift = option.steps, option.step_drift
        adds = [math.exp(-drift * step) for step in range(steps)]
        walked = walk(generator, paths, adds, option.step_deviation) if self.long else None
        total, logs = walked or self._walked(generator, paths, adds)
        growth_of_all = option.spot / steps * math.exp(drift * steps)
        arithmetic = _payoffs(total, np.float32(option.strike / growth_of_all), option.sign, growth_of_all)
        if not option.variance_reduction:
            return _Moments.of_one(arithmetic)
        logs *= np.float32(1 / steps)
        np.exp(logs, out=logs)
        middle = option.spot * math.exp(drift * (steps + 1) / 2)
        geometric = _payoffs(logs, np.float32(option.strike / middle), option.sign, middle)
        return _Moments.of(arithmetic, geometric)

    def _walked(self, generator: Any, paths: int, adds: list[float]) -> tuple[Any, Any]:
        """As walk() does it, where there is no machine code."""
        import numpy as np

        z, growth = _array("z", paths), _array("growth", paths)
        total, logs = _array("total", paths), _array("logs", paths)
        total.fill(0)
        logs.fill(0)
        for step, add in enumerate(adds, 1):
            _normals(generator, z, self.option.step_deviation)
            np.exp(z, out=growth)
            total += np.float32(add)
            total *= growth
            z *= np.float32(step)  # the shock of this step is in so many of the prices
            logs += z
        return total, logs

    def estimate(self, total: _Moments) -> tuple[float, float, float]:
        option, count = self.option, total.count
        plain = math.sqrt(total.xx / (count - 1) / count)
        if not option.variance_reduction or total.yy == 0 or count < 3:
            return option.discount * total.mean_x, option.discount * plain, option.discount * plain
        slope = total.xy / total.yy
        exact = geometric_asian(
            option.kind, option.spot, option.strike, option.rate, option.volatility, option.years,
            steps=option.steps, dividend=option.dividend,
        )  # fmt: skip
        value = option.discount * (total.mean_x - slope * total.mean_y) + slope * exact
        rest = max(0.0, total.xx - slope * total.xy)
        return value, option.discount * math.sqrt(rest / (count - 2) / count), option.discount * plain


def _payoffs(ratios: Any, level: Any, sign: int, scale: float) -> Any:
    """max(sign * (ratio - level), 0) * scale, in place."""
    import numpy as np

    if sign > 0:
        ratios -= level
    else:
        np.subtract(level, ratios, out=ratios)
    np.maximum(ratios, np.float32(0), out=ratios)
    ratios *= np.float32(scale)
    return ratios


def _normals(generator: Any, out: Any, deviation: float) -> Any:
    """Normal numbers with mean 0 and this standard deviation, in place, two from each pair of uniform ones."""
    import numpy as np

    half = (len(out) + 1) // 2
    radius, angle, sine = _array("radius", half), _array("angle", half), _array("sine", half)
    generator.random(out=radius, dtype=np.float32)
    generator.random(out=angle, dtype=np.float32)
    np.subtract(np.float32(1), radius, out=radius)  # from (0, 1], of which there is a logarithm
    np.log(radius, out=radius)
    radius *= np.float32(-2 * deviation**2)
    np.sqrt(radius, out=radius)
    angle *= np.float32(2 * math.pi)
    np.sin(angle, out=sine)
    np.cos(angle, out=angle)
    np.multiply(radius, angle, out=out[:half])
    rest = len(out) - half
    np.multiply(radius[:rest], sine[:rest], out=out[half:])
    return out


def _dot(x: Any, y: Any) -> float:
    """The sum of the products; not by BLAS, whose threads would spin for so little work."""
    import numpy as np

    return float(np.einsum("i,i->", x, y))


def _array(name: str, length: int) -> Any:
    """Single-precision room of this thread, used again and again: fresh memory costs more than the arithmetic."""
    import numpy as np

    kept = getattr(_arrays, name, None)
    if kept is None or len(kept) < length:
        kept = np.empty(max(length, PIECE), np.float32)
        setattr(_arrays, name, kept)
    return kept[:length]
