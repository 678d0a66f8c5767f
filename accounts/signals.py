"""What do other apps need to hear about accounts? Signing in and up are allauth's signals; this is ours."""

from __future__ import annotations

from django.dispatch import Signal

# Sent inside the transaction that deletes an account, while its rows still exist.
# Argument: user. Rows go by cascade; receivers remove what lies outside the database (files) on commit.
account_deleting = Signal()
