"""Runs are told apart by their parameters, and two of them are compared from where they are listed."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from runner.differing import differing
from tests.factories import make_finished_run, make_project

pytestmark = pytest.mark.django_db

DECLARED = [{"name": "fast", "default": 10}, {"name": "slow", "default": 40}]


def a_run(project: Any, **values: Any) -> Any:
    return make_finished_run(project, declared_params=DECLARED, params=values)


def test_a_list_shows_the_parameters_that_differ_and_no_others():
    project = make_project()
    one, two, other = a_run(project), a_run(project, fast=20), a_run(make_project(), slow=50)
    assert differing([one, two, other]) == {one.pk: {"fast": 10}, two.pk: {"fast": 20}, other.pk: {"slow": 50}}
    assert differing([one]) == {}


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
