"""Which combinations of parameters are there to try? Values by name, all of them or drawn at random."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

__all__ = ["Between", "Constraint", "Parameters", "Space", "key_of"]

MOST_VALUES = 100_000  # of one parameter
LISTED = 200_000  # combinations; beyond, they are drawn without listing them all
VAIN_DRAWS = 10_000


class Parameters(dict[str, Any]):
    """A combination; values by `p["fast"]` and `p.fast`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no parameter {name!r}; there are {', '.join(self)}") from None


Constraint = Callable[[Parameters], bool]


@dataclass(frozen=True)
class Between:
    """Numbers from low to high, both included. step: only every step-th; without it any number, or any whole one where
    both ends are whole. log: drawn evenly by size of the logarithm.
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or not math.isfinite(self.low) or not math.isfinite(self.high):
            raise ValueError(f"low must be below high, not {self.low!r} and {self.high!r}")
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            raise ValueError(f"step must be above 0 and no larger than the range, not {self.step!r}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log=True goes with a low above 0 and without a step")

    @property
    def whole(self) -> bool:
        return all(isinstance(value, int) for value in (self.low, self.high, self.step or 0))

    def values(self) -> list[Any] | None:
        """All of them, where they can be counted."""
        step = self.step or (1 if self.whole and not self.log else None)
        if step is None:
            return None
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        if count > MOST_VALUES:
            raise ValueError(f"{count:,} values of one parameter are too many; make the step larger")
        return [self.low + place * step if self.whole else round(self.low + place * step, 12) for place in range(count)]

    def draw(self, rng: np.random.Generator) -> Any:
        if self.log:
            value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
            return round(value) if self.whole else value
        return float(rng.uniform(self.low, self.high))


class Space:
    """The parameters of a sweep: for each a list of values, or numbers between two ends."""

    def __init__(self, given: Mapping[str, Any], constraint: Constraint | None = None) -> None:
        if not given:
            raise ValueError('a sweep needs values of at least one parameter, such as {"fast": range(5, 30, 5)}')
        self.constraint = constraint
        self.parts: dict[str, list[Any] | Between] = {}
        for name, values in given.items():
            listed = values.values() if isinstance(values, Between) else _list(name, values)
            self.parts[str(name)] = values if listed is None else listed

    @property
    def names(self) -> list[str]:
        return list(self.parts)

    @property
    def countable(self) -> bool:
        return all(isinstance(part, list) for part in self.parts.values())

    @property
    def size(self) -> int | None:
        """Combinations before the constraint; None where they cannot be counted."""
        return (
            math.prod(len(part) for part in self.parts.values() if isinstance(part, list)) if self.countable else None
        )

    def allows(self, parameters: Parameters) -> bool:
        return self.constraint is None or bool(self.constraint(parameters))

    def grid(self) -> Iterator[Parameters]:
        """Every allowed combination, the last parameter changing fastest."""
        for name, part in self.parts.items():
            if isinstance(part, Between):
                raise ValueError(f'{name} has no step, so method="grid" cannot list it; give Between(low, high, step)')
        lists = [part for part in self.parts.values() if isinstance(part, list)]
        every = (Parameters(zip(self.parts, one, strict=True)) for one in product(*lists))
        return (one for one in every if self.allows(one))

    def random(self, seed: int) -> Iterator[Parameters]:
        """Allowed combinations in an order drawn at random, each once."""
        rng = np.random.default_rng(seed)
        size = self.size
        if size is not None and size <= LISTED:
            every = list(self.grid())
            yield from (every[at] for at in rng.permutation(len(every)))
            return
        seen: set[str] = set()
        vain = 0
        while vain < VAIN_DRAWS:
            one = Parameters(
                (name, part.draw(rng) if isinstance(part, Between) else part[int(rng.integers(len(part)))])
                for name, part in self.parts.items()
            )
            key = key_of(one)
            if key in seen or not self.allows(one):
                vain += 1
                continue
            vain = 0
            seen.add(key)
            yield one

    def as_dict(self) -> dict[str, Any]:
        """For the record: a list of values, or the ends."""
        return {
            name: {"low": part.low, "high": part.high, "log": part.log} if isinstance(part, Between) else part
            for name, part in self.parts.items()
        }


def key_of(parameters: Mapping[str, Any]) -> str:
    """The same text for the same combination."""
    return json.dumps(dict(parameters), sort_keys=True, default=str)


def _list(name: str, values: Any) -> list[Any]:
    if isinstance(values, (str, Mapping)) or not hasattr(values, "__iter__"):
        raise TypeError(f"{name} takes a list of values, a range or Between(low, high), not {values!r}")
    found = [value.item() if isinstance(value, np.generic) else value for value in values]
    if not found:
        raise ValueError(f"there are no values of {name}")
    for value in found:
        if not isinstance(value, (bool, int, float, str)) or (isinstance(value, float) and not math.isfinite(value)):
            raise TypeError(f"{name}: a value is a finite number, text, True or False, not {value!r}")
    if len(found) > MOST_VALUES:
        raise ValueError(f"{len(found):,} values of {name} are too many; at most {MOST_VALUES:,}")
    return list(dict.fromkeys(found))
