"""What a plan allows is counted before a run is made, and our own failures do not count."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import Plan
from playground.templatetags.formatting import prose_date
from runner import quotas
from runner.access import GUEST_COOKIE, Viewer
from runner.claiming import place_in_queue
from runner.models import ENTRY, Project, Run
from runner.quotas import QuotaExceeded, check_run, limits_in_words, note_examined
from runner.starting import start_run
from runner.templatetags.leading import leading
from tests.factories import make_finished_run, make_project, make_run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("services", "engine")]


def start(project, **values):
    return start_run(project, Viewer(project.owner), files={ENTRY: "print(1)"}, **values)


def test_runs_at_the_same_time_are_limited_by_the_plan():
    project = make_project()
    limit = project.owner.plan.concurrent_runs
    for _ in range(limit):
        start(project)
    with pytest.raises(QuotaExceeded, match="still in progress"):
        start(project)
    assert Run.objects.count() == limit


def test_a_run_whose_tests_go_on_leaves_its_place_to_one_more():
    project = make_project()
    runs = [start(project) for _ in range(project.owner.plan.concurrent_runs)]
    note_examined(runs[0])
    note_examined(start(project))
    with pytest.raises(QuotaExceeded, match="still in progress"):
        start(project)


def test_runs_a_day_are_limited_and_lost_runs_do_not_count():
    project = make_project()
    plan = project.owner.plan
    plan.runs_per_day = 2
    plan.save()
    make_finished_run(project)
    make_finished_run(project, status=Run.Status.CRASHED)
    start(project)
    Run.objects.in_progress().update(status=Run.Status.CANCELLED, finished=timezone.now())
    with pytest.raises(QuotaExceeded, match="2 runs in 24 hours"):
        start(project)


def test_limits_of_a_run_are_those_of_the_plan():
    project = make_project()
    Plan.objects.filter(pk=project.owner.plan_id).update(cpu_seconds=7, memory_mb=123)
    project.owner.refresh_from_db()
    run = start(project)
    assert (run.limits["cpu_seconds"], run.limits["memory_bytes"]) == (7, 123_000_000)


def test_cores_of_the_plan_reach_the_box_and_stand_beside_the_button():
    project = make_project()
    plan = project.owner.plan
    assert start(project).limits["cores"] == plan.cores == 1
    assert "cores" not in {limit["name"] for limit in limits_in_words(plan)}
    Plan.objects.filter(pk=plan.pk).update(cores=1.5)
    project.owner.plan.refresh_from_db()
    assert start(project).limits["cores"] == 1.5
    assert {"name": "cores", "text": "1.5 processor cores"} in limits_in_words(project.owner.plan)


def test_a_plan_without_cores_cannot_be_stored():
    with pytest.raises(IntegrityError), transaction.atomic():
        Plan.objects.update(cores=0)


def test_plans_of_a_new_installation_differ_in_parallel_work():
    plans = {plan.code: (plan.cores, plan.parallel_boxes) for plan in Plan.objects.all()}
    assert plans == {"guest": (1, 0), "free": (1, 2), "pro": (2, 8)}


def test_a_shorter_time_limit_may_be_asked_for_but_not_a_longer_one():
    project = make_project()
    assert start(project, wall_seconds=2).limits["wall_seconds"] == 2
    assert start(project, wall_seconds=10**6).limits["wall_seconds"] == project.owner.plan.wall_seconds


def test_a_guest_has_one_run_at_a_time_and_their_neighbour_one_of_their_own(client):
    assert client.post("/try").status_code == 303
    project = Project.objects.get()
    response = client.post(f"{project.base_url}/run", {"source": "print(2)"}, follow=True)
    assert "still in progress" in response.content.decode()
    assert Run.objects.count() == 1
    # A second browser at the same address.
    type(client)().post("/try")
    assert Run.objects.count() == 2


def test_a_class_behind_one_address_has_runs_of_its_own_each_and_may_copy_without_one(client):
    Plan.objects.filter(is_for_guests=True).update(runs_per_day=1)
    neighbours = [type(client)() for _ in range(40)]
    for each in neighbours:
        assert "was not run" not in each.post("/try", follow=True).content.decode()
    assert Run.objects.count() == Project.objects.count() == 40
    Run.objects.update(status=Run.Status.SUCCEEDED, finished=timezone.now())
    copied = neighbours[0].post("/templates/kelly/copy", follow=True).content.decode()
    assert "1 runs in 24 hours" in copied and "500 runs a day of its own" in copied
    assert Run.objects.count() == 40 and Project.objects.filter(template="kelly").count() == 1


def test_all_guests_of_one_address_share_a_larger_days_runs_and_projects(client):
    Plan.objects.filter(is_for_guests=True).update(address_runs_per_day=2, max_projects=1)
    for _ in range(3):  # of which two are refused, and no project of the address
        client.post("/templates/kelly/copy")
    type(client)().post("/try")
    run = Run.objects.first()
    answer = type(client)().post("/try", follow=True).content.decode()
    assert "2 projects in 24 hours from your network address" in answer
    for page in (answer, type(client)().post("/templates/kelly/copy", follow=True).content.decode()):
        assert page.count("an account is free") == 1 and "With an account" not in page
    assert Project.objects.count() == Run.objects.count() == 2
    Run.objects.update(status=Run.Status.SUCCEEDED, finished=timezone.now())
    with pytest.raises(QuotaExceeded, match="2 runs in 24 hours from your network address"):
        check_run(Viewer(None, "another"), Plan.objects.for_guests(), run.address_hash)
    check_run(Viewer(None, "another"), Plan.objects.for_guests(), "elsewhere")


def test_a_guest_with_more_projects_than_the_plan_has_loses_none_and_is_told_of_the_limit(client):
    Plan.objects.filter(is_default=True).update(max_projects=2)
    for slug in ("kelly", "momentum", "heston"):
        client.post(f"/templates/{slug}/copy")
    run = Run.objects.in_progress().get()
    page = client.get(run.project.edit_url).content.decode()
    assert f"A guest’s project, kept until {prose_date(run.project.expires)}" in page
    page = client.post("/register", {"email": "ada@example.org", "password1": "a quiet harbour 91"}, follow=True)
    assert "3 projects now, more than the 2 of your plan" in (told := page.content.decode()), told
    assert "a new one can be made after 2 are deleted" in told
    owner = Project.objects.first().owner
    assert Project.objects.filter(owner=owner, expires=None).count() == 3 and Run.objects.get().user == owner
    assert client.get(run.get_absolute_url()).status_code == 200
    refused = client.post("/new", {"title": "Fourth"})
    assert "You have 3 projects, more than the 2 of your plan" in refused.content.decode()
    assert '<a href="/dashboard">Delete 2 to make another</a>' in refused.content.decode()
    for project in Project.objects.all()[:2]:
        client.post(f"{project.base_url}/delete", {"confirmed": "yes"})
    assert client.post("/new", {"title": "Fourth"}).status_code == 303
    assert Project.objects.filter(owner=owner).count() == 2


def test_a_count_that_was_dropped_meanwhile_begins_anew(monkeypatch):
    monkeypatch.setattr(cache, "add", lambda *_: False)  # it was there a moment ago
    quotas.check_guest_project(Plan.objects.for_guests(), "address")


def test_a_project_whose_first_run_is_refused_is_there_and_says_why(client):
    source = "# requirements: git+https://example.org/x\n"
    shared = make_project(source=source, visibility=Project.Visibility.PUBLIC)
    make_finished_run(shared)
    answer = client.post(f"{shared.base_url}/copy")
    copy = Project.objects.get(owner=None)
    assert (answer.status_code, answer["Location"]) == (303, copy.edit_url) and GUEST_COOKIE in answer.cookies
    page = client.get(copy.edit_url).content.decode()
    assert "was not run" in page and "not from version control" in page
    client.post("/try")  # which opens it again
    assert "was not run" in client.get(copy.edit_url).content.decode() and Run.objects.count() == 1


def test_new_cookies_at_one_address_have_so_many_runs_in_progress_together(client, monkeypatch):
    monkeypatch.setattr(quotas, "MOST_GUEST_RUNS_OF_AN_ADDRESS", 2)
    for _ in range(2):
        type(client)().post("/try")
    newcomer = type(client)()
    answer = newcomer.post("/try", follow=True).content.decode()
    there = Project.objects.latest("pk").base_url
    register = f"/register?next={there}"
    assert "2 runs are in progress from your network address" in answer
    assert f'<a href="{register}">Sign up</a>: an account is free' in answer
    panel = newcomer.post(f"{there}/run", {"source": "1"}, headers={"HX-Request": "true"})
    assert (
        panel.status_code == 422 and f'<a href="{register}">Sign up</a>: an account is free' in panel.content.decode()
    )
    assert f'<input type="hidden" name="next" value="{there}">' in newcomer.get(register).content.decode()
    assert (Run.objects.count(), Project.objects.count()) == (2, 3)
    Run.objects.filter(pk=Run.objects.first().pk).update(status=Run.Status.SUCCEEDED, finished=timezone.now())
    newcomer.post("/try")
    assert Run.objects.in_progress().count() == 2


def test_what_is_told_stays_text_but_for_links_of_ours(client):
    Plan.objects.filter(is_for_guests=True).update(max_projects=1)
    client.post("/try")
    project = Project.objects.get()
    page = client.post("/templates/kelly/copy", follow=True).content.decode()
    register = '<a href="/register?next=/templates/">Sign up</a>:'
    assert f'<a href="{project.edit_url}">Delete one to make another</a>. {register}' in page
    stranger = {"request": type(client)().get("/docs").wsgi_request}  # who has no project to delete
    told = leading(stranger, "<b>Sign up</b> & 'Delete one to make another'. Sign up")
    assert told == (
        '&lt;b&gt;<a href="/register?next=/docs">Sign up</a>&lt;/b&gt; &amp; '
        "&#x27;Delete one to make another&#x27;. Sign up"
    )


def test_the_place_in_the_queue_is_counted():
    first, second = make_run(), make_run()
    assert (place_in_queue(first.pk), place_in_queue(second.pk)) == (1, 2)
