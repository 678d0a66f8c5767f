"""What is refused, or taken away, before any page sees it?"""

from __future__ import annotations

import re
from collections.abc import Callable

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse


class OnlyUtf8:
    """Forms in another encoding than UTF-8: no browser sends them to us, and Django fails on some."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest):
        charset = (request.content_params or {}).get("charset", "utf-8").lower()
        if charset not in ("utf-8", "utf8"):
            refusal = HttpResponse("Send forms in UTF-8.", status=415, content_type="text/plain")
            return self._later(refusal) if iscoroutinefunction(self) else refusal
        return self.get_response(request)

    @staticmethod
    async def _later(response: HttpResponse) -> HttpResponse:
        return response


class NoCookies:
    """In pages of other sites, and where these ask how to place them, nobody is known: no cookie is read or set."""

    ADDRESSES = re.compile("/embed/r/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|/oembed")

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest):
        if self.ADDRESSES.fullmatch(request.path_info):
            request.META.pop("HTTP_COOKIE", None)
        return self.get_response(request)
