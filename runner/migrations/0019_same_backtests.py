from __future__ import annotations

from django.db import migrations, models


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
    ]
