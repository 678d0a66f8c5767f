"""Who is this, and what may they use? The account app: users, their plans, and everything under /account/."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "Accounts"

    def ready(self) -> None:
        from allauth.account.signals import email_confirmed

        email_confirmed.connect(_settle_claims, dispatch_uid="accounts.settle_claims")


def _settle_claims(sender: Any, email_address: Any, **kwargs: Any) -> None:
    """A password reset confirms the address too, without passing the adapter."""
    from accounts.adapters import settle_claims

    settle_claims(email_address)
