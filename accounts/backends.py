"""Whose password is this? Like allauth's backend, for addresses that more than one account may claim."""

from __future__ import annotations

from allauth.account.auth_backends import AuthenticationBackend
from allauth.account.internal.userkit import filter_users_by_email

from accounts.models import User


class AccountBackend(AuthenticationBackend):
    """Signing up with somebody else's address gives an account of its own, whose claim is never confirmed.

    allauth would only try the account that confirmed the address; then a stranger could learn that it
    is known by signing up with it and signing in again. So all that claim it are tried, confirmed ones first.
    """

    def _authenticate_by_email(self, email: str, password: str) -> User | None:
        if not email:
            return None
        users = filter_users_by_email(email, for_login=True)
        for user in sorted(users, key=lambda user: (user.email_disputed, user.pk)):
            if self._check_password(user, password):
                return user
        return None
