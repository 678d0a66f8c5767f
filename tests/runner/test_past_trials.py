"""What was tried counts for forks, also after what lies between has been deleted, alone or with many others."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.admin import site
from django.contrib.auth import get_user_model
from django.utils import timezone

from runner import trials
from runner.leftovers import expire_guest_projects
from runner.models import Attempt, Project
from tests.factories import make_finished_run, make_project, make_user

pytestmark = pytest.mark.django_db


def tried(project: Project, *names: str) -> Project:
    run = make_finished_run(project)
    Attempt.objects.bulk_create(Attempt(run=run, trial=name * 64) for name in names)
    return project


def forked(project: Project, **values: object) -> Project:
    return make_project(forked_from=project.revisions.latest("number"), **values)


def count(project: Project) -> int:
    return trials.of_project(Project.objects.get(pk=project.pk)).count


def test_a_fork_keeps_what_was_tried_before_the_project_that_it_was_forked_from() -> None:
    oldest = tried(make_project(), "a", "b")
    middle = tried(forked(oldest), "c")
    fork = forked(middle)
    tried(oldest, "d")  # after it was forked
    assert count(fork) == 3
    middle.delete()
    assert count(fork) == 3
    oldest.delete()
    assert count(fork) == 3


def test_what_many_projects_deleted_at_once_have_tried_is_kept(rf) -> None:
    oldest = tried(make_project(), "a", "b")
    middle = tried(forked(oldest), "c")
    fork = forked(middle)
    both = Project.objects.filter(pk__in=[oldest.pk, middle.pk]).order_by("-pk")
    site.get_model_admin(Project).delete_queryset(rf.post("/"), both)
    assert not both.exists() and count(fork) == 3


def test_what_a_guest_has_tried_is_kept_when_their_time_is_over() -> None:
    expires = timezone.now() - timedelta(days=1)
    guest = Project.objects.create(guest_hash="a" * 64, slug="g", title="G", draft={"main.py": "1"}, expires=expires)
    revision = guest.make_revision(guest.draft, author=None)
    other = make_finished_run(make_project())
    Attempt.objects.create(run=other, trial="a" * 64)
    other.revision = revision
    other.save(update_fields=["revision"])
    fork = make_project(forked_from=revision)
    tried(fork, "b")
    assert count(fork) == 2
    assert expire_guest_projects() == 1
    assert count(fork) == 2


@pytest.mark.parametrize("many", [False, True])
def test_what_an_account_has_tried_is_kept_for_the_forks_of_others_and_goes_with_its_own(many) -> None:
    author = make_user()
    origin = tried(make_project(author), "a", "b")
    own, others = forked(origin, owner=author), forked(origin)
    assert count(own) == count(others) == 2
    if many:
        get_user_model().objects.filter(pk=author.pk).delete()
    else:
        author.delete()
    assert not Project.objects.filter(pk=own.pk).exists() and count(others) == 2
