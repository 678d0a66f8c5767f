from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0009_own_datasets_starting_values")]

    operations = [
        migrations.AddField(
            model_name="plan",
            name="fetches_per_run",
            field=models.PositiveIntegerField(
                default=20,
                help_text="Series that a run may fetch from providers because its snapshot lacks them; 0 is none.",
                verbose_name="series a run may fetch",
            ),
        ),
    ]
