"""Make stored runs again and say which came out the same."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from runner import nightly, verifying


class Command(BaseCommand):
    help = "Repeat stored runs that have backtests on their own data and packages; fails when one does not come out."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("runs", nargs="*", help="ids of runs; without any, the latest ones that succeeded")
        parser.add_argument("--limit", type=int, default=nightly.MOST, help="how many of the latest")

    def handle(self, *args: Any, runs: list[str], limit: int, **options: Any) -> None:
        chosen = runs or [run.pk for run in nightly.latest(limit)]
        answers: Counter[str] = Counter()
        for each in chosen:
            verdict = verifying.verify(each)
            answers[verdict.answer] += 1
            self.stdout.write(f"{each}: {verdict.title}. {verdict.text}")
        self.stdout.write(", ".join(f"{count} {answer}" for answer, count in sorted(answers.items())) or "No runs.")
        if set(answers) - {"exact", "close"}:
            raise CommandError("Not every run came out the same.")
