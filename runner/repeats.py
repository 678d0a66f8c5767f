"""What does a run claim when it is made again? Its program in a fresh box, on its own data or on others.

Nothing of it is kept here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from django.conf import settings

from marketdata.broker import Broker
from runner.backtests import MAX_BACKTESTS, CheckedBacktest, ClaimRefused, check_claim
from runner.claims.packed import Opener
from runner.engines import engine_of, patiently
from runner.models import Run
from runner.packages import packages_of
from runner.parallel import NOT_OPEN, QUEUE_IS_SILENT
from runner.private import opened_series, watched_objects
from runner.quotas import plan_of_run
from runner.requests import request_for
from runner.sweeps.questions import SweepQuestions

logger = logging.getLogger(__name__)

__all__ = ["FAULT", "UNKNOWN_QUESTION", "Repeat", "repeat"]

UNKNOWN_QUESTION = {"error": "This site knows no such question."}
FAULT = {"error": "Answering failed, which is a fault of ours. Run again; if it stays, tell the operator."}


@dataclass
class Repeat:
    """claims: what it said, each with what the check made of it; refused ones are left out, as a run does, and counted.

    asked: what it asked the site for, in vain. opened: series that are for its owner alone, or files that somebody
    brought along, as far as it read them. outcome: how it ended, or None when its engine went away.
    """

    claims: list[tuple[Any, CheckedBacktest]] = field(default_factory=list)
    refused: int = 0
    asked: set[str] = field(default_factory=set)
    opened: set[str] = field(default_factory=set)
    outcome: str | None = None


def repeat(run: Run, name: str, snapshot: str, sweeps: SweepQuestions | None = None) -> Repeat:
    """name: of this repetition among the run's boxes. snapshot: the data that it reads. sweeps: who answers for them.

    Raises SnapshotMissing, BoxRefused, EngineUnavailable.
    """
    request = replace(
        request_for(run), run_id=f"{run.pk}.{name}", snapshot=snapshot or None, watched=watched_objects(snapshot)
    )
    request = replace(request, limits=replace(request.limits, artefact_bytes=0, artefact_count=0))
    opener = Opener()
    made, refused = Repeat(), _Refused(run, sweeps or SweepQuestions(run, left=0))
    with patiently(lambda: engine_of(run.queue).start(request)) as box:
        for event in box.events(poll_seconds=1.0):
            if event is None:
                continue
            if event["type"] == "backtest" and len(made.claims) < MAX_BACKTESTS:
                if event.get("attempt") is True:  # of which a run keeps nothing but the number
                    continue
                try:
                    claim = opener.open(event.get("claim"))
                except ClaimRefused:
                    made.refused += 1
                    continue
                if (checked := _checked(claim, snapshot, packages_of(run))) is not None:
                    made.claims.append((claim, checked))
                else:
                    made.refused += 1
            elif event["type"] == "ask":
                made.asked.add(event["what"])
                box.answer(event["id"], refused.answer(event["what"], event["body"]))
            elif event["type"] == "ended":
                made.outcome = event.get("outcome", Run.Status.CRASHED)
                made.opened = opened_series(snapshot, event) | opened_series(snapshot, event, brought=True)
                break
    return made


class _Refused:
    """Answers as a run gets them that has used up what it may ask for: a program cannot tell that it is made again."""

    def __init__(self, run: Run, sweeps: SweepQuestions) -> None:
        self.broker = Broker(run.user, run.pk, run.snapshot, plan_of_run(run).fetches_per_run, lambda snapshot: None)
        self.broker.fetched = self.broker.fetches
        self.answerers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "data": self.broker.answer,
            "sweep": sweeps.answer,
            "pmap": _no_boxes,
        }

    def answer(self, what: str, body: dict[str, Any]) -> dict[str, Any]:
        if (answerer := self.answerers.get(what)) is None:
            return UNKNOWN_QUESTION
        try:
            return answerer(body)
        except Exception:
            logger.exception("a question about %s of a run that is made again", what)
            return FAULT


def _no_boxes(body: dict[str, Any]) -> dict[str, Any]:
    return {"error": QUEUE_IS_SILENT if body.get("do") in ("offer", "open") else NOT_OPEN}


def _checked(claim: Any, snapshot: str, packages: set[str]) -> CheckedBacktest | None:
    """None for one that is refused: a run does not keep such a one either."""
    try:
        return check_claim(claim, Path(settings.STORE_DIR), snapshot, packages)
    except ClaimRefused:
        return None
