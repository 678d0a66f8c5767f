"""What does a client say while its box is made and while it runs? Read from its connection and told to the box."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from sandbox.host.box import Box
from sandbox.host.cells import CellRun
from sandbox.protocol import FrameReader, ProtocolError

__all__ = ["Listener", "next_frame"]

MAX_EARLY_MESSAGES = 100


class Listener:
    """One client of one box, or of a cell. Its going away ends that."""

    def __init__(self, reader: asyncio.StreamReader, frames: FrameReader) -> None:
        self._reader, self._frames = reader, frames
        self._box: Box | CellRun | None = None
        self._early: list[dict[str, Any]] = []
        self._gone = False
        self._cancelled = False
        self._stop_making: Callable[[], object] | None = None

    @property
    def unwanted(self) -> bool:
        return self._gone or self._cancelled

    def when_unwanted(self, stop_making: Callable[[], object]) -> None:
        """Called once, if nobody wants the box any more before there is one."""
        self._stop_making = stop_making

    def attach(self, box: Box | CellRun) -> None:
        """From now on it is this box; what was said before there was one is for it."""
        self._box = box
        for message in self._early:
            self._tell(box, message)
        self._early.clear()
        if self._gone:
            box.abandon()
        elif self._cancelled:
            box.cancel()  # it was meant for the one before, which was lost

    async def listen(self) -> None:
        try:
            while (message := await next_frame(self._reader, self._frames)) is not None:
                if self._box is not None:
                    self._tell(self._box, message)
                elif len(self._early) < MAX_EARLY_MESSAGES:
                    self._early.append(message)
                    self._cancelled = self._cancelled or message.get("op") == "cancel"
                    self._give_up()
        except (ConnectionError, ProtocolError):
            pass
        self._gone = True
        self._give_up()
        if self._box is not None:
            self._box.abandon()

    def _give_up(self) -> None:
        if self._box is None and self.unwanted and self._stop_making is not None:
            stop_making, self._stop_making = self._stop_making, None  # a second one would stop the tidying up
            stop_making()

    def _tell(self, box: Box | CellRun, message: dict[str, Any]) -> None:
        operation, body = message.get("op"), message.get("body")
        number = message.get("id")
        if operation == "cancel":
            self._cancelled = True
            box.cancel()
        elif operation == "interrupt":
            box.interrupt()
        elif operation == "input" and isinstance(message.get("text"), str):
            box.write_input(message["text"])
        elif operation == "answer" and isinstance(body, dict) and isinstance(number, int):
            box.answer(number, body)


async def next_frame(reader: asyncio.StreamReader, frames: FrameReader) -> dict[str, Any] | None:
    """The next message of a connection; None at its end."""
    while (message := frames.next_frame()) is None:
        data = await reader.read(1 << 18)
        if not data:
            return None
        frames.feed(data)
    return message
