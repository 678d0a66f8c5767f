"""Is an access token shown once, kept as a hash, and its owner's alone to make, see and revoke?"""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
from django.core import mail
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts import tokens
from accounts.models import AccessToken
from tests.accounts.people import PASSWORD, sign_in

LAPTOP = {"name": "my laptop", "scope": "read", "days": "90"}


def shown_in(response) -> list[str]:
    return re.findall(r"qfp_[A-Za-z0-9]{40}", response.content.decode())


def test_a_token_is_shown_once_mailed_without_itself_and_stored_as_a_hash(as_alice, alice, caplog):
    with caplog.at_level("INFO"):
        made = as_alice.post("/account/tokens", LAPTOP)
    (secret,) = shown_in(made)
    assert made.status_code == 200 and "no-store" in made["Cache-Control"]
    assert tokens.find(secret).user == alice
    for path in ("/account/tokens", "/account/security", "/account/profile"):
        page = as_alice.get(path)
        assert not shown_in(page) and secret[12:] not in page.content.decode()
    assert b"my laptop" in as_alice.get("/account/tokens").content
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM accounts_accesstoken")
        assert secret[12:] not in str(cursor.fetchall())
    (told,) = [message for message in mail.outbox if message.subject == "Access token made"]
    assert told.to == ["alice@example.com"] and "my laptop" in told.body and "/account/tokens" in told.body
    assert not re.search(r"qfp_[A-Za-z0-9]{9,}", told.body + caplog.text) and secret[:12] in caplog.text


def test_a_token_is_shown_also_when_no_mail_can_be_sent(as_alice, alice, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    (secret,) = shown_in(as_alice.post("/account/tokens", LAPTOP))
    assert tokens.find(secret).user == alice


def test_scope_and_expiry_are_as_chosen_and_nothing_else_can_be(as_alice, alice):
    as_alice.post("/account/tokens", LAPTOP)
    as_alice.post("/account/tokens", {"name": "server", "scope": "read+run", "days": "0"})
    server, laptop = alice.access_tokens.all()
    assert (laptop.may_run, server.may_run, server.expires) == (False, True, None)
    assert timedelta(days=89) < laptop.expires - timezone.now() <= timedelta(days=90)
    for wrong in ({"days": "100000"}, {"days": "-1"}, {"scope": "admin"}, {"name": ""}, {"name": "a\u202eb"}, {}):
        refused = as_alice.post("/account/tokens", LAPTOP | wrong)
        # The last, which is whole, has a name that is there: sending the form again makes no second one.
        assert refused.status_code == 422 and not shown_in(refused), wrong
    assert alice.access_tokens.count() == 2


def test_there_are_twenty_at_most(as_alice, alice):
    for number in range(tokens.MOST):
        tokens.make(alice, f"number {number}", "read", 0)
    refused = as_alice.post("/account/tokens", LAPTOP)
    assert refused.status_code == 422 and "Revoke one" in refused.content.decode()
    as_alice.post(f"/account/tokens/{alice.access_tokens.first().pk}/revoke")
    assert shown_in(as_alice.post("/account/tokens", LAPTOP))


def test_making_one_long_after_signing_in_asks_for_the_password_first(as_alice, alice):
    session = as_alice.session
    session["account_authentication_methods"][0]["at"] -= 3600
    session.save()
    asked = as_alice.post("/account/tokens", LAPTOP)
    assert asked.status_code == 302 and asked.url.startswith("/account/reauthenticate")
    assert not AccessToken.objects.exists() and not mail.outbox
    as_alice.post(asked.url, {"password": "wrong"})
    assert not AccessToken.objects.exists()
    done = as_alice.post(asked.url, {"password": PASSWORD}, follow=True)
    assert len(shown_in(done)) == 1 and alice.access_tokens.count() == 1


def test_only_its_owner_revokes_it_by_a_form_of_ours(as_alice, bob):
    theirs, secret = tokens.make(bob, "bob's", "read", 30)
    assert as_alice.post(f"/account/tokens/{theirs.pk}/revoke").status_code == 404
    assert html.escape("bob's") not in as_alice.get("/account/tokens").content.decode()
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(bob)
    for path in (f"/account/tokens/{theirs.pk}/revoke", "/account/tokens"):
        assert strict.post(path, LAPTOP).status_code == 403
    assert strict.get(f"/account/tokens/{theirs.pk}/revoke").status_code == 405
    assert tokens.find(secret) == theirs
    client = Client()
    sign_in(client, "bob")
    client.post(f"/account/tokens/{theirs.pk}/revoke")
    assert tokens.find(secret) is None


@pytest.mark.parametrize("end", ["delete", "lock"])
def test_without_its_account_a_token_is_nothing(alice, end):
    _, secret = tokens.make(alice, "script", "read+run", 0)
    if end == "delete":
        alice.delete()
    else:
        type(alice).objects.filter(pk=alice.pk).update(is_active=False)
        assert tokens.find(secret) is None
        alice.is_active = False
        alice.save()
        alice.is_active = True  # unlocked again
        alice.save()
    assert tokens.find(secret) is None and not AccessToken.objects.exists()


def test_every_letter_counts(alice):
    made, secret = tokens.make(alice, "script", "read", 30)
    for wrong in (secret[:-1], secret + "a", secret[:-1] + ("a" if secret[-1] != "a" else "b"), secret.upper(), "",
                  secret[:12], made.sha256, f"{secret}\n", "qfp_" + "é" * 40):  # fmt: skip
        assert tokens.find(wrong) is None, wrong
    assert tokens.find(secret) == made


def test_its_use_is_written_once_an_hour(alice, django_assert_num_queries):
    made, secret = tokens.make(alice, "script", "read", 30)
    tokens.find(secret)
    made.refresh_from_db()
    first = made.last_used
    assert timezone.now() - first < timedelta(minutes=1)
    with django_assert_num_queries(1):
        tokens.find(secret)
    AccessToken.objects.update(last_used=first - timedelta(hours=1))
    tokens.find(secret)
    made.refresh_from_db()
    assert made.last_used >= first
