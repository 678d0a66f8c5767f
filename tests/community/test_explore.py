"""The gallery and the profiles show what is public, and nothing else."""

from __future__ import annotations

import pytest

from tests.factories import make_finished_run, make_project, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice():
    return make_user("alice")


@pytest.mark.parametrize("path", ["/explore", "/u/alice"])
def test_only_public_projects_are_listed(client, alice, path):
    for visibility in ("public", "unlisted", "private"):
        make_finished_run(make_project(alice, visibility=visibility, title=f"The {visibility} one"))
    page = client.get(path).content.decode()
    assert "The public one" in page
    assert "The unlisted one" not in page and "The private one" not in page


def test_titles_are_text(client, alice):
    make_project(alice, visibility="public", title="<script>window.QFPXSS=1</script>{{ 7|add:7 }}")
    page = client.get("/explore").content.decode()
    assert "<script>window" not in page and "&lt;script&gt;" in page and "{{ 7|add:7 }}" in page


def test_a_profile_of_nobody_is_not_found(client):
    assert client.get("/u/nobody-here").status_code == 404
