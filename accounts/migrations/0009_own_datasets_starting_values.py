"""What the plans every installation starts with allow of own datasets. Plans of an operator's own keep the defaults."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

STARTING_VALUES = {
    "free": {"dataset_mb": 250, "max_datasets": 50, "dataset_versions": 20},
    "pro": {"dataset_mb": 1000, "max_datasets": 200, "dataset_versions": 20},
}


def set_values(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    Plan = apps.get_model("accounts", "Plan")
    for code, values in STARTING_VALUES.items():
        Plan.objects.filter(code=code).update(**values)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0008_own_datasets")]

    operations = [migrations.RunPython(set_values, migrations.RunPython.noop)]
