"""What does a run try beyond the backtests that are recorded? It counts as trials, and nothing else of it is kept."""

from __future__ import annotations

import hashlib
import json
import math
from functools import cached_property
from typing import Any

from runner import trials
from runner.claims.fields import ClaimRefused
from runner.claims.packed import Opener
from runner.claims.reading import EQUITY, attempts_of, read_attempt
from runner.models import Attempt, Backtest, Run
from runner.storable import TooDeep, storable
from runner.waiting import when_database_answers

__all__ = ["MAX_ATTEMPTS", "Attempts"]

MAX_ATTEMPTS = 1_000  # of a run
ALIKE = 1e-9  # two values of the same equity


class Attempts:
    """Those of a run, as one of its boxes tells them."""

    def __init__(self, run: Run, opener: Opener, left: int = MAX_ATTEMPTS) -> None:
        self.run, self.opener, self.left = run, opener, left
        self.ended: dict[tuple[str, str], float] = {}  # of what was tried first, by the names of trial and figure

    @cached_property
    def code(self) -> trials.Code:
        return trials.Code(self.run.revision.files)

    def named(self, backtest: Backtest, ended: tuple[str, float] | None) -> str:
        """The name of a trial. ended: name and value of a figure of it."""
        named = trials.of_backtest(backtest, self.code, self.run.params)
        if ended is None or self.ended.setdefault((named, ended[0]), ended[1]) == ended[1]:
            return named
        return trials.of_backtest(backtest, self.code, self.run.params, ended)

    def name_of_recorded(self, backtest: Backtest, equity: float) -> str:
        """The same, also beside what earlier runs have recorded. equity: its last."""
        project = self.run.revision.project_id
        named = trials.of_backtest(backtest, self.code, self.run.params)
        same = Backtest.objects.filter(trial=named, run__revision__project=project).exclude(run=self.run)
        before = same.order_by("pk").values_list("metrics__final_equity", flat=True).first()
        if before is not None and not math.isclose(before, equity, rel_tol=ALIKE):
            self.ended.setdefault((named, EQUITY), before)
        return self.named(backtest, (EQUITY, equity))

    def count(self, claim: Any) -> None:
        """What it tells of was tried, as far as there have not been too many; what cannot be read was tried as well.
        Raises ClaimRefused for one that cannot even be taken apart.
        """
        if self.left <= 0:
            return
        claims = attempts_of(self.opener.open(claim), self.left)
        self._keep([self._name_of(one) for one in claims])

    def count_refused(self, claim: Any) -> None:
        """One that was refused was tried as well."""
        if self.left > 0:
            self._keep([self._unread(claim)])

    def _keep(self, names: list[str]) -> None:
        self.left -= len(names)
        found = [Attempt(run=self.run, trial=name) for name in names]
        when_database_answers(
            run_id=self.run.pk, action=lambda: Attempt.objects.bulk_create(found, ignore_conflicts=True)
        )

    def _name_of(self, claim: Any) -> str:
        try:
            tried = storable(read_attempt(claim))
            ended = tried.pop("ended")
            return self.named(Backtest(**tried), ended)
        except (ClaimRefused, TooDeep):
            return self._unread(claim)

    def _unread(self, claim: Any) -> str:
        return self.code.fingerprint({"run_params": self.run.params, "unread": _digest(claim)})


def _digest(claim: Any) -> str:
    try:
        text = json.dumps(claim, sort_keys=True)
    except RecursionError:
        text = "nested too deeply"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
