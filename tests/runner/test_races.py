"""Two requests that want the same at once: both get an answer."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections, transaction
from django.http import Http404
from django.test import RequestFactory

from accounts.forms import SignUpForm
from runner.access import Viewer
from runner.middleware import DeletedMeanwhile
from runner.models import Project, Revision
from runner.starting import start_run
from runner.views import keep_draft
from tests.factories import PASSWORD, make_project, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("services")]


def at_once(*actions):
    """The results of all, each in a thread of its own that has its own connection."""
    barrier = threading.Barrier(len(actions))

    def act(action):
        try:
            barrier.wait(10)
            return action()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(act, actions))


def test_projects_of_one_title_made_at_once_have_addresses_of_their_own():
    user = make_user()
    made = at_once(*[lambda: Project.make(user, "Same Title", "print(1)")] * 4)
    assert sorted(each.slug for each in made) == ["same-title", "same-title-2", "same-title-3", "same-title-4"]


def test_deleting_waits_for_what_is_being_saved_and_takes_it_along():
    project, saved = make_project(), threading.Event()

    def save():
        with transaction.atomic():
            project.make_revision({"main.py": "print(2)"}, author=project.owner)
            saved.set()
            time.sleep(0.3)  # the deletion has begun by then

    def delete():
        saved.wait(10)
        Project.objects.get(pk=project.pk).remove()

    at_once(save, delete)
    assert not Project.objects.filter(pk=project.pk).exists() and not Revision.objects.exists()


def test_what_comes_after_a_deletion_finds_nothing():
    project = make_project()
    Project.objects.get(pk=project.pk).remove()
    viewer = Viewer(project.owner)
    for late in (
        lambda: project.make_revision({"main.py": "print(2)"}, author=project.owner),
        lambda: start_run(project, viewer, files={"main.py": "print(2)"}),
        lambda: keep_draft(project, "print(2)"),
        lambda: project.save_file("requirements.txt", "polars"),
    ):
        with pytest.raises(Project.DoesNotExist) as gone:
            late()
    with pytest.raises(Http404):
        DeletedMeanwhile(lambda request: None).process_exception(RequestFactory().get("/"), gone.value)


def test_a_name_that_was_taken_a_moment_ago_is_refused_on_the_form():
    form = SignUpForm({"email": "ada@example.com", "password1": PASSWORD, "username": "ada"})
    assert form.is_valid(), form.errors
    make_user("ada", email="other@example.com")
    user, answer = form.try_save(RequestFactory().post("/register"))
    assert user is None and b"That name is taken" in answer.content
