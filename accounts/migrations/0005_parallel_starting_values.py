"""What the plans every installation starts with allow of parallel work. Plans of an operator's own keep the defaults."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

STARTING_VALUES = {
    "free": {"cores": 1, "parallel_boxes": 2},
    "pro": {"cores": 2, "parallel_boxes": 8},
}


def set_values(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    Plan = apps.get_model("accounts", "Plan")
    for code, values in STARTING_VALUES.items():
        Plan.objects.filter(code=code).update(**values)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_parallel_work")]

    operations = [migrations.RunPython(set_values, migrations.RunPython.noop)]
