"""How much time has a test taken? What the processor worked for it, so that a busy machine changes no verdict."""

from __future__ import annotations

import time

__all__ = ["Clock"]

BUSY = 4.0  # times as slow as alone: a machine busier than that is waited for no longer


class Clock:
    """Seconds of processor time since it was made, of this process and of children that have ended; never more than
    have passed, and never less than a fourth of them, as for a program that sleeps.
    """

    def __init__(self, slowness: float = BUSY) -> None:
        self.slowness = slowness
        self.began, self.worked = time.monotonic(), _worked()

    @classmethod
    def within(cls, spare: float | None, seconds: float) -> Clock:
        """For a test that may take so many seconds where a run has `spare` left: half of these are never exceeded."""
        return cls() if spare is None or seconds <= 0 else cls(min(BUSY, max(1.0, spare / 2 / seconds)))

    @property
    def passed(self) -> float:
        seconds = time.monotonic() - self.began
        return min(seconds, max(_worked() - self.worked, seconds / self.slowness))


def _worked() -> float:
    try:
        import resource
    except ImportError:  # Windows has no children to be forked either
        return time.process_time()
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
