from __future__ import annotations

from typing import Any

from django.db import migrations
from django.db.models import Max, Min
from django.db.models.fields.json import KT

AT_ONCE = 500


def fill(apps: Any, schema_editor: Any) -> None:
    """It was kept among the checks. A stretch of rows at a time, each of them read once; may be run again."""
    backtests = apps.get_model("runner", "Backtest").objects.order_by()
    ends = backtests.aggregate(first=Min("pk"), last=Max("pk"))
    if ends["first"] is None:
        return
    for first in range(ends["first"], ends["last"] + 1, AT_ONCE):
        some = backtests.filter(pk__gte=first, pk__lt=first + AT_ONCE, same="")
        some.filter(checks__companion__has_key="same").update(same=KT("checks__companion__same"))


class Migration(migrations.Migration):
    atomic = False  # no row stays locked until all of them are filled

    dependencies = [
        ("runner", "0019_same_backtests"),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
