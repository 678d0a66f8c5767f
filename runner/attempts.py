"""What does a run try beyond the backtests that are recorded? It counts as trials, and nothing else of it is kept."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from runner import trials
from runner.claims.fields import ClaimRefused
from runner.claims.packed import Opener
from runner.claims.reading import attempts_of, read_attempt
from runner.models import Attempt, Backtest, Run
from runner.storable import TooDeep, storable
from runner.waiting import when_database_answers

__all__ = ["MAX_ATTEMPTS", "Attempts"]

MAX_ATTEMPTS = 1_000  # of a run


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

    def count(self, claim: Any) -> None:
        """What it tells of was tried, as far as there have not been too many. Raises ClaimRefused, and TooDeep, when
        the rest is counted.
        """
        if self.left <= 0:
            return
        found, refusal = [], None
        for one in attempts_of(self.opener.open(claim), self.left):
            self.left -= 1
            try:
                tried = storable(read_attempt(one))
            except (ClaimRefused, TooDeep) as why:
                refusal = why
                continue
            ended = tried.pop("ended")
            found.append(Attempt(run=self.run, trial=self.named(Backtest(**tried), ended)))
        when_database_answers(
            run_id=self.run.pk, action=lambda: Attempt.objects.bulk_create(found, ignore_conflicts=True)
        )
        if refusal is not None:
            raise refusal
