"""Is a result one of a sweep, and did a walk-forward of that sweep say how such a choice fares? Said beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from qfp.figures import count

from runner import private
from runner.access import Viewer
from runner.models import Backtest, Project, Run, Sweep
from runner.overfitting import sweep_of

__all__ = ["OutOfSample", "Walked", "out_of_sample", "told_of_walk", "told_out_of_sample", "walked_from"]

FIGURES = {"total_return": "total return", "sharpe": "Sharpe ratio"}
MOST_WALKS = 5  # latest ones that are asked whether they came through


@dataclass(frozen=True)
class Walked:
    """found: what came of choosing as a sweep does. url: of the walk-forward's backtest. lost: whether it lost."""

    found: str
    url: str
    lost: bool


@dataclass(frozen=True)
class OutOfSample(Walked):
    """said: how its parameters were chosen."""

    said: str

    @property
    def sentence(self) -> str:
        return f"{self.said} {self.found}"


def out_of_sample(backtest: Backtest, viewer: Viewer) -> OutOfSample | None:
    """None where it is not one of a sweep's trials, or no walk-forward of that sweep has come through."""
    run = backtest.run
    sweep = None if run.search.get("walk") else sweep_of(run)
    if sweep is None or (names := _names(sweep)) is None:
        return None
    values = run.all_params | backtest.params
    if not sweep.trials.filter(params={name: values.get(name) for name in names}).exists():
        return None
    if (walked := walked_from(sweep, run.project, viewer)) is None:
        return None
    said = f"Its parameters are one of {count(sweep.trials.count())} combinations that were tried on these same data."
    return OutOfSample(walked.found, walked.url, walked.lost, said)


def told_out_of_sample(backtest: Backtest, viewer: Viewer) -> str:
    """The same in two sentences; "" where there is nothing to say."""
    found = out_of_sample(backtest, viewer)
    return found.sentence if found is not None else ""


def walked_from(sweep: Sweep, project: Project, viewer: Viewer) -> Walked | None:
    """What the latest walk-forward of the sweep has come to, as told in the project; None where none came through."""
    if (names := _names(sweep)) is None:
        return None
    # The sweep may be of the project that this one was forked from: its author shows what came of it, or does not.
    seen = Q(revision__project=project)
    for others in (Project.objects.listed(), Project.objects.owned_by(viewer)):
        seen |= Q(revision__project__in=others.values("pk"))
    walks = Run.objects.filter(
        seen, revision__in=sweep.runs.values("revision"), search__walk__isnull=False,
        search__space__has_keys=list(names), status=Run.Status.SUCCEEDED,
    ).select_related("revision__project")  # fmt: skip
    for walk in walks.order_by("-finished")[:MOST_WALKS]:
        joined = next(iter(private.shown_to(walk, viewer).backtests(walk)), None)
        if joined is not None and (told := told_of_walk(joined)):
            return Walked(told, joined.get_absolute_url(), joined.equity[-1] < joined.cash)
    return None


def told_of_walk(joined: Backtest) -> str:
    """What the result of the windows of a walk-forward has come to; "" for any other, and where it was not verified."""
    windows = joined.checks.get("overfitting", {}).get("windows")
    if not joined.verified or not windows:
        return ""
    figures = {figure["key"]: figure for figure in joined.figures}
    told = ", ".join(f"{name} {figures[key]['text']}" for key, name in FIGURES.items() if key in figures)
    held = figures.get("buy_and_hold", {})
    if held.get("value") is not None:
        told += f"; over the same bars {held['label'][:1].lower()}{held['label'][1:]} {held['text']}"
    return (
        f"Out of sample, chosen anew in {windows} window{'s' if windows > 1 else ''} and traded on the bars after, "
        f"{_years(joined)}: {told}."
    )


def _years(backtest: Backtest) -> str:
    first, last = backtest.start.year, backtest.end.year
    return f"in {first}" if first == last else f"from {first} to {last}"


def _names(sweep: Sweep) -> dict[str, Any] | None:
    """Of the parameters that it tried, as its box has told."""
    names = sweep.about.get("space")
    return names if isinstance(names, dict) else None
