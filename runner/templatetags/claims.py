"""How do templates get at what a result can claim? `{% claims_box backtest tried %}`,
`{% claims_badge backtest %}`, and `headlines|of_run:run`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django import template

from runner import claims_box as boxes
from runner.models import Backtest, Run
from runner.trials import Trials

register = template.Library()


@register.filter
def of_run(found: Mapping[UUID, Any], run: Run | None) -> Any:
    """`{% with headline=headlines|of_run:run %}`; None where there is nothing of that run."""
    return found.get(run.pk) if run is not None else None


@register.inclusion_tag("includes/claims_badge.html")
def claims_badge(backtest: Backtest, tried: Trials | None = None, here: bool = False) -> dict[str, Any]:
    """The sum of the box, which it leads to. here: whether that stands on the same page."""
    summary = boxes.summary(boxes.lines(backtest, tried), boxes.checking(backtest))
    return {"backtest": backtest, "summary": summary, "here": here}


@register.inclusion_tag("runner/_claims_box.html")
def claims_box(backtest: Backtest, tried: Trials | None = None, open: bool = False) -> dict[str, Any]:
    lines = boxes.lines(backtest, tried)
    summary = boxes.summary(lines, boxes.checking(backtest))
    return {"backtest": backtest, "lines": lines, "summary": summary, "open": open or summary["state"] == "red"}
