"""Make sure the store holds the starter catalogue and the database names it; may be run again."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from qfp import starter

from marketdata.store import take_starter


class Command(BaseCommand):
    help = "Build the starter market data (fetched once) and put it into the catalogue."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            built = starter.build(settings.STORE_DIR, say=self.stdout.write, education=settings.STARTER_TIER_C)
        except starter.StarterDataError as error:
            raise CommandError(str(error)) from None
        for note in built.notes:
            self.stdout.write(note)
        take_starter(built.snapshot)
        state = "built" if built.fresh else "already there"
        self.stdout.write(f"Starter data {state}: {len(built.series)} series, snapshot {built.snapshot[:12]}.")
