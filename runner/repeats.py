"""What does a run claim when it is made again? Its program in a fresh box, on its own data or on others.

Nothing of it is kept here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from django.conf import settings

from runner.backtests import MAX_BACKTESTS, CheckedBacktest, ClaimRefused, check_claim
from runner.engines import engine_of, patiently
from runner.models import Run
from runner.requests import request_for

__all__ = ["Repeat", "repeat"]


@dataclass
class Repeat:
    """claims: what it said, each with what the check made of it; refused ones are left out, as a run does.

    asked: what it asked the site for, in vain. outcome: how it ended, or None when its engine went away.
    """

    claims: list[tuple[Any, CheckedBacktest]] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    outcome: str | None = None


def repeat(run: Run, name: str, snapshot: str) -> Repeat:
    """name: of this repetition among the run's boxes. snapshot: the data that it reads.

    Raises SnapshotMissing, BoxRefused, EngineUnavailable.
    """
    request = replace(request_for(run), run_id=f"{run.pk}.{name}", snapshot=snapshot or None)
    request = replace(request, limits=replace(request.limits, artefact_bytes=0, artefact_count=0))
    made = Repeat()
    with patiently(lambda: engine_of(run.queue).start(request)) as box:
        for event in box.events(poll_seconds=1.0):
            if event is None:
                continue
            if event["type"] == "backtest" and len(made.claims) < MAX_BACKTESTS:
                claim = event.get("claim")
                if (checked := _checked(claim, snapshot)) is not None:
                    made.claims.append((claim, checked))
            elif event["type"] == "ask":
                made.asked.add(event["what"])
                box.answer(event["id"], {"error": "Not while the site makes a run again."})
            elif event["type"] == "ended":
                made.outcome = event.get("outcome", Run.Status.CRASHED)
                break
    return made


def _checked(claim: Any, snapshot: str) -> CheckedBacktest | None:
    """None for one that is refused: a run does not keep such a one either."""
    try:
        return check_claim(claim, Path(settings.STORE_DIR), snapshot)
    except ClaimRefused:
        return None
