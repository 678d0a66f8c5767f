"""What do the account tests share? Alice and Bob, quick passwords, and a sign-in server.

Imports that need Django stand inside: pytest may read this file before the settings are loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from django.conf import LazySettings
    from django.test import Client

    from accounts.models import User
    from tests.accounts.oauth_server import OAuthServer


@pytest.fixture(autouse=True)
def _quick_passwords(db: None, settings: LazySettings) -> None:
    """Slow hashing is the point of a password hash and not of these tests; real_passwords brings it back."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def real_passwords(settings: LazySettings) -> None:
    from django.conf import global_settings

    settings.PASSWORD_HASHERS = global_settings.PASSWORD_HASHERS


@pytest.fixture
def alice() -> User:
    from tests.accounts.people import make_account

    return make_account("alice")


@pytest.fixture
def bob() -> User:
    from tests.accounts.people import make_account

    return make_account("bob")


@pytest.fixture
def as_alice(alice: User) -> Client:
    from django.test import Client

    from tests.accounts.people import sign_in

    client = Client()
    assert sign_in(client, "alice").status_code == 302
    return client


@pytest.fixture
def oauth(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[OAuthServer]:
    """The local sign-in server, with the providers' addresses pointed at it.

    allauth reads the addresses from the settings once, when it is imported; test_social_settings.py shows
    that the environment reaches them. Here they are set where they were read to.
    """
    from allauth.socialaccount.providers.github.views import GitHubOAuth2Adapter
    from allauth.socialaccount.providers.google import views as google_views

    from tests.accounts.oauth_server import CLIENT_ID, CLIENT_SECRET, OAuthServer

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
