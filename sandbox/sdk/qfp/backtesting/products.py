"""What is the product of some parameters' values? All combinations by number, each made when somebody looks at it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, overload

import numpy as np

__all__ = ["Parameters", "Product"]


class Parameters(dict[str, Any]):
    """A combination; values by `p["fast"]` and `p.fast`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no parameter {name!r}; there are {', '.join(self)}") from None


class Product(Sequence[Parameters]):
    """Every combination of some values, the last name's changing first. values: by name, no two alike of one name."""

    def __init__(self, values: Mapping[str, Sequence[Any]]) -> None:
        self.values = {name: list(each) for name, each in values.items()}
        self.sizes = [len(each) for each in self.values.values()]

    @classmethod
    def of(cls, values: Mapping[str, Sequence[Any]]) -> Product | None:
        """None where two values of one name are equal, or cannot be told apart by looking them up."""
        try:
            alike = any(len(set(each)) < len(each) for each in values.values())
        except TypeError:
            return None
        return None if alike else cls(values)

    def __len__(self) -> int:
        return math.prod(self.sizes)

    def __iter__(self) -> Iterator[Parameters]:
        return (Parameters(zip(self.values, one, strict=True)) for one in product(*self.values.values()))

    @overload
    def __getitem__(self, number: int) -> Parameters: ...
    @overload
    def __getitem__(self, number: slice) -> list[Parameters]: ...
    def __getitem__(self, number: int | slice) -> Parameters | list[Parameters]:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        rest, found = range(len(self))[number], []
        for name, each in reversed(self.values.items()):
            rest, at = divmod(rest, len(each))
            found.append((name, each[at]))
        return Parameters(reversed(found))

    def codes(self, names: Sequence[str]) -> np.ndarray:
        """For every combination a number that stands for its values of these names; in order of first sight."""
        places = dict(zip(self.values, np.ix_(*map(range, self.sizes)), strict=True))
        found = np.zeros((), dtype=np.int64)
        for name in self.values:
            if name in names:
                found = found * len(self.values[name]) + places[name]
        return np.broadcast_to(found, self.sizes).ravel()
