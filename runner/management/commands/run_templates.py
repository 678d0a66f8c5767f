"""Run every template now, wait, and say which succeeded; the scheduler does the same every night without waiting."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from runner import template_runs
from runner.models import Run


class Command(BaseCommand):
    help = "Run all templates through the site's own queue. Those that fail leave the gallery, and staff get a mail."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--wait", type=int, default=1800, help="seconds to wait for the runs to end")
        parser.add_argument("--pictures", action="store_true", help="write what each draws beside it")

    def handle(self, *args: Any, wait: int, pictures: bool, **options: Any) -> None:
        started = template_runs.start_all()
        until = time.monotonic() + wait
        while (left := Run.objects.filter(pk__in=[run.pk for run in started], finished__isnull=True).count()) > 0:
            if time.monotonic() > until:
                raise CommandError(f"{left} runs have not ended after {wait} s. Are workers running?")
            time.sleep(0.5)
        for run in Run.objects.filter(pk__in=[run.pk for run in started]).select_related("revision__project"):
            self.stdout.write(f"{run.project.slug}: {run.get_status_display()}. {run.message}")
        if pictures:
            template_runs.ship_pictures()
        if red := template_runs.report():
            raise CommandError(f"Failed: {', '.join(run.project.slug for run in red)}")
