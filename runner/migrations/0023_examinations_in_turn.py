from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("runner", "0022_past_programs"),
    ]

    operations = [
        migrations.AddField(
            model_name="run",
            name="examination_asked",
            field=models.DateTimeField(
                blank=True,
                help_text="Since when it waits to be made again on data of the site's own, or is.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="run",
            name="examination_began",
            field=models.DateTimeField(blank=True, help_text="When a worker last took it for that.", null=True),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("examination_asked__isnull", False)),
                fields=["examination_asked"],
                name="run_to_be_examined",
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("examination_began__isnull", False)),
                fields=["examination_began"],
                name="run_examined",
            ),
        ),
    ]
