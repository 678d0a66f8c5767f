"""Are the account pages whole: no inline script or style, not cached, names that resolve?"""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import NoReverseMatch, reverse

from accounts.models import Plan, User
from tests.accounts.people import make_account

VISITOR_PAGES = (
    "/login",
    "/register",
    "/reset",
    "/reset/sent",
    "/reset/done",
    "/account/inactive",
    "/account/confirm",
    "/account/confirm/no-such-key",
    "/reset/1-no-such-key",
    "/account/connections/cancelled",
    "/account/connections/error",
)
OWN_PAGES = (
    "/logout",
    "/account/profile",
    "/account/email",
    "/account/security",
    "/account/sessions",
    "/account/tokens",
    "/account/password",
    "/account/delete",
    "/account/2fa",
    "/account/2fa/activate",
    "/account/reauthenticate",
    "/account/connections",
)


def check(page: str) -> None:
    assert "<h1>" in page and "<title>" in page
    assert not re.search(r"<script(?![^>]*\bsrc=)[^>]*>", page), "no inline script"
    assert not re.search(r"\son[a-z]+=|\sstyle=|<style", page.partition("<main")[2]), "no inline handler or style"
    for field in re.findall(r'<input(?![^>]*type="(?:hidden|submit)")[^>]*>', page.partition("<main")[2]):
        name = re.search(r'id="([^"]+)"', field).group(1)
        assert f'for="{name}"' in page, "every field has a label"


@pytest.mark.parametrize("path", VISITOR_PAGES)
def test_pages_for_visitors(client, path):
    check(client.get(path).content.decode())


@pytest.mark.parametrize("path", OWN_PAGES)
def test_pages_of_an_account(as_alice, path):
    response = as_alice.get(path)
    assert response.status_code == 200
    check(response.content.decode())


def test_private_pages_are_not_cached(client, as_alice):
    assert "no-store" in client.get("/login")["Cache-Control"]
    assert "no-store" in as_alice.get("/account/delete")["Cache-Control"]


@pytest.mark.parametrize(
    "name",
    [
        "account_login",
        "account_logout",
        "account_signup",
        "account_reset_password",
        "account_reset_password_done",
        "account_reset_password_from_key_done",
        "account_email",
        "account_email_verification_sent",
        "account_change_password",
        "account_set_password",
        "account_reauthenticate",
        "account_inactive",
        "mfa_index",
        "mfa_authenticate",
        "mfa_reauthenticate",
        "mfa_activate_totp",
        "mfa_deactivate_totp",
        "mfa_view_recovery_codes",
        "mfa_generate_recovery_codes",
        "mfa_download_recovery_codes",
        "usersessions_list",
        "socialaccount_connections",
        "socialaccount_signup",
        "socialaccount_login_cancelled",
        "socialaccount_login_error",
        "google_login",
        "google_callback",
        "github_login",
        "github_callback",
    ],
)
def test_allauths_names_resolve(name):
    assert reverse(name)


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(
        make_account("root-admin", is_staff=True, is_superuser=True),
        backend="accounts.backends.AccountBackend",
    )
    return client


@pytest.mark.parametrize(
    "view", ["accounts_user_changelist", "accounts_user_add", "accounts_plan_changelist", "accounts_plan_add"]
)
def test_the_administration_shows_accounts_and_plans(staff, alice, view):
    assert staff.get(reverse(f"admin:{view}")).status_code == 200


def test_staff_find_change_and_add_an_account(staff, alice):
    found = staff.get(reverse("admin:accounts_user_changelist"), {"q": "alice@"}).content.decode()
    assert "alice@example.com" in found and "1 user" in found
    change = reverse("admin:accounts_user_change", args=[alice.pk])
    page = staff.get(change).content.decode()
    try:
        assert reverse("admin:runner_project_changelist") + f"?owner__id__exact={alice.pk}" in page
    except NoReverseMatch:  # the account app stands alone
        pass
    staff.post(
        reverse("admin:accounts_user_add"),
        {
            "username": "carol",
            "email": "carol@example.com",
            "usable_password": "true",
            "password1": "a quiet harbour 91",
            "password2": "a quiet harbour 91",
        },
    )
    carol = User.objects.get(username="carol")
    assert carol.plan == Plan.objects.for_new_accounts()


def test_the_list_of_accounts_takes_a_constant_number_of_queries(staff, django_assert_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    url = reverse("admin:accounts_user_changelist")
    with CaptureQueriesContext(connection) as few:
        staff.get(url)
    for number in range(12):
        make_account(f"user-{number}")
    with CaptureQueriesContext(connection) as many:
        staff.get(url)
    assert len(many) == len(few)
