"""Runs that trade as a test wants it, and what the site finds in them."""

from __future__ import annotations

from runner import claims_box, trials
from runner.data_questions import DataQuestions
from runner.events import Publisher
from runner.intake import Intake
from runner.likeness import traded
from runner.models import Backtest, Project, Revision, Run
from tests.factories import make_finished_run
from tests.runner.reported import claim_of


def made(project: Project, *turns: tuple[int, int]) -> Backtest:
    """A run of it that trades so, as it comes from its box; the last of its backtests."""
    return traded_by(make_finished_run(project), *turns)


def traded_by(run: Run, *turns: tuple[int, int]) -> Backtest:
    intake = Intake(run, Publisher(run.pk), DataQuestions(run))
    for number, (hold, rest) in enumerate(turns):
        intake.take({"type": "backtest", "number": number, "claim": claim_of("IBM", hold, rest, bars=600)})
    intake.take({"type": "examining"})
    intake.publisher.close()
    return intake.backtests[-1]


def line_of(backtest: Backtest) -> str:
    again = Backtest.objects.get(pk=backtest.pk)
    return next(line["text"] for line in claims_box.lines(again) if line["key"] == "trials")


def count(project: Project) -> int:
    return trials.of_project(Project.objects.get(pk=project.pk)).count


def found_beside(project: Project) -> set[int]:
    """Projects that have traded nearly the same, by what is kept of each of both."""
    found = set(Revision.objects.filter(pk__in=traded.traded_alike(project)).values_list("project", flat=True))
    assert all(ids(project) & set(traded.traded_alike(Project.objects.get(pk=other))) for other in found)
    return found


def ids(project: Project) -> set[int]:
    return set(project.revisions.values_list("pk", flat=True))
