"""Which runs does the site make again on data of its own, and why not the others?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runner.models import GPU, Project, Run

__all__ = ["NotComparable", "NotEnded", "is_shown", "why_never"]

LONGEST_SECONDS = 120.0


class NotComparable(Exception):
    """The other run says nothing about this one; the text says why."""


class NotEnded(NotComparable):
    """The program did not end well, before it had told of all of its backtests.

    claims: of the first ones, as far as each had been told in full.
    """

    def __init__(self, why: str, claims: Sequence[Any] = ()) -> None:
        super().__init__(why)
        self.claims = claims


def is_shown(run: Run) -> bool:
    """Whether others may see it: what they see needs evidence that its author could not write."""
    return run.project.visibility != Project.Visibility.PRIVATE


def why_never(run: Run) -> str:
    """Why this run is never made again; "" where it is, sooner or later."""
    if run.session_id is not None:
        return "a cell of a session depends on what ran before it"
    if run.queue == GPU:
        return "runs on a GPU are not made again"
    if run.status != Run.Status.SUCCEEDED:
        return "only runs that succeeded are made again"
    if not run.snapshot:
        return "it used no data of the site"
    if (run.wall_seconds or 0.0) > LONGEST_SECONDS:
        return f"runs of more than {LONGEST_SECONDS:.0f} seconds are not made again"
    return ""
