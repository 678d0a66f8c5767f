"""Compare what earlier backtests traded with what their authors' others did, for trials that count by their trades."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from runner.likeness.earlier_trades import compare_earlier


class Command(BaseCommand):
    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        done = filled = 0
        for done, filled in compare_earlier():
            if done % 1_000 == 0:
                self.stdout.write(f"{done:,} runs, {filled:,} backtests")
        self.stdout.write(f"{done:,} runs were looked at; of {filled:,} backtests it was not known what they traded.")
