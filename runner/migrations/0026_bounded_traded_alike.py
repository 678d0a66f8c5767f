from __future__ import annotations

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.deletion
from django.db import migrations, models

# Each pair is kept once, by its later one, and those of one revision in one row.
GATHER = """
UPDATE runner_tradedalike AS kept SET others = told.others
FROM (
    SELECT one_id, min(id) AS id, array_agg(other_id ORDER BY other_id) AS others
    FROM runner_tradedalike WHERE other_id < one_id GROUP BY one_id
) AS told
WHERE kept.id = told.id;
DELETE FROM runner_tradedalike WHERE cardinality(others) = 0;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("runner", "0025_copies_of_templates"),
    ]

    operations = [
        migrations.AddField(
            model_name="tradedalike",
            name="others",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.BigIntegerField(),
                default=list,
                help_text="Of revisions, some of which may be gone.",
                size=None,
            ),
        ),
        migrations.RunSQL(GATHER, "DELETE FROM runner_tradedalike"),
        migrations.RemoveConstraint(model_name="tradedalike", name="traded_alike_unique"),
        migrations.RemoveField(model_name="tradedalike", name="other"),
        migrations.AlterField(
            model_name="tradedalike",
            name="one",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.CASCADE, related_name="traded_alike", to="runner.revision"
            ),
        ),
        migrations.AddIndex(
            model_name="tradedalike",
            index=django.contrib.postgres.indexes.GinIndex(fields=["others"], name="traded_alike_others"),
        ),
        migrations.AlterField(
            model_name="backtest",
            name="sides",
            field=models.JSONField(
                blank=True, default=dict, help_text="What it held of each instrument, and from when on."
            ),
        ),
    ]
