"""What did backtests trade that were made before the site kept it? Read from their fills, and compared like others."""

from __future__ import annotations

import json
from collections.abc import Iterator

from runner.likeness.compared import NEXT, compare
from runner.likeness.traded import sides_of
from runner.models import Backtest, Run

__all__ = ["compare_earlier"]

AT_ONCE = 20  # backtests, whose fills may be large


def compare_earlier() -> Iterator[tuple[int, int]]:
    """After each run, oldest first: how many runs have been looked at, and of how many backtests it is known now what
    they traded. May be run again, and while the site runs.
    """
    filled = 0
    runs = Run.objects.filter(backtests__isnull=False, revision__project__owner__isnull=False).distinct()
    numbers = list(runs.order_by("queued").values_list("pk", flat=True))
    for done, number in enumerate(numbers, 1):
        wanted = ("instruments", "fills", "flows", "dates", "equity", "sides", "run")
        for backtest in Backtest.objects.filter(run=number).only(*wanted).iterator(AT_ONCE):
            sides = json.loads(json.dumps(sides_of(backtest)))  # with lists, as it is stored
            if sides != {name: told for name, told in backtest.sides.items() if name != NEXT}:
                Backtest.objects.filter(pk=backtest.pk).update(sides=sides)
                filled += 1
        run = Run.objects.select_related("revision__project").filter(pk=number).first()
        if run is not None:  # not deleted meanwhile
            compare(run, whole=True)
        yield done, filled
