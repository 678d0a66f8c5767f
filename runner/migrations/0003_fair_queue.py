from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runner", "0002_package_locks")]

    operations = [
        migrations.AddField(
            model_name="run",
            name="owner_key",
            field=models.CharField(
                blank=True,
                help_text="The account or the guest's browser whose share of the workers it uses.",
                max_length=40,
            ),
        ),
        # Runs that wait or run while the site is updated; for the others nobody asks.
        migrations.RunSQL(
            """
            UPDATE runner_run SET owner_key = CASE
                WHEN runner_run.user_id IS NOT NULL THEN 'user-' || runner_run.user_id
                ELSE 'guest-' || left(project.guest_hash, 32)
            END
            FROM runner_revision revision JOIN runner_project project ON project.id = revision.project_id
            WHERE revision.id = runner_run.revision_id AND status IN ('queued', 'running')
            """,
            migrations.RunSQL.noop,
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(condition=models.Q(("started__isnull", False)), fields=["started"], name="run_started"),
        ),
    ]
