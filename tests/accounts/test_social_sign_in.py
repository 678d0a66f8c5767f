"""Do Google and GitHub sign people in, by their real protocols, and never into somebody else's account?"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from allauth.account.models import EmailAddress
from allauth.account.signals import user_logged_in, user_signed_up
from allauth.socialaccount.models import SocialAccount, SocialToken
from django.db import connection
from django.db.models.signals import pre_save
from django.test import Client

from accounts.models import User
from tests.accounts.oauth_server import Person
from tests.accounts.people import sign_in, signed_in_as

PROVIDERS = ("google", "github")
both = pytest.mark.parametrize("provider", PROVIDERS)


def start(client: Client, provider: str, **data: str) -> str:
    """Press the button; answers the address over there that the browser is sent to."""
    answer = client.post(f"/account/{provider}/login", data)
    assert answer.status_code == 302
    return answer.url


def come_back(address: str) -> str:
    """Allow (or refuse) over there; answers the path the browser is sent back to."""
    answer = httpx.get(address, follow_redirects=False, trust_env=False)
    assert answer.status_code == 302
    parts = urlsplit(answer.headers["Location"])
    return f"{parts.path}?{parts.query}"


def sign_in_through(client: Client, provider: str, **data: str):
    return client.get(come_back(start(client, provider, **data)))


@both
def test_the_first_time_makes_an_account_and_the_second_finds_it(client, oauth, provider):
    answer = sign_in_through(client, provider)
    assert (answer.status_code, answer.url) == (302, "/dashboard")
    user = User.objects.get()
    assert (user.email, user.display_name) == ("ada@example.com", "Ada Lovelace")
    assert user.username == {"google": "ada", "github": "ada-l"}[provider]
    assert user.has_verified_email and not user.has_usable_password() and user.plan.is_default
    again = Client()
    sign_in_through(again, provider)
    assert signed_in_as(again) == user.username and User.objects.count() == 1
    assert not SocialToken.objects.exists(), "no key to the other account is kept"


@both
def test_the_buttons_stand_only_where_the_provider_is_set_up(client, oauth, provider, settings):
    name = {"google": b"Google", "github": b"GitHub"}[provider]
    assert b"Continue with " + name in client.get("/login").content
    settings.SOCIALACCOUNT_PROVIDERS = settings.SOCIALACCOUNT_PROVIDERS | {provider: {"APPS": []}}
    assert b"Continue with " + name not in client.get("/login").content


@both
def test_a_visit_alone_starts_nothing(client, oauth, provider):
    assert client.get(f"/account/{provider}/login").status_code == 200
    assert oauth.requests == []


@both
def test_the_browser_carries_state_and_a_pkce_challenge(client, oauth, provider):
    query = parse_qs(urlsplit(start(client, provider)).query)
    assert query["state"][0] and query["code_challenge_method"] == ["S256"]
    assert query["redirect_uri"] == [f"http://testserver/account/{provider}/callback"]


@both
def test_next_is_kept_on_the_way_and_stays_on_the_site(client, oauth, provider):
    assert sign_in_through(client, provider, next="/g/token").url == "/g/token"
    assert sign_in_through(Client(), provider, next="https://evil.example/").url == "/dashboard"


@both
def test_refusing_over_there_changes_nothing_here(client, oauth, provider):
    oauth.denies = True
    answer = client.get(come_back(start(client, provider)), follow=True)
    assert b"Sign-in cancelled" in answer.content and signed_in_as(client) is None
    assert not User.objects.exists()


@both
def test_a_state_of_another_browser_is_refused(client, oauth, provider):
    theirs = come_back(start(Client(), provider))
    answer = client.get(theirs)
    assert b"Sign-in did not work" in answer.content
    assert signed_in_as(client) is None and not User.objects.exists()


@both
def test_a_missing_or_used_state_is_refused(client, oauth, provider):
    path = come_back(start(client, provider))
    code = parse_qs(urlsplit(path).query)["code"][0]
    assert b"did not work" in client.get(f"/account/{provider}/callback?code={code}").content
    client.get(path)
    client.post("/logout")
    assert b"did not work" in client.get(path).content
    assert signed_in_as(client) is None


@both
def test_a_made_up_code_is_refused(client, oauth, provider):
    state = parse_qs(urlsplit(start(client, provider)).query)["state"][0]
    answer = client.get(f"/account/{provider}/callback?code=invented&state={state}")
    assert b"did not work" in answer.content and not User.objects.exists()


@both
@pytest.mark.parametrize("verified", [True, False])
def test_an_address_of_a_password_account_does_not_open_that_account(client, oauth, alice, provider, verified):
    oauth.person = Person(email="Alice@Example.com", email_verified=verified)
    answer = sign_in_through(client, provider)
    assert signed_in_as(client) != "alice"
    assert not SocialAccount.objects.filter(user=alice).exists()
    assert not EmailAddress.objects.filter(email="alice@example.com", verified=True).exclude(user=alice).exists()
    if verified:
        assert answer.url == "/login"
        page = client.get("/login").content.decode()
        assert "An account with this address exists already" in page
        assert User.objects.count() == 1


@both
def test_after_signing_in_the_provider_can_be_connected_and_then_opens_the_account(
    client, oauth, as_alice, alice, provider
):
    oauth.person = Person(email="alice@example.com")
    assert sign_in_through(as_alice, provider, process="connect").url == "/account/connections"
    assert SocialAccount.objects.get().user == alice
    sign_in_through(client, provider)
    assert signed_in_as(client) == "alice"
    page = as_alice.get("/account/connections").content.decode()
    assert "Disconnect" in page
    as_alice.post("/account/connections", {"account": SocialAccount.objects.get().pk})
    assert not SocialAccount.objects.exists()


@both
def test_an_account_connected_to_alice_is_not_bobs(oauth, as_alice, alice, bob, provider):
    sign_in_through(as_alice, provider, process="connect")
    client = Client()
    sign_in(client, "bob")
    sign_in_through(client, provider, process="connect")
    assert SocialAccount.objects.get().user == alice
    client.post("/account/connections", {"account": SocialAccount.objects.get().pk})
    assert SocialAccount.objects.get().user == alice


@both
def test_the_only_way_in_is_not_thrown_away(client, oauth, provider):
    sign_in_through(client, provider)
    answer = client.post("/account/connections", {"account": SocialAccount.objects.get().pk})
    assert b"Set a password first" in answer.content and SocialAccount.objects.exists()
    client.post("/account/password/set", {"password1": "a quiet harbour 91"})
    client.post("/account/connections", {"account": SocialAccount.objects.get().pk})
    assert not SocialAccount.objects.exists()


@both
def test_without_an_address_one_field_asks_for_it(client, oauth, provider):
    oauth.person = Person(email=None)
    answer = sign_in_through(client, provider)
    assert answer.url == "/account/connections/register"
    assert b'name="email"' in client.get(answer.url).content
    client.post(answer.url, {"email": "typed@example.com"})
    user = User.objects.get()
    assert signed_in_as(client) == user.username
    assert user.email == "typed@example.com" and not user.has_verified_email, "typed, so not proven"


@both
def test_a_typed_address_of_somebody_else_opens_nothing(client, oauth, alice, provider):
    oauth.person = Person(email=None)
    answer = sign_in_through(client, provider)
    client.post(answer.url, {"email": "alice@example.com"})
    assert signed_in_as(client) != "alice" and not SocialAccount.objects.filter(user=alice).exists()


@pytest.fixture
def somebody_is_first():
    """In the moment before the next account is saved, somebody else's gets the same name."""

    def be_first(sender, instance, **named):
        pre_save.disconnect(be_first, sender=User)
        with ThreadPoolExecutor(1) as pool:  # on a connection of its own, which commits
            pool.submit(take, instance.username).result()

    def take(username):
        User.objects.create_user(username, "first@example.com", "a long enough phrase")
        connection.close()

    pre_save.connect(be_first, sender=User, weak=False)
    yield
    pre_save.disconnect(be_first, sender=User)


