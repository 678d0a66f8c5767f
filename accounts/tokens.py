"""How does a program prove whose it is? Access tokens: made for an account, found by what was sent, revoked."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import string
from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from accounts.models import AccessToken, User

__all__ = ["MOST", "Refused", "find", "make", "revoke"]

logger = logging.getLogger(__name__)

MOST = 20
PREFIX = "qfp_"  # by it people, and programs that look for leaked keys, know what it is
# Not secret: it finds the row, so that what is secret is compared here, and not by an index of the database.
START = len(PREFIX) + 8
_LETTERS = string.ascii_letters + string.digits
_FORM = re.compile(rf"{PREFIX}[A-Za-z0-9]{{40}}")
_USE_KNOWN_TO = timedelta(hours=1)


class Refused(Exception):
    """No further token; the text says what to do, field which line of the form it is about."""

    def __init__(self, text: str, field: str | None = None) -> None:
        super().__init__(text)
        self.field = field


@sensitive_variables("secret")
def make(user: User, name: str, scope: str, days: int) -> tuple[AccessToken, str]:
    """The row, and the token, which cannot be had again. days: how long it works; 0 is until it is revoked.

    Raises Refused.
    """
    secret = PREFIX + "".join(secrets.choice(_LETTERS) for _ in range(40))
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)  # two forms sent at once are counted one after the other
        if user.access_tokens.count() >= MOST:
            raise Refused(f"You have {MOST} tokens, the most there can be. Revoke one to make another.")
        if user.access_tokens.filter(name=name).exists():
            raise Refused("You have a token of this name. Choose another one.", "name")
        made = AccessToken.objects.create(
            user=user,
            name=name,
            start=secret[:START],
            sha256=_hash(secret),
            scope=scope,
            expires=timezone.now() + timedelta(days=days) if days else None,
        )
    logger.info("user %s: token %s was made", user.pk, made.start)
    return made, secret


@sensitive_variables("secret")
def find(secret: str) -> AccessToken | None:
    """The working token that this is, marked as used; None when it is unknown, revoked, expired, or its owner's
    account is locked.
    """
    if not _FORM.fullmatch(secret):
        return None
    found = AccessToken.objects.working().select_related("user__plan").filter(start=secret[:START]).first()
    if found is None or not hmac.compare_digest(found.sha256, _hash(secret)):
        return None
    now = timezone.now()
    if found.last_used is None or now - found.last_used >= _USE_KNOWN_TO:
        AccessToken.objects.filter(pk=found.pk).update(last_used=now)
    return found


def revoke(token: AccessToken) -> None:
    AccessToken.objects.filter(pk=token.pk).delete()
    logger.info("user %s: token %s was revoked", token.user_id, token.start)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
