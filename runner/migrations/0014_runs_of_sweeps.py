from __future__ import annotations

from typing import Any

from django.db import migrations


def fill(apps: Any, schema_editor: Any) -> None:
    """The runs whose trials a sweep has are those that asked for it; without them it is on no page."""
    trials, through = apps.get_model("runner", "Trial"), apps.get_model("runner", "Sweep").runs.through
    pairs = trials.objects.order_by().values_list("sweep_id", "run_id").distinct()
    asked = [through(sweep_id=sweep, run_id=run) for sweep, run in pairs]
    through.objects.bulk_create(asked, batch_size=1000, ignore_conflicts=True)


class Migration(migrations.Migration):
    dependencies = [
        ("runner", "0013_searches"),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