@pytest.mark.django_db(transaction=True)
def test_a_name_that_is_taken_in_the_same_moment_gets_a_number(client, oauth, somebody_is_first):
    sign_in_through(client, "github")
    assert set(User.objects.values_list("username", "email")) == {
        ("ada-l", "first@example.com"),
        ("ada", "ada@example.com"),
    }
    assert signed_in_as(client) == "ada"


@pytest.mark.django_db(transaction=True)
def test_a_chosen_name_that_is_taken_in_the_same_moment_is_asked_for_again(client, oauth, somebody_is_first):
    oauth.person = Person(email=None)
    page = sign_in_through(client, "github").url
    answer = client.post(page, {"email": "typed@example.com", "username": "wanted"})
    assert answer.status_code == 200 and b"taken" in answer.content and signed_in_as(client) is None
    client.post(page, {"email": "typed@example.com", "username": "wanted-2"})
    assert signed_in_as(client) == "wanted-2" and User.objects.count() == 2


@pytest.mark.parametrize(
    "forgery", [{"signs_with_own_key": False}, {"audience": "another-site"}, {"token_lifetime_seconds": -10}]
)
def test_google_token_that_is_forged_for_another_site_or_expired_is_refused(client, oauth, forgery):
    for name, value in forgery.items():
        setattr(oauth, name, value)
    answer = sign_in_through(client, "google")
    assert b"Sign-in did not work" in answer.content
    assert signed_in_as(client) is None and not User.objects.exists()


def test_google_token_is_checked_against_the_published_certificate(client, oauth):
    sign_in_through(client, "google")
    assert oauth.requests == ["GET /o/oauth2/v2/auth", "POST /token", "GET /oauth2/v1/certs"]


def test_github_is_asked_for_the_addresses(client, oauth):
    sign_in_through(client, "github")
    assert oauth.requests[-2:] == ["GET /api/v3/user", "GET /api/v3/user/emails"]


def test_a_provider_that_is_away_gives_a_page_not_an_error(client, oauth):
    path = come_back(start(client, "github"))
    oauth.close()
    answer = client.get(path)
    assert answer.status_code < 500 and b"did not work" in answer.content


@both
def test_listeners_get_the_browsers_cookies(client, oauth, provider):
    heard = []

    def receiver(sender, request, user, **kwargs):
        heard.append(request.COOKIES.get("guest"))

    user_signed_up.connect(receiver)
    user_logged_in.connect(receiver)
    try:
        client.cookies["guest"] = "a-guest-key"
        sign_in_through(client, provider)
    finally:
        user_signed_up.disconnect(receiver)
        user_logged_in.disconnect(receiver)
    assert heard == ["a-guest-key", "a-guest-key"]


def test_a_second_factor_is_asked_for_here_too(client, oauth, as_alice):
    from tests.accounts.test_second_factor import code_for, turn_on

    sign_in_through(as_alice, "github", process="connect")
    secret, _ = turn_on(as_alice)
    answer = sign_in_through(client, "github")
    assert answer.url.startswith("/account/2fa/code") and signed_in_as(client) is None
    client.post("/account/2fa/code", {"code": code_for(secret)})
    assert signed_in_as(client) == "alice"
