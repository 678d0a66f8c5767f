"""Make room: market data that only old runs need, and uploaded files, are kept compressed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from marketdata import archiving, store


class Command(BaseCommand):
    help = "Keep market data as zstd Parquet that no current snapshot names and nothing has read lately."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument(
            "--days", type=int, default=settings.ARCHIVE_DAYS, help="how long a snapshot must not have been read"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["days"] < 1:
            raise CommandError("--days must be 1 or more: a run that has just begun reads its snapshot.")
        try:
            self.stdout.write(str(archiving.archive_data(timedelta(days=options["days"]))))
        except store.StoreBusy as busy:
            raise CommandError(str(busy)) from None
        space = archiving.space()
        self.stdout.write(
            f"There are {space.objects:,} bytes of objects, {space.archive:,} of archive and {space.originals:,} of "
            "uploaded files now."
        )
