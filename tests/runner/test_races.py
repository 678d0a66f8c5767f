"""Two requests that want the same at once: both get an answer."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from django.db import connection, connections, transaction
from django.http import Http404
from django.test import Client, RequestFactory
from django.urls import reverse
from qfp.cells import split

from accounts.forms import SignUpForm
from accounts.models import Plan
from marketdata import wanting
from marketdata.models import Fetch, Provider
from marketdata.providers.errors import QuotaExceeded
from runner import quotas
from runner.access import Viewer
from runner.cells import start_cells
from runner.middleware import DeletedMeanwhile
from runner.models import Project, Revision, Run
from runner.starting import start_run
from runner.views import keep_draft
from tests.factories import PASSWORD, make_finished_run, make_project, make_user

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


def held_up(model, *actions):
    """The results of all, each of which goes on once all of them wait: at first nobody can write into this table."""
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {model._meta.db_table} IN EXCLUSIVE MODE")
            going = pool.submit(at_once, *actions)
            wait_for_locks(len(actions))
        return going.result(20)


def wait_for_locks(count):
    with connection.cursor() as cursor:
        for _ in range(1000):
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            if cursor.fetchone()[0] >= count:
                return
            time.sleep(0.01)
        pytest.fail("nobody waits")


def client_of(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_of_two_projects_at_once_where_there_is_room_for_one_one_is_made():
    user = make_user()
    Plan.objects.filter(pk=user.plan_id).update(max_projects=1)
    actions = [
        partial(client_of(user).post, reverse("runner:new-project"), {"title": title}) for title in ("One", "Other")
    ]
    assert sorted(answer.status_code for answer in held_up(Project, *actions)) == [303, 422]
    assert Project.objects.filter(owner=user).count() == 1


def test_of_two_verifications_at_once_one_is_begun():
    ada, reader = make_user(), make_user()
    runs = [
        make_finished_run(make_project(ada, visibility="public"), manifest={"result_sha256": "0" * 64})
        for _ in range(2)
    ]
    addresses = [reverse("runner:verification", args=[run.pk]) for run in runs]
    for user in (reader, ada):  # one has somebody else's made again, the other her own
        held_up(Run, *[partial(client_of(user).post, address) for address in addresses])
        assert Run.objects.filter(verification__state="waiting").count() == 1
        Run.objects.update(verification={})


def test_of_two_fetches_at_once_where_there_is_room_for_one_one_is_made():
    Provider.objects.create(name="ecb")  # or one of both would wait for its row, before either has counted
    waiting = {"provider": "ecb", "interval": "1d", "status": Fetch.Status.QUEUED}
    Fetch.objects.bulk_create(
        Fetch(symbol=f"X{number}", **waiting) for number in range(wanting.UNFINISHED_OF_VISITORS - 1)
    )

    def want(symbol):
        try:
            return wanting.want(None, "ecb", symbol)
        except QuotaExceeded:
            return None

    assert held_up(Fetch, partial(want, "USD"), partial(want, "CHF")).count(None) == 1


def test_a_cell_and_a_whole_run_of_one_project_do_not_wait_for_each_other():
    project = make_project()
    viewer, files = Viewer(project.owner), {"main.py": "print(1)"}
    Plan.objects.filter(pk=project.owner.plan_id).update(concurrent_runs=2)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            quotas.hold(viewer, "")
            cells = pool.submit(
                at_once, lambda: start_cells(project, viewer, files=files, cells=split(files["main.py"]))
            )
            wait_for_locks(1)
            start_run(project, viewer, files=files)
        assert len(cells.result(20)) == 1
