"""The curve of a stored backtest in a template: {% equity_chart backtest %}. Draws with runner.charts."""

from __future__ import annotations

from django import template
from django.utils.safestring import SafeString

from runner.charts import equity_curve
from runner.models import Backtest

register = template.Library()

# More points than pixels only make the page heavier.
POINTS = 400


@register.simple_tag
def equity_chart(backtest: Backtest) -> SafeString:
    return equity_curve(backtest, POINTS)
