"""How is a claims box drawn? `{% claims_box backtest tried %}`, on every page and in every report."""

from __future__ import annotations

from typing import Any

from django import template

from runner import claims_box as boxes
from runner.models import Backtest
from runner.trials import Trials

register = template.Library()


@register.inclusion_tag("runner/_claims_box.html")
def claims_box(backtest: Backtest, tried: Trials | None = None, open: bool = False) -> dict[str, Any]:
    lines = boxes.lines(backtest, tried)
    summary = boxes.summary(lines)
    return {"backtest": backtest, "lines": lines, "summary": summary, "open": open or summary["state"] == "red"}
