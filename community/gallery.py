"""The public projects, newest first, each with its last verified result."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, QuerySet, Subquery

from runner.models import Backtest, Project, Run


def public_projects() -> QuerySet[Project]:
    """Public projects, with `run_id` of the run that their page shows and `backtest_id` of its first verified backtest
    (each or None), and whether that run `has_backtest`, verified or not.
    """
    runs = Run.objects.filter(revision__project=OuterRef("pk")).shown_first()
    backtests = Backtest.objects.filter(run=OuterRef("run_id"), verified=True).order_by("position")
    return (
        Project.objects.listed()
        .select_related("owner")
        .annotate(run_id=Subquery(runs.values("pk")[:1]))
        .annotate(backtest_id=Subquery(backtests.values("pk")[:1]))
        .annotate(has_backtest=Exists(Backtest.objects.filter(run=OuterRef("run_id"))))
        .order_by("-updated")
    )
