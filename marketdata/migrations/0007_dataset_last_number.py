from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("marketdata", "0006_quality_owner")]

    operations = [
        migrations.AddField(
            model_name="dataset",
            name="last_number",
            field=models.PositiveIntegerField(
                default=0, help_text="Of the newest version there ever was: no number means two tables."
            ),
        ),
    ]
