"""A visitor without an account looks at more than one template; the limit of runs from one address is one of these, too."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def set_values(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("accounts", "Plan").objects.filter(code="guest", max_projects=1).update(max_projects=30)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0010_fetches_of_a_run")]

    operations = [migrations.RunPython(set_values, migrations.RunPython.noop)]
