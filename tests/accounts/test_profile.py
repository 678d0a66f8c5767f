"""What can people change about themselves: name, address, sessions?"""

from __future__ import annotations

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client

from accounts.models import User
from accounts.templatetags.browsers import browser_name
from tests.accounts.people import link_in, make_account, sign_in, signed_in_as


def test_name_and_username_are_saved(as_alice):
    answer = as_alice.post("/account/profile", {"display_name": " Alice  Liddell ", "username": "Wonder"})
    assert answer.status_code == 302
    user = User.objects.get()
    assert (user.display_name, user.username) == ("Alice Liddell", "wonder")


@pytest.mark.parametrize("username", ["bob", "BOB", "admin", "a b", ""])
def test_a_name_that_is_taken_or_refused_changes_nothing(as_alice, bob, username):
    answer = as_alice.post("/account/profile", {"display_name": "", "username": username})
    assert answer.status_code == 422 and b"field__error" in answer.content
    assert User.objects.filter(username="alice").exists()


@pytest.mark.parametrize("name", ["admin\u200b", "\u202eevil", "x" * 81, "a\x00b"])
def test_a_display_name_that_hides_something_is_refused(as_alice, name):
    assert as_alice.post("/account/profile", {"display_name": name, "username": "alice"}).status_code == 422


def test_markup_in_a_name_is_text(as_alice):
    as_alice.post("/account/profile", {"display_name": "<script>alert(1)</script>", "username": "alice"})
    page = as_alice.get("/account/profile").content.decode()
    assert "<script>alert(1)" not in page and "&lt;script&gt;" in page


def test_plan_and_rights_cannot_be_posted(as_alice):
    as_alice.post(
        "/account/profile",
        {
            "display_name": "A",
            "username": "alice",
            "plan": "3",
            "is_staff": "on",
            "is_superuser": "on",
            "email": "x@y.zz",
        },
    )
    user = User.objects.get()
    assert not user.is_staff and not user.is_superuser and user.plan.is_default and user.email == "alice@example.com"


def test_a_new_address_counts_once_it_is_confirmed(as_alice):
    as_alice.post("/account/email", {"email": "new@example.com", "action_add": "1"})
    assert User.objects.get().email == "alice@example.com"
    assert mail.outbox[0].to == ["new@example.com"]
    page = as_alice.get("/account/email").content.decode()
    assert "You asked to change to <strong>new@example.com</strong>" in page
    as_alice.post(link_in(mail.outbox[0]))
    user = User.objects.get()
    assert user.email == "new@example.com"
    assert list(EmailAddress.objects.values_list("email", "verified", "primary")) == [("new@example.com", True, True)]
    assert mail.outbox[-1].to == ["alice@example.com"], "the old address is told"


def test_a_change_can_be_taken_back(as_alice):
    as_alice.post("/account/email", {"email": "new@example.com", "action_add": "1"})
    as_alice.post("/account/email", {"email": "new@example.com", "action_remove": "1"})
    assert list(EmailAddress.objects.values_list("email", flat=True)) == ["alice@example.com"]


def test_a_mistyped_address_can_be_replaced_before_it_is_confirmed(client):
    client.post("/register", {"email": "adda@example.com", "password1": "a quiet harbour 91"})
    client.post("/account/email", {"email": "ada@example.com", "action_add": "1"})
    client.post(link_in(mail.outbox[-1]))
    user = User.objects.get()
    assert (user.email, user.has_verified_email) == ("ada@example.com", True)


def test_somebody_elses_address_is_not_taken_over(as_alice, bob):
    answer = as_alice.post("/account/email", {"email": "bob@example.com", "action_add": "1"})
    fresh = as_alice.post("/account/email", {"email": "free@example.com", "action_add": "1"})
    assert (answer.status_code, answer.url) == (fresh.status_code, fresh.url), "no hint that it is known"
    assert [m.subject for m in mail.outbox if m.to == ["bob@example.com"]] == ["You have an account already"]
    bob.refresh_from_db()
    assert bob.email == "bob@example.com" and bob.has_verified_email


def test_an_address_held_without_proof_goes_to_who_proves_it(as_alice):
    carol = make_account("carol", confirmed=False)
    as_alice.post("/account/email", {"email": "carol@example.com", "action_add": "1"})
    as_alice.post(link_in(mail.outbox[0]))
    carol.refresh_from_db()
    assert User.objects.get(username="alice").email == "carol@example.com"
    assert carol.email_disputed and not carol.has_verified_email


def test_sessions_are_listed_and_the_others_signed_out(as_alice):
    other = Client(HTTP_USER_AGENT="Phone/1.0")
    sign_in(other, "alice")
    page = as_alice.get("/account/sessions").content.decode()
    assert "Phone/1.0" in page and page.count("<tr>") == 3
    assert as_alice.post("/account/sessions").status_code == 302
    assert signed_in_as(as_alice) == "alice"
    assert other.get("/account/profile").status_code == 302


@pytest.mark.parametrize(
    ("user_agent", "expected"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) AppleWebKit/605 Version/18.0 Safari/604.1", "Safari on iPhone"),
        ("curl/8.0", "curl/8.0"),
        ("", "Unknown browser"),
    ],
)
def test_a_session_is_named_in_words(user_agent, expected):
    assert browser_name(user_agent) == expected


def test_one_persons_pages_say_nothing_of_another(as_alice, bob):
    for path in ("/account/profile", "/account/email", "/account/security", "/account/sessions"):
        page = as_alice.get(path)
        assert page.status_code == 200 and b"bob" not in page.content
