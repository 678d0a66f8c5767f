"""How does a visitor get an account?"""

from __future__ import annotations

import time

import pytest
from allauth.account.models import EmailAddress
from allauth.account.signals import user_logged_in, user_signed_up
from django.core import mail

from accounts.models import Plan, User
from tests.accounts.people import PASSWORD, link_in, make_account, sign_in, signed_in_as


def sign_up(client, email, password=PASSWORD, **data):
    return client.post("/register", {"email": email, "password1": password, **data})


def test_two_fields_make_an_account_and_sign_in_at_once(client):
    response = sign_up(client, "Ada.Lovelace@Example.com")
    assert (response.status_code, response.url) == (302, "/dashboard")
    user = User.objects.get()
    assert (user.username, user.email) == ("adalovelace", "ada.lovelace@example.com")
    assert user.plan == Plan.objects.for_new_accounts()
    assert signed_in_as(client) == "adalovelace"
    assert user.unverified_email == user.email and not user.has_verified_email


def test_the_mailed_link_confirms_the_address_on_a_press_not_on_a_visit(client):
    sign_up(client, "ada@example.com")
    assert [message.to for message in mail.outbox] == [["ada@example.com"]]
    path = link_in(mail.outbox[0])
    assert client.get(path).status_code == 200
    assert not User.objects.get().has_verified_email
    assert client.post(path).status_code == 302
    assert User.objects.get().has_verified_email


def test_the_form_says_what_browsers_and_readers_need(client):
    page = client.get("/register").content.decode()
    for part in (
        'autocomplete="email"',
        'autocomplete="new-password"',
        'for="id_email"',
        'id="id_password1_helptext"',
        'aria-describedby="id_password1_helptext"',
    ):
        assert part in page
    refused = sign_up(client, "nonsense", "short").content.decode()
    assert 'aria-invalid="true"' in refused and 'id="id_email_error"' in refused
    assert "id_email_error" in refused.split('aria-describedby="')[1]


def test_a_chosen_name_is_made_lower_case(client):
    sign_up(client, "ada@example.com", username="Countess")
    assert User.objects.get().username == "countess"


@pytest.mark.parametrize("name", ["admin", "ADMIN", "mine", "a b", "аlice", "alice"])
def test_a_reserved_taken_or_misleading_name_is_refused_with_a_sentence(client, alice, name):
    response = sign_up(client, "ada@example.com", username=name)
    assert response.status_code == 200 and b"field__error" in response.content
    assert not User.objects.filter(email="ada@example.com").exists()


def test_a_derived_name_that_is_taken_gets_a_number(client, alice):
    sign_up(client, "alice@elsewhere.example")
    assert signed_in_as(client) == "alice-2"


@pytest.mark.parametrize("password", ["short", "password123", "12345678901", "ada@example.com"])
def test_a_weak_password_is_refused(client, password):
    sign_up(client, "ada@example.com", password)
    assert not User.objects.exists()


@pytest.mark.parametrize(
    "email",
    [
        "a@b\r\nBcc: x@y.example",
        "m\u0131ke@example.org",
        "nonsense",
        "a" * 250 + "@example.org",
        "a\x00@b.example",
    ],
)
def test_a_strange_address_is_refused(client, email):
    response = sign_up(client, email)
    assert response.status_code == 200
    assert not User.objects.exists() and not mail.outbox


def test_fields_that_were_not_offered_change_nothing(client):
    sign_up(client, "ada@example.com", is_staff="on", is_superuser="1", plan="3", email_disputed="1")
    user = User.objects.get()
    assert not user.is_staff and not user.is_superuser and user.plan == Plan.objects.for_new_accounts()


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_known_address_gets_the_same_answer_and_no_way_into_the_known_account(client, confirmed):
    owner = make_account("alice", confirmed=confirmed)
    known = sign_up(client, "Alice@example.com", "another harbour 92")
    client.logout()
    unknown = sign_up(client, "carol@example.com", "another harbour 92")
    assert (known.status_code, known.url) == (unknown.status_code, unknown.url)
    owner.refresh_from_db()
    assert owner.check_password(PASSWORD) and owner.email == "alice@example.com" and not owner.email_disputed
    second = User.objects.get(username="alice-2")
    assert second.email_disputed
    # Neither does signing in again tell them apart.
    client.logout()
    sign_in(client, "alice@example.com", "another harbour 92")
    assert signed_in_as(client) == "alice-2"
    client.logout()
    sign_in(client, "alice@example.com")
    assert signed_in_as(client) == "alice"


def test_the_owner_of_a_known_address_is_told_and_the_second_account_cannot_confirm_it(client, alice):
    sign_up(client, "alice@example.com", "another harbour 92")
    assert [message.subject for message in mail.outbox] == ["You have an account already"]
    assert "/account/confirm/" not in mail.outbox[0].body


def test_who_confirms_an_address_first_owns_it(client):
    squatter = make_account("squatter", confirmed=False)
    User.objects.filter(pk=squatter.pk).update(email="ada@example.com")
    EmailAddress.objects.filter(user=squatter).update(email="ada@example.com")
    sign_up(client, "ada@example.com", "another harbour 92")
    assert User.objects.get(username="ada").email_disputed
    client.post(link_in(mail.outbox[0]))
    squatter.refresh_from_db()
    owner = User.objects.get(username="ada")
    assert squatter.email_disputed and not owner.email_disputed and owner.has_verified_email
    assert not squatter.has_verified_email


def test_known_and_unknown_addresses_take_about_the_same_time(client, real_passwords, alice):
    def seconds(email: str) -> float:
        client.logout()
        # Of the processor: hashing is what could differ, and others use the machine, too.
        begin = time.process_time()
        sign_up(client, email, "another harbour 92")
        return time.process_time() - begin

    seconds("warm-up@example.com")
    known = min(seconds("alice@example.com") for _ in range(3))
    unknown = min(seconds(f"new{number}@example.com") for number in range(3))
    assert 0.4 < known / unknown < 2.5


def test_listeners_get_the_request_with_the_browsers_cookies(client):
    heard = []

    def listen(signal_name):
        def receiver(sender, request, user, **kwargs):
            heard.append((signal_name, request.COOKIES.get("guest"), user.username))

        return receiver

    up, in_ = listen("up"), listen("in")
    user_signed_up.connect(up)
    user_logged_in.connect(in_)
    try:
        client.cookies["guest"] = "a-guest-key"
        sign_up(client, "ada@example.com")
    finally:
        user_signed_up.disconnect(up)
        user_logged_in.disconnect(in_)
    assert heard == [("up", "a-guest-key", "ada"), ("in", "a-guest-key", "ada")]


@pytest.mark.parametrize(
    ("next_url", "expected"),
    [
        ("/g/some-token", "/g/some-token"),
        ("https://evil.example/", "/dashboard"),
        ("//evil.example", "/dashboard"),
        ("javascript:alert(1)", "/dashboard"),
        ("/\\evil.example", "/dashboard"),
    ],
)
def test_next_stays_on_the_site(client, next_url, expected):
    assert sign_up(client, "ada@example.com", next=next_url).url == expected
