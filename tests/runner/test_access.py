"""Who may open, change and stop what."""

from __future__ import annotations

import pytest
from django.core import signing

from runner.access import GUEST_COOKIE, hash_key
from runner.models import Project
from runner.views import keep_draft
from tests.factories import make_finished_run, make_project, make_user

pytestmark = pytest.mark.django_db

PRIVATE, UNLISTED, PUBLIC = Project.Visibility.values


@pytest.fixture
def alice():
    return make_user("alice")


@pytest.fixture
def client_for(client, alice):
    bob = make_user("bob")

    def login(who: str):
        if who != "visitor":
            client.force_login({"alice": alice, "bob": bob}[who])
        return client

    return login


@pytest.mark.parametrize(
    ("visibility", "who", "expected"),
    [
        (PRIVATE, "alice", 200), (PRIVATE, "bob", 404), (PRIVATE, "visitor", 404),
        (UNLISTED, "bob", 200), (PUBLIC, "visitor", 200),
    ],
)  # fmt: skip
def test_pages_of_a_project_and_its_runs_follow_its_visibility(client_for, alice, visibility, who, expected):
    run = make_finished_run(make_project(alice, visibility=visibility))
    client = client_for(who)
    for url in (run.project.base_url, run.get_absolute_url(), run.events_url, f"/r/{run.pk}/manifest.json"):
        assert client.get(url).status_code == expected, url


@pytest.mark.parametrize("visibility", [PRIVATE, UNLISTED, PUBLIC])
@pytest.mark.parametrize("who", ["bob", "visitor"])
def test_only_the_owner_changes_anything(client_for, alice, visibility, who):
    run = make_finished_run(make_project(alice, visibility=visibility))
    client = client_for(who)
    for action in ("run", "draft", "save", "settings", "delete"):
        response = client.post(
            f"{run.project.base_url}/{action}", {"source": "print('theirs')", "version": 1, "title": "x"}
        )
        assert response.status_code == 404, action
    for action in ("cancel", "input"):
        assert client.post(f"/r/{run.pk}/{action}").status_code == 404, action
    run.project.refresh_from_db()
    assert run.project.source == "print(1)"


def test_what_is_being_typed_is_nobody_elses_to_read(client_for, alice):
    project = make_project(alice, source="shown = 1", visibility=PUBLIC)
    visitor = client_for("visitor")
    assert "shown = 1" not in visitor.get(project.base_url).content.decode()  # never run: only a draft
    make_finished_run(project)
    Project.objects.filter(pk=project.pk).update(draft={"main.py": "secret_draft = 2"})
    for _ in range(21):
        make_finished_run(project, status="failed")
    page = visitor.get(project.base_url).content.decode()
    assert "secret_draft" not in page and "shown" in page


@pytest.mark.parametrize("who", ["visitor", "bob"])
def test_others_are_told_which_revision_they_see_and_can_open_a_copy_of_it(client_for, alice, who):
    shown = "shown = param('days', 20, 5, 60, step=5)"
    project = make_project(alice, source=shown, visibility=PUBLIC, title="Where it began")
    client = client_for(who)
    assert "Open a copy" not in client.get(project.base_url).content.decode(), "nothing has run yet"
    assert client.post(f"{project.base_url}/copy").status_code == 404
    revision = make_finished_run(project).revision
    assert "changed it since" not in client.get(project.base_url).content.decode()
    Project.objects.filter(pk=project.pk).update(draft={"main.py": "secret_draft = 2"})
    page = client.get(project.base_url).content.decode()
    assert "revision 1" in page and "Its author has changed it since" in page and "Open a copy" in page
    answer = client.post(f"{project.base_url}/copy")
    copy = Project.objects.exclude(pk=project.pk).get()
    assert answer.status_code == 303 and answer["Location"] == copy.edit_url
    assert copy.source == shown and copy.forked_from == revision and copy.owner != alice
    # Before it has run, too, the copy has what its text declares, and says where it is from.
    edited, swept = (client.get(url).content.decode() for url in (copy.edit_url, f"{copy.base_url}/sweep"))
    assert 'id="param-days"' in edited and 'name="low:days"' in swept
    link = f'href="{project.base_url}"'
    origin = f"forked from <a {link}>Where it began</a> by {alice.get_full_name()}"
    assert origin in edited
    if who == "bob":
        assert origin in client.get(copy.base_url).content.decode()
    Project.objects.filter(pk=project.pk).update(visibility="unlisted")
    assert link not in client.get(copy.edit_url).content.decode(), "its address was given to one and not to all"
    Project.objects.filter(pk=project.pk).update(visibility=PRIVATE)
    assert client.post(f"{project.base_url}/copy").status_code == 404
    Project.objects.filter(pk=project.pk).update(visibility=PUBLIC)
    assert "Others still see revision 1" in client_for("alice").get(project.base_url).content.decode()


def test_a_public_project_opens_read_only_for_others(client_for, alice):
    project = make_project(alice, visibility=PUBLIC)
    response = client_for("bob").get(project.edit_url)
    assert response.status_code == 302 and response["Location"] == project.base_url


def test_a_result_says_that_the_code_has_changed_since(client_for, alice):
    project = make_project(alice)
    make_finished_run(project)
    assert "changed since" not in client_for("alice").get(project.base_url).content.decode()
    keep_draft(project, project.source + "# more")
    assert "The result is of revision 1; the code has changed since." in (
        client_for("alice").get(project.base_url).content.decode()
    )


def test_a_guests_project_opens_with_the_signed_cookie_only(client):
    project = make_project(guest_hash=hash_key("secret key"), expires="2099-01-01T00:00Z")
    assert client.get(project.base_url).status_code == 404
    client.cookies[GUEST_COOKIE] = "secret key"
    assert client.get(project.base_url).status_code == 404
    client.cookies[GUEST_COOKIE] = signing.dumps("secret key", salt="runner.guest")
    assert client.get(project.base_url).status_code == 200


def test_an_expired_guest_project_is_gone(client):
    project = make_project(guest_hash=hash_key("secret key"), expires="2020-01-01T00:00Z")
    client.cookies[GUEST_COOKIE] = signing.dumps("secret key", salt="runner.guest")
    assert client.get(project.base_url).status_code == 404
