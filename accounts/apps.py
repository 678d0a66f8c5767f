"""Who is this, and what may they use? The account app: users, their plans, and everything under /account/."""

from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "Accounts"
