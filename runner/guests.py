"""A visitor without an account: the project of the first minute, and how it becomes theirs at sign-up."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from runner.access import Viewer, hash_key, new_guest_key
from runner.models import ENTRY, GUEST_DAYS, Project, Run
from runner.samples import FIRST_SAMPLE, Sample


def guest_project(viewer: Viewer) -> tuple[Project, str | None]:
    """This browser's project, or a new one made of the first sample together with the key its cookie must keep."""
    if viewer.guest_hash:
        existing = Project.objects.filter(owner__isnull=True).owned_by(viewer).order_by("-updated").first()
        if existing is not None:
            return existing, None
    key = new_guest_key()
    project = Project.objects.create(
        guest_hash=hash_key(key),
        slug=FIRST_SAMPLE.slug,
        title=FIRST_SAMPLE.title,
        draft={ENTRY: FIRST_SAMPLE.source},
        expires=timezone.now() + timedelta(days=GUEST_DAYS),
    )
    return project, key


def project_from_sample(owner, sample: Sample) -> Project:
    return Project.objects.create(
        owner=owner,
        slug=Project.free_slug(owner, sample.title),
        title=sample.title,
        draft={ENTRY: sample.source},
    )


def adopt_guest_projects(request: HttpRequest, user) -> int:
    """Give the projects and runs of this browser's guest key to the account that just signed up or in."""
    viewer = Viewer.of(request)
    if not viewer.guest_hash:
        return 0
    adopted = 0
    for project in Project.objects.filter(owner__isnull=True, guest_hash=viewer.guest_hash):
        with transaction.atomic():
            changed = Project.objects.filter(pk=project.pk, owner__isnull=True).update(
                owner=user, guest_hash="", expires=None, slug=Project.free_slug(user, project.title)
            )
            Run.objects.filter(revision__project=project, user__isnull=True).update(user=user)
            adopted += changed
    return adopted
