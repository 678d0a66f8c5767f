import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("marketdata", "0005_own_datasets"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="qualityissue",
            name="an_issue_is_told_once",
        ),
        migrations.AddField(
            model_name="qualityissue",
            name="owner",
            field=models.ForeignKey(
                blank=True,
                help_text="Whose own series it is; empty for the catalogue's.",
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="quality_issues",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="refresh",
            name="series",
            field=models.JSONField(blank=True, default=list, help_text="Which ones, and how each ended."),
        ),
        migrations.AddConstraint(
            model_name="qualityissue",
            constraint=models.UniqueConstraint(
                fields=("owner", "series_id", "object_sha256", "kind", "first"),
                name="an_issue_is_told_once",
                nulls_distinct=False,
            ),
        ),
    ]
