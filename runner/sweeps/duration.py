"""About how long will a sweep or a walk-forward take? Reckoned from what one combination of the program has taken."""

from __future__ import annotations

from typing import Any

from qfp.sweeps.stretches import windows_of

from runner.models import Run
from runner.recording import Recording

__all__ = ["seconds_by_sweep", "seconds_of_backtests", "seconds_of_sweep", "walk_ahead"]

FEWEST = 10  # trials of a sweep that say what one takes: it also begins and ends
EVENTS = 2_000  # of a recording that are looked through


def seconds_of_backtests(run: Run) -> float | None:
    """What the program took until its last backtest, without what testing them took; None where that is not known."""
    found: float | None = None
    mark = 0.0
    for event in Recording(run.pk).read_kinds(("phase", "backtest", "checks"), EVENTS):
        at = float(event.get("t") or 0.0)
        if event["type"] == "backtest":
            found, mark = (found or 0.0) + max(0.0, at - mark), at
        elif event["type"] == "checks" or event.get("phase") == "running":
            mark = at
    return found


def seconds_by_sweep(last: Run | None, count: int | None) -> float | None:
    """Of so many combinations, going by what those of the latest sweep of the same program took; None without one."""
    if last is None or count is None:
        return None
    sweeps = Run.objects.whole().filter(revision__project=last.revision.project_id, status=Run.Status.SUCCEEDED)
    swept = sweeps.exclude(search={}).exclude(search__has_key="walk").select_related("revision").order_by("-queued")
    before = swept.first()
    if before is None or before.revision.files != last.revision.files:
        return None
    made, took = before.trials.count(), seconds_of_backtests(before)
    return max(1.0, count * took / made) if took and made >= FEWEST else None


def seconds_of_sweep(last: Run | None, count: int | None, cores: float) -> float | None:
    """Of so many combinations at most, going by the last run of the program: a sweep reads the data and loads the
    libraries once, and a single run does so, too.
    """
    if last is None or count is None:
        return None
    once = seconds_of_backtests(last) or last.cpu_seconds
    return max(1.0, count * once / max(1.0, cores)) if once else None


def walk_ahead(run: Run, made: int, bars: int, train: int, test: int, purge: int) -> dict[str, Any] | None:
    """{windows, trials, seconds} of a walk-forward over the combinations that the sweep of this run made; seconds None
    where that is not known. None where there is no window, or where an earlier run made them.
    """
    if not made or run.status != Run.Status.SUCCEEDED:
        return None
    try:
        windows = len(windows_of(bars, train, test, purge))
    except ValueError:
        return None
    seconds = (seconds_of_backtests(run) or run.wall_seconds or 0.0) * windows * train / bars
    return {"windows": windows, "trials": windows * made, "seconds": max(1.0, seconds) if seconds else None}
