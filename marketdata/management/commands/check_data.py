"""Look at all series of the catalogue with the rules of marketdata.quality, and say what is odd."""

from __future__ import annotations

import argparse
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from marketdata import issues


class Command(BaseCommand):
    help = "Check every series of the catalogue and keep what was found; with --user, somebody's own series."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--user", help="check this person's own series instead")

    def handle(self, *, user: str | None = None, **options: Any) -> None:
        person = None
        if user:
            try:
                person = get_user_model().objects.get_by_natural_key(user)
            except get_user_model().DoesNotExist:
                raise CommandError(f"There is nobody called {user!r}.") from None
        found = issues.check_snapshot(person)
        for series, findings in sorted(found.items()):
            for finding in findings:
                self.stdout.write(f"{series}: {finding.message}")
        number = sum(len(findings) for findings in found.values())
        self.stdout.write(f"{number or 'No'} remarks on {len(found)} series.")
