"""What is refused, or taken away, before any page sees it?"""

from __future__ import annotations

import re
from collections.abc import Callable

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse


class _Gate:
    """Looks at every request first. Django's MiddlewareMixin would leave the event loop for it, for a thread."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest):
        refusal = self.look(request)
        if refusal is None:
            return self.get_response(request)
        return self._later(refusal) if iscoroutinefunction(self) else refusal

    @staticmethod
    async def _later(response: HttpResponse) -> HttpResponse:
        return response

    def look(self, request: HttpRequest) -> HttpResponse | None:
        """The refusal; None lets it through."""
        raise NotImplementedError


class OnlyUtf8(_Gate):
    """Forms in another encoding than UTF-8: no browser sends them to us, and Django fails on some."""

    def look(self, request: HttpRequest) -> HttpResponse | None:
        if (request.content_params or {}).get("charset", "utf-8").lower() in ("utf-8", "utf8"):
            return None
        return HttpResponse("Send forms in UTF-8.", status=415, content_type="text/plain")


class NoCookies(_Gate):
    """In pages of other sites, and where these ask how to place them, nobody is known: no cookie is read or set."""

    ADDRESSES = re.compile("/embed/r/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|/oembed")

    def look(self, request: HttpRequest) -> None:
        if self.ADDRESSES.fullmatch(request.path_info):
            request.META.pop("HTTP_COOKIE", None)
