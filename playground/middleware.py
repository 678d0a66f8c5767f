"""What is refused before any page sees it?"""

from __future__ import annotations

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
