"""The three plans every installation starts with. Re-runnable: an existing plan keeps what its operator set."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

STARTING_PLANS = (
    {
        "code": "guest",
        "name": "Guest",
        "is_default": False,
        "is_for_guests": True,
        "concurrent_runs": 1,
        "runs_per_day": 30,
        "cpu_seconds": 10,
        "wall_seconds": 30,
        "memory_mb": 512,
        "disk_mb": 64,
        "output_kb": 1024,
        "processes": 64,
        "max_projects": 1,
    },
    {
        "code": "free",
        "name": "Free",
        "is_default": True,
        "is_for_guests": False,
        "concurrent_runs": 2,
        "runs_per_day": 500,
        "cpu_seconds": 60,
        "wall_seconds": 300,
        "memory_mb": 1024,
        "disk_mb": 256,
        "output_kb": 2048,
        "processes": 64,
        "max_projects": 100,
    },
    {
        "code": "pro",
        "name": "Pro",
        "is_default": False,
        "is_for_guests": False,
        "concurrent_runs": 4,
        "runs_per_day": 5000,
        "cpu_seconds": 300,
        "wall_seconds": 1800,
        "memory_mb": 4096,
        "disk_mb": 1024,
        "output_kb": 8192,
        "processes": 128,
        "max_projects": 1000,
    },
)


def make_plans(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    Plan = apps.get_model("accounts", "Plan")
    for plan in STARTING_PLANS:
        Plan.objects.get_or_create(code=plan["code"], defaults=plan)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [migrations.RunPython(make_plans, migrations.RunPython.noop)]
