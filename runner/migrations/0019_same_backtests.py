from __future__ import annotations

from typing import Any

from django.db import migrations, models
from django.db.models.fields.json import KT


def fill(apps: Any, schema_editor: Any) -> None:
    """It was kept among the checks."""
    backtests = apps.get_model("runner", "Backtest").objects
    backtests.filter(checks__companion__has_key="same").update(same=KT("checks__companion__same"))


class Migration(migrations.Migration):
    dependencies = [
        ("runner", "0018_found_leaks"),
    ]

    operations = [
        migrations.AddField(
            model_name="backtest",
            name="same",
            field=models.CharField(
                blank=True,
                help_text="What copies of it share; empty until the site has made it again.",
                max_length=64,
            ),
        ),
        migrations.AddIndex(
            model_name="backtest",
            index=models.Index(fields=["same"], name="backtest_by_same"),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
