"""The visitor without an account, and how their work becomes theirs."""

from __future__ import annotations

import io
import re

import pytest
from django.core.management import call_command
from django.utils import timezone

from runner import claims_box
from runner.access import GUEST_COOKIE
from runner.models import ENTRY, Backtest, Project, Run
from runner.samples import FIRST_SAMPLE, SAMPLES
from runner.showcase import SITE_USER
from tests.factories import PASSWORD, make_project, make_run, make_user
from tests.runner.reported import claim_of, stored

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("services", "engine")]


def test_one_click_makes_a_project_and_starts_its_first_run(client):
    response = client.post("/try")
    project = Project.objects.get()
    assert response["Location"] == f"/g/{project.token}"
    assert project.owner is None and project.source == FIRST_SAMPLE.source
    assert response.cookies[GUEST_COOKIE]["httponly"] and response.cookies[GUEST_COOKIE]["max-age"] == 7 * 24 * 3600
    assert Run.objects.get().status == Run.Status.QUEUED
    page = client.get(response["Location"])
    assert page.status_code == 200
    assert "1 run at a time" in page.content.decode()


def test_a_second_click_opens_the_same_project(client):
    client.post("/try")
    assert "Continue with your" not in client.get("/").content.decode()
    client.post("/try")
    assert Project.objects.count() == 1


def test_the_start_page_opens_what_was_changed_and_runs_the_strategy_itself_in_a_new_copy(client):
    client.post("/try")
    project = Project.objects.get()
    project.draft = {ENTRY: "typed = 1"}
    project.save()
    for edit_url in (project.edit_url, None):
        if edit_url is None:
            client.post("/register", {"email": "new@example.com", "password1": PASSWORD, "password2": PASSWORD})
            edit_url = Project.objects.get().edit_url
        page = client.get("/").content.decode()
        assert re.search(f'<a [^>]*href="{edit_url}">.*Continue with your copy</a>', page)
        assert f'action="/templates/{FIRST_SAMPLE.slug}/copy"' in page and 'action="/try"' not in page
    Project.objects.update(template="kelly")
    assert "Continue with your project" in client.get("/").content.decode()


def test_signing_up_keeps_project_and_runs(client):
    client.post("/try")
    run, project = Run.objects.get(), Project.objects.get()
    project.draft = {ENTRY: "typed = 1"}
    project.save()
    given = {"email": "new@example.com", "password1": PASSWORD, "password2": PASSWORD, "next": project.base_url}
    page = client.post("/register", given, follow=True)
    project = Project.objects.get()
    assert page.redirect_chain[-1][0] == project.edit_url and "typed = 1" in page.content.decode()
    run.refresh_from_db()
    assert project.owner is not None and project.owner.email == "new@example.com"
    assert run.user == project.owner and project.expires is None
    assert client.get(project.edit_url).status_code == 200


def test_signing_in_keeps_them_too_and_only_in_this_browser(client):
    client.post("/try")
    alice = make_user("alice")
    stranger = type(client)()
    stranger.post("/login", {"login": "alice@example.com", "password": PASSWORD})
    assert Project.objects.get().owner is None
    client.post("/login", {"login": "alice@example.com", "password": PASSWORD})
    assert Project.objects.get().owner == alice


def test_every_sample_is_public_and_run_once_however_often_the_site_starts():
    for _ in range(2):
        call_command("load_samples", stdout=io.StringIO())
    assert Project.objects.filter(owner__username=SITE_USER, visibility="public").count() == len(SAMPLES)
    assert Run.objects.count() == len(SAMPLES)
    assert Run.objects.order_by("queued").first().project.slug == FIRST_SAMPLE.slug


def test_a_visitor_sees_the_sample_run_until_its_result_is_there_and_what_to_do_if_none_comes(client):
    assert "No stored result of this strategy" in client.get("/").content.decode()
    project = make_project(make_user(SITE_USER), slug=FIRST_SAMPLE.slug, visibility="public")
    run = make_run(project)
    assert "This strategy runs in a moment" in client.get("/").content.decode()
    Run.objects.filter(pk=run.pk).update(status=Run.Status.RUNNING, started=timezone.now())
    state = client.get("/showcase")
    assert (
        "This strategy is running now" in state.content.decode() and 'data-await="/showcase"' in state.content.decode()
    )
    Run.objects.filter(pk=run.pk).update(status=Run.Status.SUCCEEDED, finished=timezone.now())
    stored(run, claim_of("AAPL", 15, 5, bars=300))
    assert client.get("/showcase").status_code == 204
    page = client.get("/").content.decode()
    assert "Here are a strategy and what came of it." in page
    backtest = Backtest.objects.get()
    badge = claims_box.summary(claims_box.lines(backtest), claims_box.checking(backtest))["text"]
    assert f">{badge}</a>" in page and "doubt" in badge, "what Explore and the workspace say beside the figure"
    assert "Survivorship: not controlled" in page
