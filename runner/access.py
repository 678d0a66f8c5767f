"""Who is looking: an account, a guest's browser, or both. Pages and sockets ask the same question here."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

from runner.models import GUEST_DAYS

GUEST_COOKIE = "guest"
_SALT = "runner.guest"
_MAX_AGE = GUEST_DAYS * 24 * 3600


@dataclass(frozen=True)
class Viewer:
    """user: the signed-in account or None. guest_hash: SHA-256 of the guest key this browser holds, or ""."""

    user: Any = None
    guest_hash: str = ""

    @classmethod
    def of(cls, request: HttpRequest) -> Viewer:
        return cls._from(request.user, request.COOKIES)

    @classmethod
    def of_scope(cls, scope: dict) -> Viewer:
        """The same for a WebSocket, whose scope carries the user and the cookies."""
        return cls._from(scope.get("user"), scope.get("cookies", {}))

    @classmethod
    def _from(cls, user: Any, cookies: dict[str, str]) -> Viewer:
        return cls(user if user is not None and user.is_authenticated else None, _read_cookie(cookies))


def _read_cookie(cookies: dict[str, str]) -> str:
    try:
        key = signing.loads(cookies.get(GUEST_COOKIE, ""), salt=_SALT, max_age=_MAX_AGE)
    except signing.BadSignature:
        return ""
    return hash_key(key) if isinstance(key, str) else ""


def hash_key(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def new_guest_key() -> str:
    return secrets.token_urlsafe(24)


def remember_guest(response: HttpResponse, key: str) -> None:
    """Put the key into the browser, signed; it opens this guest's projects for seven days."""
    response.set_cookie(
        GUEST_COOKIE,
        signing.dumps(key, salt=_SALT),
        max_age=_MAX_AGE,
        httponly=True,
        samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
    )


def address_hash(request: HttpRequest) -> str:
    """A keyed hash of the client's network address (IPv6: its /64), so quotas need no address in the database."""
    address = request.META.get("REMOTE_ADDR", "") or ""
    if hops := settings.TRUSTED_PROXIES:
        # Each of our proxies appends the address it heard from; what a client wrote itself stands further left.
        heard = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",")]
        address = heard[-hops] if len(heard) >= hops and heard[-hops] else address
    try:
        if ipaddress.ip_address(address).version == 6:
            address = str(ipaddress.ip_network(f"{address}/64", strict=False))
    except ValueError:
        pass  # a unix socket has no address: all its clients share one quota
    return hmac.new(settings.SECRET_KEY.encode(), b"address:" + address.encode(), hashlib.sha256).hexdigest()
