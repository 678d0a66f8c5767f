"""What is calculated for one item of a pmap(), and which random numbers belong to it?"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Call"]

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Call:
    """f for the item at one position, with the random numbers that belong to it wherever it is calculated."""

    def __init__(self, f: Callable[..., Any], items: list[Any], seed: int | None, first: int = 0) -> None:
        self.f, self.items, self.seed, self.first = f, items, seed, first
        self.takes_rng = takes_rng(f)

    def __call__(self, position: int) -> Any:
        item = self.items[position]
        if self.takes_rng:
            import numpy as np

            return self.f(item, rng=np.random.default_rng(self.sequence_of(position)))
        if self.seed is not None:
            import numpy as np

            state = self.sequence_of(position).generate_state(4)
            np.random.seed(state)
            random.seed(state.tobytes())
        return self.f(item)

    def sequence_of(self, position: int) -> Any:
        """What SeedSequence(seed).spawn() gives the item of this number; fresh from the system without a seed."""
        import numpy as np

        if self.seed is None:
            return np.random.SeedSequence()
        return np.random.SeedSequence(self.seed, spawn_key=(self.first + position,))

    def after(self, number: int) -> Call:
        """The same for what follows the first so many items."""
        return Call(self.f, self.items[number:], self.seed, self.first + number)

    @contextmanager
    def random_state_kept(self) -> Iterator[None]:
        """Seeding items in the program itself must not change the numbers it draws afterwards."""
        if self.seed is None or self.takes_rng:
            yield
            return
        import numpy as np

        kept, kept_by_numpy = random.getstate(), np.random.get_state()
        try:
            yield
        finally:
            random.setstate(kept)
            np.random.set_state(kept_by_numpy)


def takes_rng(f: Callable[..., Any]) -> bool:
    """Whether f has a parameter `rng` besides the first one, which is the item."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):  # a function of compiled code
        return False
    return any(each.name == "rng" and each.kind in _BY_NAME for each in parameters[1:])
