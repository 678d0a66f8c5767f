"""Were the parameters of a result chosen in a sweep, and how likely is it that the choice was luck?

The probability of backtest overfitting of a sweep is kept with it, so that pages, claims box and manifest say the same.
"""

from __future__ import annotations

import math
from typing import Any

from django.db.models import Count, F, JSONField, Value
from qfp.figures import signed
from qfp.sweeps.space import Parameters
from qfp.sweeps.trial import Trial as Tried
from qfp.sweeps.trial import overfitting_of

from runner.models import Run, Sweep

__all__ = ["finding", "of_sweep", "tried_in"]

MOST_COMPUTED = 5_000  # trials; of more, so many evenly chosen
LOOKED_THROUGH = 20  # sweeps of the project
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


def finding(run: Run) -> dict[str, Any] | None:
    """What the claims box says of a backtest that this run has just handed over; None where nothing was swept."""
    if run.search.get("walk"):
        windows = run.sweeps.count()
        text = f"Out of sample: its parameters were chosen on earlier bars alone, in {windows} windows."
        return {"state": "green", "sentence": text, "evidence": "box"}
    sweep = _sweep_of(run)
    if sweep is None:
        return None
    found = of_sweep(sweep)
    own = "This run has" if sweep.runs.filter(pk=run.pk).exists() else "The project has"
    count = found["trials"]
    said = f"{own} tried {signed(count, 0)} combinations in a sweep. {found['text']}"
    if found["too_few"] or found["probability"] is None:
        return {"state": "amber", "sentence": said, "evidence": "box"}
    state = "red" if found["probability"] > LIKELY else "amber" if found["probability"] > UNLIKELY else "green"
    return {"state": state, "sentence": said, "evidence": "box"}


def _sweep_of(run: Run) -> Sweep | None:
    """The latest that this run made, or else its project, or else the project that was forked before it was."""
    own = run.sweeps.annotate(tried=Count("trials")).filter(tried__gt=1).order_by("-created").first()
    if own is not None:
        return own
    project = run.project
    latest = Sweep.objects.filter(project=project)
    if project.forked_from is not None:
        latest |= Sweep.objects.filter(project=project.forked_from.project_id, created__lte=project.created)
    for sweep in latest.order_by("-created")[:LOOKED_THROUGH]:
        if "window" not in _reads(sweep) and sweep.trials.count() > 1:
            return sweep
    return None


def _reads(sweep: Sweep) -> dict[str, Any]:
    bars = sweep.about.get("bars")
    return bars if isinstance(bars, dict) else {}
