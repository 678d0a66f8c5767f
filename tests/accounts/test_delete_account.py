"""Does deleting an account remove everything it owns, and only for its owner?"""

from __future__ import annotations

from allauth.account.models import EmailAddress
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.test import Client

from accounts.models import User
from accounts.signals import account_deleting
from tests.accounts.people import PASSWORD, sign_in, signed_in_as


def test_the_password_deletes_the_account_its_sessions_and_addresses(as_alice, alice, bob):
    other = Client()
    sign_in(other, "alice")
    heard = []

    def receiver(sender, user, **kwargs):
        heard.append(user.username)
        assert User.objects.filter(pk=user.pk).exists(), "the rows still exist"

    account_deleting.connect(receiver)
    try:
        answer = as_alice.post("/account/delete", {"password": PASSWORD})
    finally:
        account_deleting.disconnect(receiver)
    assert (answer.status_code, answer.url) == (302, "/")
    assert heard == ["alice"]
    assert list(User.objects.values_list("username", flat=True)) == ["bob"]
    assert not EmailAddress.objects.filter(email="alice@example.com").exists()
    assert not UserSession.objects.exists()
    assert not any("_auth_user_id" in session.get_decoded() for session in Session.objects.all())
    assert other.get("/account/profile").status_code == 302
    assert sign_in(Client(), "alice").status_code == 200


def test_a_wrong_password_deletes_nothing(as_alice):
    answer = as_alice.post("/account/delete", {"password": "wrong"})
    assert answer.status_code == 422 and b"not the password" in answer.content
    assert User.objects.exists()


def test_a_visit_deletes_nothing(as_alice):
    assert as_alice.get("/account/delete").status_code == 200
    assert User.objects.exists()


def test_a_failing_receiver_keeps_the_account_whole(as_alice):
    def receiver(sender, user, **kwargs):
        raise RuntimeError("storage is away")

    account_deleting.connect(receiver)
    as_alice.raise_request_exception = False
    try:
        assert as_alice.post("/account/delete", {"password": PASSWORD}).status_code == 500
    finally:
        account_deleting.disconnect(receiver)
    assert User.objects.exists() and signed_in_as(as_alice) == "alice"


def test_without_a_password_the_username_confirms(client, alice):
    client.force_login(alice, backend="accounts.backends.AccountBackend")
    alice.set_unusable_password()
    alice.save()
    client.force_login(alice, backend="accounts.backends.AccountBackend")
    assert client.post("/account/delete", {"username": "bob"}).status_code == 422
    assert client.post("/account/delete", {"username": "alice"}).status_code == 302
    assert not User.objects.exists()


def test_projects_revisions_and_runs_go_along_and_bobs_stay(as_alice, alice, bob):
    from runner.models import Project, Revision, Run
    from tests.factories import make_finished_run, make_project

    for owner in (alice, bob):
        make_finished_run(make_project(owner))
    as_alice.post("/account/delete", {"password": PASSWORD})
    assert [project.owner for project in Project.objects.all()] == [bob]
    assert Revision.objects.count() == Run.objects.count() == 1
