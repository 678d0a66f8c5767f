"""The socket of a run: sends its events, each once and in order, from wherever the browser left off."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import Any
from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer

from runner.access import Viewer
from runner.claiming import place_in_queue
from runner.events import follow
from runner.models import Run
from runner.private import Shown, shown_to

logger = logging.getLogger(__name__)

PING_SECONDS = 20.0
QUEUE_FIRST_SECONDS = 0.3
QUEUE_SECONDS = 1.5
NOT_FOUND = 4404
# What a server raises for a send to a browser that has left: OSError by the protocol, RuntimeError of its transport.
GONE = (OSError, RuntimeError)


class RunConsumer(AsyncWebsocketConsumer):
    """Read-only. What people do to a run goes through forms, which check the right to do it."""

    # No group messages are used here: with a layer, a Redis that is away would end the socket, although the
    # recording still has every event.
    channel_layer_alias = "none"

    async def connect(self) -> None:
        self.tasks: list[asyncio.Task] = []
        self.run_id = self.scope["url_route"]["kwargs"]["run"]
        self.viewer = Viewer.of_scope(self.scope)
        self.is_owner = False
        status = await self._status_for_viewer()
        try:
            await self.accept()
        except GONE:
            raise StopConsumer from None  # a page left before it was answered
        if status is None:
            # Accepted first, as a browser cannot read the reason of a refused handshake.
            await self._close(NOT_FOUND)
            return
        after = _number(parse_qs(self.scope.get("query_string", b"").decode()).get("after", ["0"])[0])
        self.tasks = [asyncio.create_task(self._send_events(after)), asyncio.create_task(self._ping())]
        if status == Run.Status.QUEUED:
            self.tasks.append(asyncio.create_task(self._send_place()))

    async def disconnect(self, code: int) -> None:
        for task in self.tasks:
            task.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Nothing is expected; what arrives is dropped."""

    async def _send_events(self, after: int) -> None:
        try:
            async for batch in follow(self.run_id, after):
                batch = await self._shown(batch)
                if batch and not await self._say('{"events":[' + ",".join(batch) + "]}"):
                    return
            await self._close(1000)
        except asyncio.CancelledError:
            raise
        except Exception:
            logger.exception("run %s: its socket failed", self.run_id)
            await self._close(1011)

    async def _ping(self) -> None:
        """Keeps proxies from closing an idle socket."""
        while True:
            await asyncio.sleep(PING_SECONDS)
            if not await self._say('{"ping":1}'):
                return

    async def _send_place(self) -> None:
        await asyncio.sleep(QUEUE_FIRST_SECONDS)  # most runs do not wait, and nobody need count for them
        while place := await self._place():
            if not await self._say(json.dumps({"queue": place})):
                return
            await asyncio.sleep(QUEUE_SECONDS)

    async def _say(self, text: str) -> bool:
        """False when nobody listens any more. The server's word that the browser has left may come after we send."""
        try:
            await self.send(text)
        except GONE:
            return False
        return True

    async def _close(self, code: int) -> None:
        with contextlib.suppress(*GONE):
            await self.close(code=code)

    async def _shown(self, batch: list[str]) -> list[str]:
        """The events that this viewer may see; the owner's are passed on as they are."""
        if self.is_owner:
            return batch
        shown = await self._shown_now()  # asked each time: a program may be given private data as it goes on
        return batch if shown.all else [json.dumps(event) for event in shown.events([json.loads(e) for e in batch])]

    @database_sync_to_async
    def _shown_now(self) -> Shown:
        run = Run.objects.select_related("revision__project").filter(pk=self.run_id).first()
        return shown_to(run, self.viewer) if run is not None else Shown(False)

    @database_sync_to_async
    def _status_for_viewer(self) -> str | None:
        self.is_owner = Run.objects.editable_by(self.viewer).filter(pk=self.run_id).exists()
        return Run.objects.visible_to(self.viewer).filter(pk=self.run_id).values_list("status", flat=True).first()

    @database_sync_to_async
    def _place(self) -> int:
        return place_in_queue(self.run_id)


def _number(text: Any) -> int:
    return int(text) if str(text).isdecimal() and len(str(text)) < 10 else 0
