"""Whose password is this? Like allauth's backend, but every account that may be meant is tried once."""

from __future__ import annotations

from allauth.account.auth_backends import AuthenticationBackend
from allauth.account.internal.userkit import filter_users_by_email, get_user_by_username
from django.http import HttpRequest

from accounts.models import User


class AccountBackend(AuthenticationBackend):
    """Two differences, so that nobody learns whether an address is known.

    allauth hashes the password twice for a known address when both names and addresses sign in, so the answer
    takes longer. Here it is hashed once for each account, and once for none (in authenticate()).

    Signing up with somebody else's address gives an account of its own, whose claim is never confirmed. Then
    allauth would try the confirmed account only; here all that claim the address are tried, undisputed first.
    """

    def _authenticate(self, request: HttpRequest | None, **credentials: str) -> User | None:
        password = credentials["password"]
        given = [text for text in (credentials.get("username"), credentials.get("email")) if text]
        # A username never holds an @. Confirming a password passes both, and the name is the exact one.
        name = next((text for text in given if "@" not in text), None)
        if name:
            candidates = [get_user_by_username(name)]
        else:
            users = filter_users_by_email(given[0], for_login=True) if given else []
            candidates = sorted(users, key=lambda user: (user.email_disputed, user.pk))
        return next((user for user in candidates if self._check_password(user, password)), None)
