from django.urls import path

from runner.consumers import RunConsumer

websocket_urlpatterns = [path("ws/r/<uuid:run>", RunConsumer.as_asgi())]
