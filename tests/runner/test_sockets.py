"""The socket of a run: who may listen, from where, and from which event on."""

from __future__ import annotations

import asyncio
import json
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from django.test import Client
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from runner.consumers import NOT_FOUND, RunConsumer
from runner.events import Publisher, redis_connection, stream_key
from tests.factories import make_finished_run, make_project, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("services", "live_site")]


@pytest.fixture
def run():
    run = make_finished_run(make_project(make_user("alice")))
    publisher = Publisher(run.pk)
    publisher.publish(*({"type": "stdout", "text": f"{n}", "t": 0.0} for n in range(1, 4)))
    publisher.publish({"type": "finished", "status": "succeeded", "t": 1.0})
    return run


@pytest.fixture
def listen(live_site):
    def listen_to(path: str, user=None, origin: str = "") -> tuple[list[dict], int | None]:
        """What a browser receives on this socket until it is closed: events, and the close code (None: refused)."""
        headers = {}
        if user is not None:
            client = Client()
            client.force_login(user, backend="accounts.backends.AccountBackend")
            headers["Cookie"] = f"sessionid={client.cookies['sessionid'].value}"
        events: list[dict] = []
        try:
            address = live_site.url.replace("http", "ws", 1) + path
            with connect(
                address, origin=origin or live_site.url, additional_headers=headers, open_timeout=60
            ) as socket:
                while True:
                    events += json.loads(socket.recv(timeout=60)).get("events", [])
        except InvalidStatus:
            return [], None
        except ConnectionClosed as closed:
            return events, closed.rcvd.code

    return listen_to


def test_the_owner_hears_everything_once_and_the_socket_ends(listen, run):
    events, code = listen(f"/ws/r/{run.pk}", run.user)
    assert [event["seq"] for event in events] == [1, 2, 3, 4] and code == 1000


def test_a_listener_goes_on_from_the_event_it_had(listen, run):
    events, _ = listen(f"/ws/r/{run.pk}?after=2", run.user)
    assert [event["seq"] for event in events] == [3, 4]


@pytest.mark.parametrize("after", ["-1", "x", "", "9" * 30])
def test_a_malformed_number_means_from_the_beginning(listen, run, after):
    assert len(listen(f"/ws/r/{run.pk}?after={after}", run.user)[0]) == 4


@pytest.mark.parametrize("who", ["visitor", "bob"])
def test_strangers_hear_nothing_not_even_that_the_run_exists(listen, run, who):
    user = make_user("bob") if who == "bob" else None
    assert listen(f"/ws/r/{run.pk}", user) == ([], NOT_FOUND)
    assert listen(f"/ws/r/{uuid4()}", user) == ([], NOT_FOUND)


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "null"])
def test_another_sites_page_cannot_listen_with_the_users_cookies(listen, run, origin):
    assert listen(f"/ws/r/{run.pk}", run.user, origin=origin) == ([], None)


def test_an_address_without_a_socket_is_refused(listen, run):
    assert listen("/ws/nothing", run.user) == ([], None)


def test_a_flushed_redis_takes_nothing_away(listen, run):
    redis_connection().delete(stream_key(run.pk))
    assert len(listen(f"/ws/r/{run.pk}", run.user)[0]) == 4


@pytest.mark.parametrize("gone", [OSError, RuntimeError])
@pytest.mark.parametrize("left_before", ["websocket.accept", "websocket.send", "websocket.close"])
def test_a_browser_that_has_left_ends_the_socket_quietly(run, caplog, gone, left_before):
    """The server refuses what is sent to a closed connection; its word that it is closed comes later."""
    refused = asyncio.Event()

    async def send(message: dict) -> None:
        if message["type"] == left_before:
            refused.set()
            raise gone("closed")

    async def visit() -> None:
        inbox: asyncio.Queue = asyncio.Queue()
        inbox.put_nowait({"type": "websocket.connect"})
        scope = {"type": "websocket", "url_route": {"kwargs": {"run": str(run.pk)}}, "user": run.user, "session": {}}
        served = asyncio.create_task(RunConsumer.as_asgi()(scope, inbox.get, send))
        await asyncio.wait_for(refused.wait(), 10)
        inbox.put_nowait({"type": "websocket.disconnect", "code": 1006})
        await asyncio.wait_for(served, 10)

    async_to_sync(visit)()
    assert not caplog.records
