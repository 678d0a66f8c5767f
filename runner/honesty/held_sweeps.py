"""Does what a program decides follow from what its sweeps gave? Made again on other data with sweeps that give what
they gave at first, it shows what follows from anything else.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import product
from typing import Any

from runner.models import Run, Sweep
from runner.overfitting import window_of
from runner.storable import TooDeep, storable
from runner.sweeps.questions import MOST_AT_ONCE, MOST_TRIALS, TOLD, Refused, SweepQuestions

__all__ = ["HeldSweeps", "chose_from_all"]

OF_DATA = ("bars", "stands_on", "values_read", "traded")  # what is told of a sweep that is another on other data
NOT_TRIED = "It was not tried on the data of the run."


class HeldSweeps(SweepQuestions):
    """The sweeps of a run that has ended, for the same program. whole: whether it has tried nothing else so far."""

    def __init__(self, run: Run) -> None:
        super().__init__(run, left=0)
        self.whole = True
        asked = Sweep.runs.through.objects.filter(run=run).order_by("pk").select_related("sweep")
        self.waiting = [row.sweep for row in asked]  # in the order in which they were asked for
        self.known: dict[str, Sweep] = {}
        self.moved: dict[int, list[dict[str, Any]]] = {}  # trials by id of a sweep, where its values are others now

    def _open(self, about: Any) -> int:
        try:
            about = storable(about)
        except TooDeep:
            about = None
        if not isinstance(about, dict):
            self.whole = False
            raise Refused("The description of the sweep cannot be kept.")
        told = json.dumps(about, sort_keys=True)
        sweep = self.known.get(told)
        if sweep is None:
            sweep = self.known[told] = self._next(about)
        self.opened[sweep.pk] = sweep
        return sweep.pk

    def _next(self, about: dict[str, Any]) -> Sweep:
        """The next one that differs in the data alone, or else in its values, too: they may be read from the data."""
        for alike in (_question, _kind):
            for at, sweep in enumerate(self.waiting):
                if alike(about) and alike(sweep.about) == alike(about):
                    if alike is _kind:
                        self.moved[sweep.pk] = list(_moved(sweep, about))
                    return self.waiting.pop(at)
        self.whole = False
        raise Refused("The run had no such sweep.")

    def _known(self, sweep: Sweep, after: Any) -> list[dict[str, Any]]:
        if sweep.pk not in self.moved:
            return super()._known(sweep, after)
        start = max(0, after) if isinstance(after, int) else 0
        told = self.moved[sweep.pk][start : start + MOST_AT_ONCE]
        return [{"id": number, **trial} for number, trial in enumerate(told, start + 1)]

    def _add(self, sweep: Sweep, told: Any) -> None:
        self.whole = False

    def _keep_change(self, sweep: Sweep, change: float | None) -> None:
        pass


def _moved(sweep: Sweep, about: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What its trials gave, as that of the values that stand in their places now. In a grid any others have failed, so
    that nothing is chosen but what could have been at first.
    """
    before, now = sweep.about["space"], about["space"]
    places = {name: _partners(before[name], now[name]) for name in before}
    tried = set()
    for trial in sweep.trials.order_by("pk").values(*TOLD):
        texts = {name: _text(trial["params"].get(name)) for name in before}
        values = [text if (place := places[name]) is None else place.get(text) for name, text in texts.items()]
        if None not in values:
            tried.add(_text(values))
            yield {**trial, "params": {name: json.loads(str(each)) for name, each in zip(before, values, strict=True)}}
    lists = [now[name] for name in before if isinstance(now[name], list)]
    if about.get("method") != "grid" or len(lists) < len(before) or math.prod(map(len, lists)) > MOST_TRIALS:
        return
    for number, combination in enumerate(product(*lists)):
        if _text([_text(value) for value in combination]) not in tried:
            failed: dict[str, Any] = {
                "number": number,
                "score": None,
                "figures": {},
                "error": NOT_TRIED,
                "blocks": "",
                "length": 0,
            }
            yield {**failed, "params": dict(zip(before, combination, strict=True))}


def _partners(before: Any, now: Any) -> dict[str, str] | None:
    """By each value that was listed the one in its place now: itself where it is there, too. None where all stay."""
    if before == now:
        return None
    if not isinstance(before, list) or not isinstance(now, list):
        return {}
    old, new = (dict.fromkeys(_text(value) for value in values) for values in (before, now))
    others = zip([each for each in old if each not in new], [each for each in new if each not in old], strict=False)
    return {each: each for each in old if each in new} | dict(others)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _question(about: dict[str, Any]) -> str:
    """Of sweeps that differ in the data alone."""
    return _text({name: each for name, each in about.items() if name not in OF_DATA})


def _kind(about: dict[str, Any]) -> str:
    """Of sweeps that differ in their values, too; "" for what another library has tried, which asks for no answers."""
    space, options = about.get("space"), about.get("options")
    if not isinstance(space, dict) or not isinstance(options, dict) or "library" in options:
        return ""
    return _text([about.get("target"), about.get("method"), about.get("maximize"), sorted(space)])


def chose_from_all(run: Run) -> bool:
    """Whether a sweep of the run looked for values in more than the windows of a walk-forward."""
    return any(window_of(sweep) is None for sweep in run.sweeps.filter(trials__isnull=False).distinct())
