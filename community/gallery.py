"""The public projects, newest first, each with its last verified result."""

from __future__ import annotations

from django.db.models import OuterRef, QuerySet, Subquery

from runner.models import Backtest, Project, Run


def public_projects() -> QuerySet[Project]:
    """Public projects that somebody has run, with `backtest_id` of the newest verified backtest (or None)."""
    runs = Run.objects.whole().filter(revision__project=OuterRef("pk"), status=Run.Status.SUCCEEDED)
    backtests = Backtest.objects.filter(
        run__revision__project=OuterRef("pk"), run__status=Run.Status.SUCCEEDED, verified=True
    ).order_by("-run__finished", "position")
    return (
        Project.objects.listed()
        .select_related("owner")
        .annotate(run_id=Subquery(runs.order_by("-finished").values("pk")[:1]))
        .annotate(backtest_id=Subquery(backtests.values("pk")[:1]))
        .order_by("-updated")
    )
