"""Publish the sample projects under the site's own account and make sure the home page has a result to show."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from django.utils import timezone

from runner import showcase
from runner.access import Viewer
from runner.models import ENTRY, Project, Run
from runner.quotas import QuotaExceeded
from runner.samples import SAMPLES
from runner.starting import start_run


class Command(BaseCommand):
    help = "Create or refresh the sample projects, and run those that have no finished run of their present text."

    def handle(self, *args: Any, **options: Any) -> None:
        owner = site_user()
        for sample in SAMPLES:
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
        """Only the home page's sample runs unasked; the others when somebody opens them."""
        if showcase.FIRST_SAMPLE is None or project.slug != showcase.FIRST_SAMPLE.slug:
            return
        revision = project.make_revision(project.draft, author=project.owner)
        if revision.runs.filter(status__in=[*Run.IN_PROGRESS, Run.Status.SUCCEEDED]).exists():
            return
        try:
            start_run(project, Viewer(project.owner), files=project.draft)
        except QuotaExceeded as refusal:
            self.stderr.write(str(refusal))


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
