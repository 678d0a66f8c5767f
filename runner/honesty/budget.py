"""How often, and for how long, may a run be made again on data of the site's own?"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from runner.models import Run

__all__ = ["LEAST_TIMES", "MOST_TIMES", "Budget"]

LEAST_TIMES, MOST_TIMES = 3, 24  # that a run is made again
MOST_SECONDS = 240.0  # that all of them work, and what is made twice because of a file that counts as read
BUSY = 2.0  # times as long as it works a run may count for less than it took, as on a busy machine
# Which pass until no repetition begins any more, however long each one takes; and that are kept to see again what one
# of them has shown.
WALL_SECONDS, CONFIRMING_SECONDS = 900.0, 300.0


@dataclass
class Budget:
    """times: how often the program may still be run. until: of time.monotonic(), after which it is run no more."""

    times: int
    until: float = field(default_factory=lambda: time.monotonic() + WALL_SECONDS - CONFIRMING_SECONDS)

    @classmethod
    def of(cls, run: Run) -> Budget:
        passed = run.wall_seconds or 0.0
        worked = passed if run.cpu_seconds is None else min(passed, max(run.cpu_seconds, passed / BUSY))
        times = int(MOST_SECONDS / max(worked, 0.1))
        return cls(max(LEAST_TIMES, min(MOST_TIMES, times)))

    @property
    def left(self) -> int:
        """How often it may still be run now."""
        return 0 if time.monotonic() > self.until else self.times

    def confirming(self, times: int) -> Budget:
        """Another one, of the same time and what is kept of it for what was found."""
        return Budget(times, self.until + CONFIRMING_SECONDS)
