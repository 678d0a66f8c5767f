"""Were the parameters of a result chosen in a sweep, and how likely is it that the choice was luck?

The probability of backtest overfitting of a sweep is kept with it, so that pages, claims box and manifest say the same.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from django.db.models import Exists, F, JSONField, OuterRef, Q, Value
from qfp.figures import signed
from qfp.sweeps.space import Parameters
from qfp.sweeps.trial import Trial as Tried
from qfp.sweeps.trial import overfitting_of

from runner.models import Backtest, Run, Sweep, Trial

__all__ = ["Days", "finding", "of_sweep", "sweep_of", "tried_in", "window_of"]

Days = tuple[str, str]

MOST_COMPUTED = 5_000  # trials; of more, so many evenly chosen
LIKELY, UNLIKELY = 0.5, 0.1


def tried_in(sweep: Sweep, figures: bool = True, blocks: bool = True) -> list[Tried]:
    """Its trials in the order in which they were asked for. What is not needed of them is not read."""
    kept = F("figures") if figures else Value({}, JSONField())
    sums = F("blocks") if blocks else Value("")
    rows = sweep.trials.order_by("number", "pk").values_list("number", "params", "score", kept, "error", sums, "length")
    return [
        Tried(
            number,
            Parameters(params),
            math.nan if score is None else score,
            {name: math.nan if value is None else value for name, value in kept.items()},
            error,
            blocks,
            length,
        )
        for number, params, score, kept, error, blocks, length in rows
    ]


def of_sweep(sweep: Sweep, tried: list[Tried] | None = None) -> dict[str, Any]:
    """{trials, of, probability, text, too_few, histogram}; computed once for as many trials as there are."""
    count = sweep.trials.count() if tried is None else len(tried)
    if sweep.overfitting.get("trials") == count:
        return sweep.overfitting
    tried = tried_in(sweep, figures=False) if tried is None else tried
    every = max(1, math.ceil(len(tried) / MOST_COMPUTED))
    found = overfitting_of(tried[::every])
    kept = {
        "trials": count,
        "of": len(tried[::every]),
        "probability": None if math.isnan(found.probability) else found.probability,
        "text": found.text,
        "too_few": found.too_few,
        "histogram": found.histogram(),
    }
    sweep.overfitting = kept
    Sweep.objects.filter(pk=sweep.pk).update(overfitting=kept)
    return kept


def finding(run: Run, backtest: Backtest) -> dict[str, Any] | None:
    """What the claims box says of a backtest that this run has just handed over; None where nothing was swept."""
    windows = _windows_before(run, backtest) if run.search.get("walk") else 0
    if windows:
        counted = "1 window" if windows == 1 else f"{windows} windows"
        text = (
            f"Out of sample: its parameters were chosen on earlier bars alone, in {counted}. That these follow each "
            "other from its first bar to its last was checked; how it chose within them is the program's word."
        )
        return {"state": "green", "sentence": text, "evidence": "box", "windows": windows}
    sweep = sweep_of(run)
    if sweep is None:
        if run.search.get("walk"):
            text = "This run was to walk forward, but no windows came of it that end where this backtest does."
            return {"state": "amber", "sentence": text, "evidence": "box"}
        return None
    found = of_sweep(sweep)
    own = "This run has" if sweep.runs.filter(pk=run.pk).exists() else "The project has"
    count = found["trials"]
    said = f"{own} tried {signed(count, 0)} combinations in a sweep. {found['text']}"
    if found["too_few"] or found["probability"] is None:
        return {"state": "amber", "sentence": said, "evidence": "box"}
    state = "red" if found["probability"] > LIKELY else "amber" if found["probability"] > UNLIKELY else "green"
    return {"state": state, "sentence": said, "evidence": "box"}


def window_of(sweep: Sweep) -> tuple[Days, Days] | None:
    """(first and last day that was learnt from, those that were traded); None where the box has told no such thing."""
    reads = sweep.about.get("bars")
    told = [reads.get(name) for name in ("train", "test")] if isinstance(reads, dict) else []
    days = [(str(each[0])[:10], str(each[1])[:10]) for each in told if isinstance(each, list) and len(each) == 2]
    return (days[0], days[1]) if len(days) == 2 else None


def _windows_before(run: Run, backtest: Backtest) -> int:
    """In how many windows the parameters of this backtest were chosen; 0 where they do not follow each other from its
    first bar to its last, each chosen on days before those that it trades.
    """
    told = [window_of(sweep) for sweep in run.sweeps.filter(trials__isnull=False).distinct()]
    windows = sorted((each for each in told if each is not None), key=lambda each: each[1])
    days = list(dict.fromkeys(date[:10] for date in backtest.dates))  # of bars of hours, windows share a day
    if not windows or not days or any(train[1] > test[0] for train, test in windows):
        return 0
    if windows[0][1][0] != days[0] or windows[-1][1][1] != days[-1]:
        return 0
    places = {day: place for place, day in enumerate(days)}
    ends = [(places.get(test[0], -1), places.get(test[1], -1)) for _, test in windows]
    follow = all(0 <= before[1] <= after[0] <= before[1] + 1 for before, after in pairwise(ends))
    return len(windows) if follow else 0


def sweep_of(run: Run) -> Sweep | None:
    """The latest that this run made, or else its project, or else the project that was forked before it was. Those of a
    walk-forward that the site has asked for are windows of it.
    """
    own = Q(runs=run)
    project = run.project
    where = Q(project=project)
    if project.forked_from is not None:
        where |= Q(project=project.forked_from.project_id, created__lte=project.created)
    several = Exists(Trial.objects.filter(sweep=OuterRef("pk")).order_by()[1:2])
    openly = Exists(Run.objects.filter(sweeps=OuterRef("pk"), search__walk__isnull=True))
    windows = Q(about__bars__has_key="window") & ~Q(openly)
    found = Sweep.objects.filter(several).order_by("-created")
    return found.filter(own).first() or found.filter(where).exclude(windows).first()
