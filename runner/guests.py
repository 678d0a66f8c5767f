"""A visitor without an account: the project of the first minute, and how it becomes theirs at sign-up."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from runner.access import Viewer, hash_key, new_guest_key
from runner.likeness import compared
from runner.models import ENTRY, GUEST_DAYS, Project, Run, Session
from runner.samples import FIRST_SAMPLE, Sample


def existing_guest_project(viewer: Viewer) -> Project | None:
    """The project this browser's guest key opens; the one worked on last if there are several."""
    return Project.objects.filter(owner__isnull=True).owned_by(viewer).order_by("-updated").first()


def first_project_of(viewer: Viewer) -> Project | None:
    """What a viewer has made of the first sample, which the start page runs; of a guest the one worked on last."""
    if viewer.user is not None:
        return Project.objects.filter(owner=viewer.user, slug=FIRST_SAMPLE.slug).select_related("owner").first()
    return existing_guest_project(viewer)


def new_guest_project() -> tuple[Project, str]:
    """A project made of the first sample, and the key its browser must keep in the cookie."""
    key = new_guest_key()
    slug = FIRST_SAMPLE.slug
    return guest_project_of(hash_key(key), FIRST_SAMPLE.title, FIRST_SAMPLE.source, slug, template=slug), key


def guest_project_of(guest_hash: str, title: str, source: str, slug: str, template: str = "") -> Project:
    return Project.objects.create(
        guest_hash=guest_hash,
        slug=slug,
        title=title,
        draft={ENTRY: source},
        expires=timezone.now() + timedelta(days=GUEST_DAYS),
        template=template,
    )


def project_from_sample(owner, sample: Sample) -> Project:
    return Project.make(owner, sample.title, sample.source, slug=sample.slug, template=sample.slug)


def adopt_guest_projects(request: HttpRequest, user) -> int:
    """Give the projects and runs of this browser's guest key to the account that just signed up or in."""
    viewer = Viewer.of(request)
    if not viewer.guest_hash:
        return 0
    adopted = 0
    for project in Project.objects.filter(owner__isnull=True, guest_hash=viewer.guest_hash):
        with transaction.atomic():
            changed = Project.objects.filter(pk=project.pk, owner__isnull=True).update(
                owner=user, guest_hash="", expires=None, slug=Project.free_slug(user, project.slug)
            )
            Run.objects.filter(revision__project=project, user__isnull=True).update(user=user)
            Session.objects.filter(project=project, user__isnull=True).update(user=user)
            adopted += changed
            if changed:
                compared.compare_later(Run.objects.filter(revision__project=project))
    return adopted
