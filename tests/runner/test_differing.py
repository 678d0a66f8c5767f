"""Runs are told apart by their parameters, and two of them are compared from where they are listed."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from community.gallery import public_projects
from runner import sharing
from runner.differing import differing
from tests.factories import make_finished_run, make_project, make_user

pytestmark = pytest.mark.django_db

DECLARED = [{"name": "fast", "default": 10}, {"name": "slow", "default": 40}]


def a_run(project: Any, **values: Any) -> Any:
    return make_finished_run(project, declared_params=DECLARED, params=values)


def test_a_list_shows_the_parameters_that_differ_and_no_others():
    project = make_project()
    one, two, other = a_run(project), a_run(project, fast=20), a_run(make_project(), slow=50)
    assert differing([one, two, other]) == {one.pk: {"fast": 10}, two.pk: {"fast": 20}, other.pk: {"slow": 50}}
    assert differing([one]) == {}
    assert differing([a_run(project), a_run(project, fast=10.0)]) == {}, "a form sends one for the other"
    large = [a_run(project, fast=value) for value in (2**53, 2**53 + 1, 10**400)]
    assert [differing(large)[run.pk]["fast"] for run in large] == [2**53, 2**53 + 1, 10**400]


def test_the_values_that_a_sweep_varied_do_not_stand_beside_the_figure_of_those_it_chose():
    project = make_project()
    search = {"method": "grid", "space": {"fast": {"values": [10, 20]}}}
    sweep = make_finished_run(project, declared_params=DECLARED, params={"slow": 90}, search=search)
    one, two = a_run(project), a_run(project, fast=20)
    assert differing([sweep, one, two])[sweep.pk] == {"slow": 90}


def test_two_runs_are_picked_where_they_are_listed(client):
    project = make_project()
    one, two = a_run(project), a_run(project, fast=20)
    client.force_login(project.owner, backend="accounts.backends.AccountBackend")
    where = reverse("runner:compare-two")
    for page in (project.base_url, f"{project.base_url}/_runs"):
        text = client.get(page).content.decode()
        assert f'action="{where}"' in text and f'value="{two.pk}"' in text and "fast=20" in text
    assert f"/r/{two.pk}/compare" in client.get(two.get_absolute_url()).content.decode()
    choice = client.get(f"/r/{two.pk}/compare").content.decode()
    assert f"run={two.pk}&amp;run={one.pk}" in choice and "fast=10" in choice
    answer = client.get(where, {"run": [str(two.pk), str(one.pk)]})
    assert answer["Location"] == reverse("runner:compare", args=[one.pk, two.pk]), "the older one first"
    assert client.get(where, {"run": [str(two.pk)]})["Location"] == f"/r/{two.pk}/compare"
    assert client.get(where, follow=True).context["messages"]
    assert client.get(where, {"run": ["x"]}).status_code == 404


def test_nobody_else_sees_what_runs_there_are(client):
    run = a_run(make_project())
    assert client.get(f"/r/{run.pk}/compare").status_code == 404
    assert client.get(reverse("runner:compare-two"), {"run": [str(run.pk)] * 2}, follow=True).status_code == 404


@pytest.mark.parametrize("signed_in", [True, False])
def test_of_a_shared_project_others_are_told_of_the_run_that_its_page_shows_and_of_no_other(client, signed_in):
    project = make_project(source="KEY = 'not for others'", visibility="public")
    before, same = a_run(project), a_run(project, fast=11)
    project.draft = {"main.py": "KEY = ''"}
    earlier, shown = a_run(project), a_run(project, fast=20)
    private = a_run(make_project())
    owner = Client()
    owner.force_login(project.owner, backend="accounts.backends.AccountBackend")
    if signed_in:
        client.force_login(make_user(), backend="accounts.backends.AccountBackend")

    def told(browser: Client, path: str) -> set[Any]:
        text = browser.get(path).content.decode()
        return {run for run in (before, same, earlier, shown) if str(run.pk) in text}

    for run in (shown, earlier):
        for page in (f"/r/{run.pk}/compare", f"/r/{run.pk}/manifest"):
            assert told(client, page) == {run, shown}
            assert told(owner, page) == {before, same, earlier, shown}
    for page in (project.base_url, shown.get_absolute_url(), f"/api/v1/runs/{shown.pk}"):
        assert told(client, page) == {shown}
    assert not told(client, "/explore") and not told(client, f"/u/{project.owner.username}")
    for pair in ((shown, private), (private, shown)):
        assert client.get(reverse("runner:compare", args=[run.pk for run in pair])).status_code == 404


def test_others_see_the_newest_code_that_has_run_though_older_code_ran_after_it(client):
    project = make_project(source="one = 1", visibility="public")
    old = make_finished_run(project)
    project.draft = {"main.py": "two = 2"}
    project.save()
    new = make_finished_run(project)
    walk = make_finished_run(project)  # from the page of the old sweep
    walk.revision = old.revision
    walk.save()
    assert sharing.last_success(project) == new and public_projects().get().run_id == new.pk
    page = client.get(project.base_url).content.decode()
    assert "revision 2" in page and "has changed it since" not in page and str(walk.pk) not in page
