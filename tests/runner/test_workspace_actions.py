"""Saving, running and changing a project by its forms, with and without JavaScript."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from runner import claims_box
from runner.ending import publish_finished
from runner.events import Publisher, stream_key
from runner.models import ENTRY, Backtest, Project, Run
from runner.views import find_project, recent_runs
from tests.factories import make_finished_run, make_project, make_run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("services", "engine")]


@pytest.fixture
def project(client):
    project = make_project()
    client.force_login(project.owner)
    return project


def test_run_without_javascript_leads_to_the_run_page(client, project):
    response = client.post(f"{project.base_url}/run", {"source": "print(2)\r\n", "param:lookback": "20"})
    run = Run.objects.get()
    assert response.status_code == 303 and response["Location"] == f"/r/{run.pk}"
    assert run.revision.files == {ENTRY: "print(2)\n"}
    assert run.params == {"lookback": 20}
    project.refresh_from_db()
    assert project.source == "print(2)\n"


def test_run_by_htmx_answers_with_the_panel(client, project):
    response = client.post(f"{project.base_url}/run", {"source": "print(2)"}, headers={"HX-Request": "true"})
    assert response.status_code == 200
    assert f'data-run="{Run.objects.get().pk}"' in response.content.decode()


def test_a_refused_run_keeps_the_text_and_says_why(client, project):
    for _ in range(project.owner.plan.concurrent_runs):
        make_run(project)
    response = client.post(f"{project.base_url}/run", {"source": "precious = 1"}, headers={"HX-Request": "true"})
    assert response.status_code == 422 and "still in progress" in response.content.decode()
    project.refresh_from_db()
    assert project.source == "precious = 1"


def test_unchanged_source_is_the_same_revision(client, project):
    for expected_unchanged in (False, True):
        response = client.post(f"{project.base_url}/save", {"source": "a = 1"}, headers={"Accept": "application/json"})
        assert response.json()["revision"] == 1 and response.json()["unchanged"] is expected_unchanged


def test_runs_are_numbered_within_their_project_in_the_order_they_were_asked_for(client, project):
    make_run()
    runs = [make_run(project) for _ in range(3)]
    assert [run.number for run in runs] == [1, 2, 3]
    assert [run.number for run in recent_runs(project)] == [3, 2, 1]
    assert "Run 3" in client.get(f"{project.base_url}/_runs").content.decode()


def test_a_draft_changed_elsewhere_is_not_overwritten(client, project):
    url = f"{project.base_url}/draft"
    assert client.post(url, {"source": "first", "version": 1}).json()["saved"]
    response = client.post(url, {"source": "second", "version": 1})
    assert response.status_code == 409 and response.json()["source"] == "first"
    project.refresh_from_db()
    assert project.source == "first"


def test_a_draft_that_another_request_of_the_same_page_has_stored_is_stored(client, project):
    assert client.post(f"{project.base_url}/save", {"source": "mine"}, headers={"Accept": "application/json"}).json()
    late = client.post(f"{project.base_url}/draft", {"source": "mine", "version": 1})
    assert late.status_code == 200 and late.json()["saved"]
    project.refresh_from_db()
    assert (project.source, project.draft_version) == ("mine", late.json()["version"])


@pytest.mark.parametrize("source", ["x\x00y", "x" * 600_000])
def test_text_that_cannot_be_kept_is_refused_with_a_sentence(client, project, source):
    response = client.post(f"{project.base_url}/draft", {"source": source, "version": 1})
    assert response.status_code == 422 and response.json()["message"].endswith(".")


@pytest.mark.parametrize(
    "fields",
    [
        {"param:" + "x" * 80: "1"},
        {"param:a b": "1"},
        {"param:x": "1" * 300},
        {f"param:p{n}": "1" for n in range(60)},
    ],
)
def test_malformed_parameters_are_refused(client, project, fields):
    response = client.post(f"{project.base_url}/run", {"source": "1"} | fields, headers={"HX-Request": "true"})
    assert response.status_code == 422
    assert not Run.objects.exists()


def test_an_unconfirmed_address_does_not_publish(client, project):
    response = client.post(
        f"{project.base_url}/settings", {"visibility": "public"}, headers={"Accept": "application/json"}
    )
    assert response.status_code == 422 and "Confirm your e-mail address" in response.json()["message"]
    assert response.json()["confirm"] == "/account/email"
    project.refresh_from_db()
    assert project.visibility == Project.Visibility.PRIVATE


def test_title_and_visibility_change(client, project):
    project.owner.emailaddress_set.create(email=project.owner.email, verified=True, primary=True)
    asked = {"title": "  New\tname ", "visibility": "public"}
    client.post(f"{project.base_url}/settings", {**asked, "confirmed": "yes"})
    project.refresh_from_db()
    assert (project.title, project.visibility) == ("New name", Project.Visibility.PUBLIC)


def test_sharing_asks_first_and_says_what_becomes_visible(client, project):
    make_finished_run(project, manifest={"data": {"private": ["mine/prices"]}})
    make_finished_run(project, manifest={"data": {"private": []}})
    where, asked = f"{project.base_url}/settings", {"title": "Kept secret", "visibility": "unlisted"}
    page = client.post(where, asked).content.decode()
    told = client.post(where, asked, headers={"Accept": "application/json"}).json()
    project.refresh_from_db()
    assert project.visibility == Project.Visibility.PRIVATE and project.title != "Kept secret", "nothing is changed"
    lines = " ".join(told["share"]["lines"])
    for part in (project.title, "revision 1", "All 2 runs", "1 of them read data that are yours alone"):
        assert part in lines, part
    assert 'name="confirmed"' in page and "Whoever has its address" in page and "Explore" not in lines
    confirmed = {**asked, "confirmed": "yes"}
    page = client.post(where, {**confirmed, "back": "page"}, follow=True)
    project.refresh_from_db()
    assert project.visibility == Project.Visibility.UNLISTED
    # Whoever came from its page is there again, and reads what happened, for whom, where, and how it is undone.
    assert page.redirect_chain == [(project.base_url, 303)]
    said = page.content.decode()
    for part in ("whoever has its link sees it", f'value="{settings.SITE_URL}{project.base_url}"', "choose “Private”"):
        assert part in said, part
    told = client.post(where, {"visibility": "private"}, headers={"Accept": "application/json"}).json()
    project.refresh_from_db()
    assert project.visibility == Project.Visibility.PRIVATE, "what shows less to others needs no question"
    assert "only you see it" in told["who"]
    page = client.post(where, confirmed, follow=True)
    assert page.redirect_chain == [(project.edit_url, 303)], "in the editor, without scripts"
    assert f"The link: {settings.SITE_URL}{project.base_url} To take it back" in page.content.decode()
    renamed = client.post(where, {"title": "Less"}, headers={"Accept": "application/json"}).json()
    assert renamed["title"] == "Less" and not renamed["who"], "nobody sees more or less of it"


def test_deleting_a_project_deletes_its_runs_and_their_files(client, project, django_capture_on_commit_callbacks):
    run = make_finished_run(project)
    publisher = Publisher(run.pk)
    publisher.publish({"type": "stdout", "text": "private", "t": 0.0})
    assert publisher.recording.directory.exists() and publisher.redis.exists(stream_key(run.pk))
    assert client.get(f"{project.base_url}/delete").status_code == 200
    with django_capture_on_commit_callbacks(execute=True):
        client.post(f"{project.base_url}/delete")
    assert not publisher.recording.directory.exists() and not publisher.redis.exists(stream_key(run.pk))
    assert not Project.objects.filter(pk=project.pk).exists() and not Run.objects.filter(pk=run.pk).exists()


def test_a_waiting_run_is_cancelled_at_once(client, project):
    run = make_run(project)
    # From the page of a sweep one comes back to it.
    assert client.post(f"/r/{run.pk}/cancel", {"back": "sweep"})["Location"] == f"/r/{run.pk}/sweep"
    run.refresh_from_db()
    assert run.status == Run.Status.CANCELLED and run.finished
    events = client.get(f"/r/{run.pk}/events").json()
    assert events["finished"] and events["events"][-1]["status"] == "cancelled"


def test_a_run_is_told_to_be_over_with_its_last_event_and_not_while_that_is_still_written(client, project):
    run = make_finished_run(project)
    publisher = Publisher(run.pk)
    publisher.publish({"type": "stdout", "text": "all of it", "t": 0.0})
    assert not client.get(run.events_url, {"after": 1}).json()["finished"]
    publish_finished(publisher, {"status": "succeeded"})
    told = client.get(run.events_url, {"after": 1}).json()
    assert told["finished"] and [event["type"] for event in told["events"]] == ["finished"]
    assert client.get(run.events_url, {"after": 2}).json()["finished"]


@pytest.mark.parametrize("rows", [1, 12])
def test_the_number_of_queries_does_not_grow_with_the_rows(client, project, django_assert_max_num_queries, rows):
    for _ in range(rows):
        other = make_project(project.owner, visibility="public")
        run = make_finished_run(other)
        day = datetime(2009, 1, 2, tzinfo=UTC)
        Backtest.objects.create(run=run, position=0, start=day, end=day, cash=1e4, verified=True)
        last = make_finished_run(project)
    for _ in range(-(-rows // claims_box.MADE_AT_ONCE)):  # their badges are made some at a time, and kept
        client.get("/explore")
    for url, most in (
        ("/dashboard", 14),
        (project.edit_url, 16),
        (f"{project.base_url}/_runs", 8),
        ("/explore", 9),
        (f"/u/{project.owner.username}", 9),
        (reverse("runner:verification", args=[last.pk]), 12),
        (reverse("runner:choose-compared", args=[last.pk]), 12),
    ):
        with django_assert_max_num_queries(most) as asked:
            assert client.get(url).status_code == 200
        # What would be compared and read there are rows that may have megabytes.
        assert not any('DISTINCT "runner_run"' in query["sql"] for query in asked.captured_queries), url
        assert not any('"runner_backtest"."orders"' in query["sql"] for query in asked.captured_queries), url


def test_a_project_is_found_by_the_indexes_whatever_the_case_of_its_address(client, project):
    shout = project.base_url.upper().replace("/P/", "/p/")
    assert client.get(shout).status_code == client.get(project.base_url).status_code == 200
    with CaptureQueriesContext(connection) as asked:
        find_project(Project.objects.all(), project.owner.username.upper(), project.slug.upper())
    # So many of both that the planner has a reason, whatever it has counted in the tests before.
    people = get_user_model()
    people.objects.bulk_create(
        [people(username=f"one-of-many-{number}", plan=project.owner.plan) for number in range(300)]
    )
    Project.objects.bulk_create([Project(owner=project.owner, title="One", slug=f"{n}-of-many") for n in range(300)])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE accounts_user, runner_project")
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {asked.captured_queries[0]['sql']}")
        looked_up = [line for (line,) in cursor.fetchall()]
    # Which of the two is asked first is the planner's choice; neither may be sought row by row.
    assert any("Index Cond" in line and "lower" in line for line in looked_up), looked_up
    assert not any("upper(" in line for line in looked_up), looked_up
