"""Who takes part in the account tests, and how do they sign in?"""

from __future__ import annotations

import re

from allauth.account.models import EmailAddress
from django.core import mail
from django.http import HttpResponse
from django.test import Client

from accounts.models import User

PASSWORD = "a quiet harbour 91"


def make_account(username: str, confirmed: bool = True, **values: object) -> User:
    user = User.objects.create_user(username, f"{username}@example.com", PASSWORD, **values)
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=confirmed)
    return user


def sign_in(client: Client, login: str, password: str = PASSWORD, **data: str) -> HttpResponse:
    return client.post("/login", {"login": login, "password": password, **data})


def signed_in_as(client: Client) -> str | None:
    """The username this browser is signed in as."""
    pk = client.session.get("_auth_user_id") if client.cookies.get("sessionid") else None
    return User.objects.get(pk=pk).username if pk else None


def link_in(message: mail.EmailMessage) -> str:
    """The path of the first link in a message."""
    return re.search(r"https?://[^/\s]+(/\S*)", message.body).group(1)
