"""Who may ask the interface for programs for what? Tokens and what they allow; every refusal says what to do."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.http import Http404, HttpRequest, HttpResponseBase, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from accounts import tokens
from accounts.models import AccessToken
from runner.models import Project, Run

__all__ = ["answer", "read_only", "refuse", "runs"]

NOT_FOUND = "There is nothing here that you can see. Check the address; what is private needs a token of its owner."
OPENS_NOTHING = (
    "This token opens nothing: it was revoked, has expired, or is not written in full. Make one under Account, Tokens."
)
SEND_ONE = "Send a token that may run programs: Authorization: Bearer qfp_…. Make one under Account, Tokens."
READS_ONLY = "This token may only read. Make one that may also run programs, under Account, Tokens."

View = Callable[..., HttpResponseBase]


def read_only(view: View) -> View:
    """GET alone. For whom: the account of the token, else whom the cookies tell, as on the pages."""

    def allowed(request: HttpRequest, token: AccessToken | None) -> HttpResponseBase | None:
        return None

    return _checked(view, ("GET", "HEAD"), "This address can only be read: use GET.", allowed)


def runs(view: View) -> View:
    """POST alone, by a token that may run programs. Cookies count for nothing: other sites can have them sent."""

    def allowed(request: HttpRequest, token: AccessToken | None) -> HttpResponseBase | None:
        if token is None:
            return _unauthorized("token_needed", SEND_ONE)
        return None if token.may_run else refuse(403, "token_reads_only", READS_ONLY)

    return _checked(view, ("POST",), "This address starts or stops something: use POST.", allowed)


def _checked(
    view: View,
    methods: tuple[str, ...],
    hint: str,
    allowed: Callable[[HttpRequest, AccessToken | None], HttpResponseBase | None],
) -> View:
    @csrf_exempt  # what changes anything asks for a token
    @never_cache
    @functools.wraps(view)
    def checked(request: HttpRequest, *arguments: Any, **named: Any) -> HttpResponseBase:
        if request.method not in methods:
            response = refuse(405, "method_not_allowed", hint)
            response["Allow"] = ", ".join(methods)
            return response
        token = None
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            token = tokens.find(secret.strip())
            if token is None:
                return _unauthorized("bad_token", OPENS_NOTHING)
            # The token alone says who asks; a browser's session or guest key beside it adds nothing.
            request.user, request.COOKIES = token.user, {}
        try:
            return allowed(request, token) or view(request, *arguments, **named)
        except (Http404, Project.DoesNotExist, Run.DoesNotExist):  # deleted meanwhile
            return refuse(404, "not_found", NOT_FOUND)

    return checked


def _unauthorized(code: str, message: str) -> JsonResponse:
    response = refuse(401, code, message)
    response["WWW-Authenticate"] = "Bearer"
    return response


def refuse(status: int, code: str, message: str, wait: int = 0) -> JsonResponse:
    response = answer({"error": {"code": code, "message": message}}, status)
    if wait:
        response["Retry-After"] = str(wait)
    return response


def answer(body: dict[str, Any], status: int = 200) -> JsonResponse:
    return JsonResponse(body, status=status, json_dumps_params={"ensure_ascii": False, "allow_nan": False})
