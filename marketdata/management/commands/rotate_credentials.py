"""Encrypt all keys of people for providers anew, with a new key of the site, and drop the earlier ones."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from marketdata import credentials


class Command(BaseCommand):
    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            done, made = credentials.rotate()
        except credentials.KeysUnusable as problem:
            raise CommandError(str(problem)) from None
        self.stdout.write(f"{done} key{'' if done == 1 else 's'} encrypted anew.")
        if not made:
            self.stdout.write(
                f"{credentials.keys_file()} cannot be written, so its first line counts as the new key; remove the "
                "others from it now."
            )
