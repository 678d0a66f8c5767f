"""What does a program get that asks for data its snapshot lacks? The broker's answer, for whoever started the run; and
the run is pinned to the snapshot that holds it.
"""

from __future__ import annotations

from typing import Any

from marketdata.broker import Broker
from runner.models import Run, Session
from runner.quotas import plan_of_run


class DataQuestions:
    """The series fetched for one run, seen from the worker that holds its lease."""

    def __init__(self, run: Run) -> None:
        self.run = run
        # All that it has been pinned to: a backtest may be over bars that were read before the last fetch.
        self.snapshots = {run.snapshot}
        self.broker: Broker | None = None

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        run = self.run
        if not Run.objects.filter(pk=run.pk, status=Run.Status.RUNNING, cancel_requested=None).exists():
            return {"error": "The run is being stopped."}
        if self.broker is None:
            self.broker = Broker(run.user, run.pk, run.snapshot, plan_of_run(run).fetches_per_run, self._pin)
        return self.broker.answer(body)

    def _pin(self, snapshot: str) -> None:
        """A session's interpreter keeps what it was given, so its later cells read it, too."""
        self.snapshots.add(snapshot)
        self.run.snapshot = snapshot
        Run.objects.filter(pk=self.run.pk).update(snapshot=snapshot)
        if self.run.session_id is not None:
            Session.objects.filter(pk=self.run.session_id).update(snapshot=snapshot)

    def follow_session(self) -> None:
        """A cell that was queued before an earlier one had something fetched reads that, too."""
        session = self.run.session
        if session is not None and session.snapshot != self.run.snapshot:
            self._pin(session.snapshot)
