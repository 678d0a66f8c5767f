from __future__ import annotations

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # backtests are written while it is built

    dependencies = [
        ("runner", "0020_fill_same_backtests"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="backtest",
            index=models.Index(condition=~models.Q(same=""), fields=["same"], name="backtest_by_same"),
        ),
    ]
