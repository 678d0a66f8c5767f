"""Who goes first when the machine has no memory left? Boxes (sandbox.host.cold), then strangers, then the site, and
the data last.

A run that takes more than its share ends by its own limit long before. This is for the day on which a neighbour on the
same machine eats everything: the kernel then ends one process after another, by size and by these figures.
"""

from __future__ import annotations

from pathlib import Path

# From 1000, first to go, to -1000, never. Children inherit it.
SITE = -500
DATA = -800


def hold_on(score: int) -> None:
    """For this process, called in a new child before its program starts. Only root may ask for less than 0."""
    try:
        Path("/proc/self/oom_score_adj").write_text(str(score))
    except OSError:
        pass
