"""Does what a program decides follow from what its sweeps gave? Made again on other data with sweeps that give what
they gave at first, it shows what follows from anything else.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from runner.models import Run, Sweep
from runner.storable import TooDeep, storable
from runner.sweeps import Refused, SweepQuestions

__all__ = ["HeldSweeps"]

OF_DATA = ("bars", "traded")  # what is told of a sweep that is another on other data


class HeldSweeps(SweepQuestions):
    """The sweeps of a run that has ended, for the same program. whole: whether it has tried nothing else so far."""

    def __init__(self, run: Run) -> None:
        super().__init__(run, left=0)
        self.whole = True
        asked = Sweep.runs.through.objects.filter(run=run).order_by("pk").select_related("sweep")
        self.waiting: dict[str, list[Sweep]] = defaultdict(list)  # in the order in which they were asked for
        for row in asked:
            self.waiting[_question(row.sweep.about)].append(row.sweep)
        self.known: dict[str, Sweep] = {}

    def _open(self, about: Any) -> int:
        told = json.dumps(about, sort_keys=True)
        sweep = self.known.get(told)
        if sweep is None:
            alike = self.waiting[_question(about)]
            if not alike:
                self.whole = False
                raise Refused("The run had no such sweep.")
            sweep = self.known[told] = alike.pop(0)
        self.opened[sweep.pk] = sweep
        return sweep.pk

    def _add(self, sweep: Sweep, told: Any) -> None:
        self.whole = False

    def _keep_change(self, sweep: Sweep, change: float | None) -> None:
        pass


def _question(about: Any) -> str:
    """Of sweeps that differ in the data alone."""
    try:
        about = storable(about)
    except TooDeep:
        return ""
    if not isinstance(about, dict):
        return ""
    return json.dumps({name: each for name, each in about.items() if name not in OF_DATA}, sort_keys=True)
