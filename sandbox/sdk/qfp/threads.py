"""How does machine code use several cores? It runs without Python's lock, so each part may have a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

__all__ = ["at_once", "threads_for"]


def threads_for(parts: float) -> int:
    """How many threads to divide work among that could be `parts` of a worthwhile size: as many as the cores that may
    be used, one where copies of the program use those already.
    """
    if parts < 2:
        return 1
    from qfp import fanout, forking

    if forking.in_worker or fanout.in_chunk:
        return 1
    return int(min(parts, forking.cores()))


def at_once(calls: Sequence[Callable[[], object]]) -> None:
    """Make the calls at the same time; one after the other where no more threads may be started."""
    started, here = [], [calls[0]]
    for call in calls[1:]:
        thread = threading.Thread(target=call, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the box may have no more
            here.append(call)
        else:
            started.append(thread)
    try:
        for call in here:
            call()
    finally:  # what they write to is there as long as they work
        for thread in started:
            thread.join()
