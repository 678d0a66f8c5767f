"""Who gets in, who does not, and what do they learn?"""

from __future__ import annotations

import time

import pytest
from django.test import Client

from accounts.models import User
from tests.accounts.people import PASSWORD, sign_in, signed_in_as


@pytest.mark.parametrize("login", ["alice", "ALICE", "alice@example.com", "Alice@Example.COM", " alice "])
def test_name_or_address_signs_in(client, alice, login):
    assert sign_in(client, login).url == "/dashboard"
    assert signed_in_as(client) == "alice"


@pytest.mark.parametrize(
    ("next_url", "expected"),
    [
        ("/p/alice/one/edit", "/p/alice/one/edit"),
        ("https://evil.example/", "/dashboard"),
        ("//evil.example", "/dashboard"),
        ("/\\evil.example", "/dashboard"),
        ("javascript:alert(1)", "/dashboard"),
    ],
)
def test_next_stays_on_the_site(client, alice, next_url, expected):
    assert sign_in(client, "alice", next=next_url).url == expected


def test_known_and_unknown_addresses_get_the_same_page(alice):
    pages = []
    for login in ("alice@example.com", "nobody@example.com"):
        response = sign_in(Client(), login, "wrong")
        pages.append((response.status_code, response.context["form"].errors))
    assert pages[0] == pages[1]
    assert pages[0][0] == 200


def test_known_and_unknown_addresses_take_about_the_same_time(real_passwords, alice):
    def seconds(login: str) -> float:
        # Of the processor: hashing is what could differ, and others use the machine, too.
        begin = time.process_time()
        sign_in(Client(), login, "wrong")
        return time.process_time() - begin

    seconds("warm-up@example.com")
    known = min(seconds("alice@example.com") for _ in range(3))
    unknown = min(seconds("nobody@example.com") for _ in range(3))
    assert 0.5 < known / unknown < 2


def test_guessing_is_stopped_says_when_to_try_again_and_ends(client, alice, monkeypatch):
    now = time.time()
    for _ in range(5):
        assert "Too many" not in sign_in(client, "alice", "wrong").content.decode()
    refused = sign_in(client, "alice")
    assert signed_in_as(client) is None
    assert "Try again in 5 minutes" in refused.content.decode()
    monkeypatch.setattr(time, "time", lambda: now + 290)
    assert "Try again in 1 minute," in sign_in(client, "alice").content.decode()
    monkeypatch.setattr(time, "time", lambda: now + 360)
    sign_in(client, "alice")
    assert signed_in_as(client) == "alice"


def test_an_unknown_address_is_throttled_just_the_same(client, alice):
    for _ in range(5):
        sign_in(client, "nobody@example.com", "wrong")
    assert "Try again in 5 minutes" in sign_in(client, "nobody@example.com", "wrong").content.decode()


def test_guessing_one_account_does_not_lock_another(client, alice, bob):
    for _ in range(6):
        sign_in(client, "alice", "wrong")
    sign_in(client, "bob")
    assert signed_in_as(client) == "bob"


def test_a_locked_account_is_told_so_only_with_the_right_password(client, alice):
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert sign_in(client, "alice").url == "/account/inactive"
    assert sign_in(client, "alice", "wrong").status_code == 200
    assert signed_in_as(client) is None


def test_signing_out_takes_a_press(as_alice):
    assert b"Sign out?" in as_alice.get("/logout").content
    assert signed_in_as(as_alice) == "alice"
    assert as_alice.post("/logout").url == "/"
    assert signed_in_as(as_alice) is None


def test_the_session_key_changes_at_sign_in(client, alice):
    session = client.session
    session["anything"] = 1
    session.save()
    before = session.session_key
    client.cookies["sessionid"] = before
    sign_in(client, "alice")
    assert client.cookies["sessionid"].value != before


def test_a_form_from_another_site_is_refused(alice):
    careful = Client(enforce_csrf_checks=True)
    assert careful.post("/login", {"login": "alice", "password": PASSWORD}).status_code == 403
    assert careful.post("/logout").status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/account/profile",
        "/account/security",
        "/account/email",
        "/account/password",
        "/account/sessions",
        "/account/delete",
        "/account/2fa",
        "/account/2fa/activate",
        "/account/2fa/recovery-codes",
        "/account/connections",
    ],
)
def test_a_visitor_is_asked_to_sign_in(client, path):
    response = client.get(path)
    assert response.status_code == 302 and response.url.startswith("/login?next=")


def test_staff_sign_in_where_everybody_does(client, as_alice):
    assert client.get("/admin/login/?next=/admin/").url == "/login?next=%2Fadmin%2F"
    assert as_alice.get("/admin/login/").status_code == 403
