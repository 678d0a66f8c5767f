"""Rows for tests, with sensible defaults and keyword overrides."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from itertools import count
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import get_hasher, make_password
from django.utils import timezone

from runner.models import ENTRY, Project, Run
from runner.quotas import limits_of
from runner.starting import owner_key

_numbers = count(1)
PASSWORD = "a quiet harbour 91"


def make_user(username: str = "", **values: Any):
    username = username or f"user{next(_numbers)}"
    user = get_user_model().objects.create_user(username=username, email=values.pop("email", f"{username}@example.com"))
    for name, value in {"password": _hashed(get_hasher().algorithm), **values}.items():
        setattr(user, name, value)
    user.save()
    return user


@cache
def _hashed(algorithm: str) -> str:
    """PASSWORD as it is stored: once, for a quarter of a second each would be minutes for all users of the tests."""
    return make_password(PASSWORD, hasher=algorithm)


def make_project(owner=None, source: str = "print(1)", **values: Any) -> Project:
    number = next(_numbers)
    if owner is None and not values.get("guest_hash"):
        owner = make_user()
    return Project.objects.create(
        **{
            "owner": owner,
            "slug": f"project-{number}",
            "title": f"Project {number}",
            "draft": {ENTRY: source},
        }
        | values
    )


def make_run(project: Project | None = None, **values: Any) -> Run:
    """A queued run of the project's draft; no job is made for it."""
    project = project or make_project()
    revision = project.make_revision(project.draft, author=project.owner)
    limits = asdict(limits_of(project.owner.plan)) | values.pop("limits", {})
    values = {"owner_key": owner_key(project, project.owner), **values}
    return Run.objects.create(revision=revision, user=project.owner, limits=limits, **values)


def make_finished_run(project: Project | None = None, **values: Any) -> Run:
    now = timezone.now()
    return make_run(
        project,
        **{
            "status": Run.Status.SUCCEEDED,
            "started": now,
            "finished": now,
            "wall_seconds": 0.1,
            "message": "Finished.",
        }
        | values,
    )
