"""Publish the sample projects under the site's own account and see that each has a result to show."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from django.utils import timezone

from marketdata.store import current_snapshot_id
from runner import showcase
from runner.models import ENTRY, Project, Run
from runner.quotas import limits_of
from runner.samples import FIRST_SAMPLE, SAMPLES
from runner.starting import queue_run


class Command(BaseCommand):
    help = "Create or refresh the sample projects, and run those that have no finished run of their present text."

    def handle(self, *args: Any, **options: Any) -> None:
        owner = site_user()
        # The home page's sample first: a new site shows its result within seconds.
        for sample in sorted(SAMPLES, key=lambda sample: sample is not FIRST_SAMPLE):
            project, _ = Project.objects.get_or_create(
                owner=owner,
                slug=sample.slug,
                defaults={"title": sample.title, "visibility": Project.Visibility.PUBLIC},
            )
            if project.draft.get(ENTRY) != sample.source or project.title != sample.title:
                project.title, project.draft, project.updated = (
                    sample.title,
                    {ENTRY: sample.source},
                    timezone.now(),
                )
                project.draft_version += 1
                project.save()
            self._run_once(project)
        self.stdout.write(f"{len(SAMPLES)} sample projects are in place.")

    def _run_once(self, project: Project) -> None:
        revision = project.make_revision(project.draft, author=project.owner)
        if not revision.runs.filter(status__in=[*Run.IN_PROGRESS, Run.Status.SUCCEEDED]).exists():
            limits = asdict(limits_of(project.owner.plan))
            queue_run(revision, project.owner, limits=limits, snapshot=current_snapshot_id() or "")


def site_user():
    """The account that owns the samples; nobody can sign in to it."""
    users = get_user_model().objects
    owner = users.filter(username=showcase.SITE_USER).first()
    if owner is None:
        owner = users.create_user(
            username=showcase.SITE_USER,
            email="playground@localhost.invalid",
            display_name="Quant Finance Playground",
        )
        owner.set_unusable_password()
        owner.save(update_fields=["password"])
    return owner
