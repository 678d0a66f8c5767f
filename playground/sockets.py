"""Which WebSockets are let in? Those of our own pages, on addresses that exist."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.http.request import split_domain_port, validate_host
from django.urls import re_path


class SameOrigin:
    """Refuses a handshake whose Origin is not exactly the host it is sent to, port included.

    Browsers send cookies to every port of a host, so another service on the same machine must not be taken for us.
    """

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: dict, receive: Any, send: Any) -> Any:
        headers = dict(scope.get("headers", []))
        host = headers.get(b"host", b"").decode("latin-1").lower()
        origin = urlsplit(headers.get(b"origin", b"").decode("latin-1").lower())
        ours = validate_host(split_domain_port(host)[0], settings.ALLOWED_HOSTS)
        if ours and origin.scheme in ("http", "https") and origin.netloc == host:
            return await self.application(scope, receive, send)
        return await WebsocketDenier()(scope, receive, send)


class NoSuchSocket(AsyncWebsocketConsumer):
    channel_layer_alias = "none"

    async def connect(self) -> None:
        await self.close()


no_such_socket = re_path("", NoSuchSocket.as_asgi())
