"""At which addresses do the account pages live? allauth's view names keep working; the paths are ours."""

from __future__ import annotations

from allauth.account import views as account
from allauth.mfa.base import views as second_factor
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as authenticator
from allauth.socialaccount import views as social
from allauth.socialaccount.providers.github import views as github
from allauth.usersessions import views as sessions
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from accounts import google, views

own_pages = (
    [
        path("profile", views.profile, name="profile"),
        path("security", views.security, name="security"),
        path("tokens", views.access_tokens, name="tokens"),
        path("tokens/<int:token>/revoke", views.revoke_token, name="revoke-token"),
        path("delete", views.delete, name="delete"),
    ],
    "accounts",
)

account_pages = [
    path("", RedirectView.as_view(pattern_name="accounts:profile"), name="account"),
    path("", include(own_pages)),
    path("email", account.email, name="account_email"),
    path("confirm", account.email_verification_sent, name="account_email_verification_sent"),
    re_path(r"^confirm/(?P<key>[-:\w]+)$", account.confirm_email, name="account_confirm_email"),
    path("password", account.password_change, name="account_change_password"),
    path("password/set", account.password_set, name="account_set_password"),
    path("reauthenticate", account.reauthenticate, name="account_reauthenticate"),
    path("inactive", account.account_inactive, name="account_inactive"),
    path("sessions", sessions.list_usersessions, name="usersessions_list"),
    path("2fa", second_factor.index, name="mfa_index"),
    path("2fa/code", second_factor.authenticate, name="mfa_authenticate"),
    path("2fa/confirm", second_factor.reauthenticate, name="mfa_reauthenticate"),
    path("2fa/activate", authenticator.activate_totp, name="mfa_activate_totp"),
    path("2fa/deactivate", authenticator.deactivate_totp, name="mfa_deactivate_totp"),
    path("2fa/recovery-codes", recovery_codes.view_recovery_codes, name="mfa_view_recovery_codes"),
    path("2fa/recovery-codes/new", recovery_codes.generate_recovery_codes, name="mfa_generate_recovery_codes"),
    path(
        "2fa/recovery-codes/download",
        recovery_codes.download_recovery_codes,
        name="mfa_download_recovery_codes",
    ),
    path("connections", social.connections, name="socialaccount_connections"),
    path("connections/register", social.signup, name="socialaccount_signup"),
    path("connections/cancelled", social.login_cancelled, name="socialaccount_login_cancelled"),
    path("connections/error", social.login_error, name="socialaccount_login_error"),
    path("google/login", views.when_configured("google", google.login), name="google_login"),
    path("google/callback", views.when_configured("google", google.callback), name="google_callback"),
    path("github/login", views.when_configured("github", github.oauth2_login), name="github_login"),
    path("github/callback", views.when_configured("github", github.oauth2_callback), name="github_callback"),
]

urlpatterns = [
    path("login", account.login, name="account_login"),
    path("logout", account.logout, name="account_logout"),
    path("register", account.signup, name="account_signup"),
    path("reset", account.password_reset, name="account_reset_password"),
    path("reset/sent", account.password_reset_done, name="account_reset_password_done"),
    path("reset/done", account.password_reset_from_key_done, name="account_reset_password_from_key_done"),
    re_path(
        r"^reset/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>[^/]+)$",
        account.password_reset_from_key,
        name="account_reset_password_from_key",
    ),
    path("account/", include(account_pages)),
]
