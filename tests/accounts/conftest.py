"""What do the account tests share? Alice and Bob, fresh throttles, mail, and a sign-in server."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.providers.github.views import GitHubOAuth2Adapter
from allauth.socialaccount.providers.google import views as google_views
from django.conf import LazySettings
from django.core import mail
from django.core.cache import cache
from django.test import Client

from accounts.models import User
from tests.accounts.oauth_server import CLIENT_ID, CLIENT_SECRET, OAuthServer

PASSWORD = "a quiet harbour 91"


@pytest.fixture(autouse=True)
def _fresh(db: None, settings: LazySettings) -> Iterator[None]:
    """Throttles are counted in the cache; each test counts from zero, in a corner of Redis of its own."""
    settings.CACHES = settings.CACHES | {
        "default": settings.CACHES["default"] | {"KEY_PREFIX": "test-accounts"}
    }
    cache.clear()
    yield
    cache.clear()


def make_account(username: str, confirmed: bool = True, **values: object) -> User:
    user = User.objects.create_user(username, f"{username}@example.com", PASSWORD, **values)
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=confirmed)
    return user


@pytest.fixture
def alice() -> User:
    return make_account("alice")


@pytest.fixture
def bob() -> User:
    return make_account("bob")


def sign_in(client: Client, login: str, password: str = PASSWORD, **data: str):
    return client.post("/login", {"login": login, "password": password, **data})


@pytest.fixture
def as_alice(alice: User) -> Client:
    client = Client()
    assert sign_in(client, "alice").status_code == 302
    return client


def signed_in_as(client: Client) -> str | None:
    """The username this browser is signed in as."""
    pk = client.session.get("_auth_user_id") if client.cookies.get("sessionid") else None
    return User.objects.get(pk=pk).username if pk else None


def link_in(message: mail.EmailMessage) -> str:
    """The path of the first link in a message."""
    return re.search(r"https?://[^/\s]+(/\S*)", message.body).group(1)


@pytest.fixture
def oauth(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[OAuthServer]:
    """The local sign-in server, with the providers' addresses pointed at it.

    allauth reads the addresses from the settings once, when it is imported; test_social_settings.py shows
    that the environment reaches them. Here they are set where they were read to.
    """
    server = OAuthServer()
    app = [{"client_id": CLIENT_ID, "secret": CLIENT_SECRET}]
    providers = settings.SOCIALACCOUNT_PROVIDERS
    settings.SOCIALACCOUNT_PROVIDERS = {name: values | {"APPS": app} for name, values in providers.items()}
    google = google_views.GoogleOAuth2Adapter
    monkeypatch.setattr(google, "authorize_url", f"{server.base}/o/oauth2/v2/auth")
    monkeypatch.setattr(google, "access_token_url", f"{server.base}/token")
    monkeypatch.setattr(google_views, "CERTS_URL", f"{server.base}/oauth2/v1/certs")
    monkeypatch.setattr(google_views, "ID_TOKEN_ISSUER", server.base)
    monkeypatch.setattr(GitHubOAuth2Adapter, "authorize_url", f"{server.base}/login/oauth/authorize")
    monkeypatch.setattr(GitHubOAuth2Adapter, "access_token_url", f"{server.base}/login/oauth/access_token")
    monkeypatch.setattr(GitHubOAuth2Adapter, "profile_url", f"{server.base}/api/v3/user")
    monkeypatch.setattr(GitHubOAuth2Adapter, "emails_url", f"{server.base}/api/v3/user/emails")
    yield server
    server.close()
