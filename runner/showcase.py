"""The real result on the home page: the newest verified backtest of the site's own first sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runner import claims_box
from runner.charts import equity_curve
from runner.models import Backtest, Run
from runner.samples import CHECKED, FIRST_SAMPLE
from runner.template_runs import SITE_USER

POINTS = 400
FIGURES_SHOWN = ("total_return", "buy_and_hold", "cagr", "sharpe", "max_drawdown", "trades")


@dataclass(frozen=True)
class Showcase:
    title: str
    backtest: Backtest
    summary: dict[str, Any] | None  # of what it can claim
    sentence: str
    svg: str
    figures: list[dict]
    conventions: list[str]
    source: str
    run_url: str


def coming() -> Run | None:
    """The run that will be shown: the newest of the first sample, waiting or going; None where there is none."""
    runs = Run.objects.in_progress().filter(
        revision__project__owner__username=SITE_USER, revision__project__slug=FIRST_SAMPLE.slug
    )
    return runs.order_by("-queued").first()


def find() -> Showcase | None:
    backtest = (
        Backtest.objects.filter(
            verified=True,
            run__status=Run.Status.SUCCEEDED,
            run__revision__project__owner__username=SITE_USER,
            run__revision__project__slug=FIRST_SAMPLE.slug,
        )
        .select_related("run__revision__project")
        .order_by("-run__finished")
        .first()
    )
    if backtest is None:
        return None
    by_key = {figure["key"]: figure for figure in backtest.figures}
    return Showcase(
        title=backtest.run.project.title,
        backtest=backtest,
        summary=claims_box.summaries([backtest]).get(backtest.pk),
        sentence=backtest.description,
        svg=equity_curve(backtest, POINTS),
        figures=[by_key[key] for key in FIGURES_SHOWN if key in by_key],
        conventions=[*backtest.conventions.get("lines", []), *filter(None, [backtest.conventions.get("survivorship")])],
        source=backtest.run.revision.source.partition(CHECKED)[0],
        run_url=backtest.run.get_absolute_url(),
    )
