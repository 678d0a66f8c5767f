"""How much time has a test taken? What the processor worked for it, so that a busy machine changes no verdict."""

from __future__ import annotations

import time

__all__ = ["Clock"]

BUSY = 4.0  # times as slow as alone: a machine busier than that is waited for no longer


class Clock:
    """Seconds of processor time since it was made, of this process and of children that have ended; never more than
    have passed, and never less than a fourth of them, as for a program that sleeps.

    child: the number of a process that has just begun, to be watched instead.
    """

    def __init__(self, slowness: float = BUSY, child: int | None = None) -> None:
        self.slowness, self.child = slowness, child
        self.began, self.before = time.monotonic(), _worked() if child is None else 0.0

    @classmethod
    def within(cls, spare: float | None, seconds: float, child: int | None = None) -> Clock:
        """For a test that may take so many seconds where a run has `spare` left: half of these are never exceeded."""
        slowness = BUSY if spare is None or seconds <= 0 else min(BUSY, max(1.0, spare / 2 / seconds))
        return cls(slowness, child)

    @property
    def worked(self) -> float:
        return (_worked() if self.child is None else _worked_by(self.child)) - self.before

    @property
    def elapsed(self) -> float:
        """Seconds since it was made, whoever worked."""
        return time.monotonic() - self.began

    @property
    def passed(self) -> float:
        seconds = self.elapsed
        return min(seconds, max(self.worked, seconds / self.slowness))


def _worked() -> float:
    try:
        import resource
    except ImportError:  # Windows has no children to be forked either
        return time.process_time()
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _worked_by(child: int) -> float:
    """Of another process; where the system does not tell, more than can have passed."""
    try:
        return time.clock_gettime(~child << 3 | 2)  # as clock_getcpuclockid() of Linux puts it together
    except (AttributeError, OSError):
        return time.monotonic()
