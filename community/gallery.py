"""The public projects, newest first, each with its last verified result."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, QuerySet, Subquery

from runner.models import Backtest, Project, Run


def public_projects() -> QuerySet[Project]:
    """Public projects, with `run_id` of the last run that succeeded and `backtest_id` of the newest verified backtest
    (each or None), and whether that run `has_backtest`, verified or not.
    """
    runs = Run.objects.whole().filter(revision__project=OuterRef("pk"), status=Run.Status.SUCCEEDED)
    backtests = Backtest.objects.filter(
        run__revision__project=OuterRef("pk"), run__status=Run.Status.SUCCEEDED, verified=True
    ).order_by("-run__finished", "position")
    return (
        Project.objects.listed()
        .select_related("owner")
        .annotate(run_id=Subquery(runs.order_by("-finished").values("pk")[:1]))
        .annotate(backtest_id=Subquery(backtests.values("pk")[:1]))
        .annotate(has_backtest=Exists(Backtest.objects.filter(run=OuterRef("run_id"))))
        .order_by("-updated")
    )
