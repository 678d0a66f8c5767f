"""Who answers a connection? Django for HTTP, the runner's consumers for WebSockets from our own pages."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "playground.settings")
django_application = get_asgi_application()  # loads the apps; only then may their modules be imported

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402

from playground.bodies import LimitedBodies  # noqa: E402
from playground.sockets import SameOrigin, no_such_socket  # noqa: E402
from runner.routing import websocket_urlpatterns  # noqa: E402

# The largest file that can be sent, and the form around it.
MOST_BODY_BYTES = 26_000_000

application = ProtocolTypeRouter(
    {
        "http": LimitedBodies(django_application, MOST_BODY_BYTES),
        # Browsers send Origin with every socket; a page of another site must not speak with our cookies.
        "websocket": SameOrigin(AuthMiddlewareStack(URLRouter([*websocket_urlpatterns, no_such_socket]))),
    }
)
