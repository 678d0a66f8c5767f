"""The curve of a stored backtest in a template: {% equity_chart backtest %}. Draws with runner.charts."""

from __future__ import annotations

from collections.abc import Sequence

from django import template
from django.utils.safestring import SafeString

from runner.charts import equity_svg
from runner.models import Backtest

register = template.Library()

# More points than pixels only make the page heavier. Each bucket gives its lowest and its highest value.
BUCKETS = 240


def thinned(
    dates: Sequence[str], equity: Sequence[float], buckets: int = BUCKETS
) -> tuple[list[str], list[float]]:
    """At most two values a bucket, with the first and last of all; the deepest fall stays exactly as deep."""
    count = len(equity)
    if count <= 2 * buckets:
        return list(dates), list(equity)
    kept = {0, count - 1}
    for bucket in range(buckets):
        inside = range(bucket * count // buckets, (bucket + 1) * count // buckets)
        kept |= {min(inside, key=equity.__getitem__), max(inside, key=equity.__getitem__)}
    chosen = sorted(kept)
    return [dates[index] for index in chosen], [equity[index] for index in chosen]


@register.simple_tag
def equity_chart(backtest: Backtest) -> SafeString:
    dates, equity = thinned(backtest.chart.get("dates", []), backtest.chart.get("equity", []))
    return equity_svg(dates, equity, width=720, height=400, title=backtest.description)
