"""Publish the templates under the site's own account and see that each has a result to show."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from runner import template_runs
from runner.models import Run
from runner.samples import FIRST_SAMPLE, SAMPLES


class Command(BaseCommand):
    help = "Create or refresh the templates' projects, and run those that have no finished run of their present text."

    def handle(self, *args: Any, **options: Any) -> None:
        owner = template_runs.site_user()
        # The home page's sample first: a new site shows its result within seconds.
        for sample in sorted(SAMPLES, key=lambda sample: sample is not FIRST_SAMPLE):
            project = template_runs.publish(sample, owner)
            revision = template_runs.revision_of(project, sample)
            if not revision.runs.filter(status__in=[*Run.IN_PROGRESS, Run.Status.SUCCEEDED]).exists():
                template_runs.start(project, sample)
        self.stdout.write(f"{len(SAMPLES)} sample projects are in place.")
