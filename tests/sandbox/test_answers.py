"""What waits for a program that asks and does not read stays small."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

from sandbox.host.box import MAX_UNREAD, MOST_REFUSED, Box
from sandbox.host.walls import Walls
from tests.sandbox.conftest import make_request

NO_LAUNCHER = SimpleNamespace(start="cold", shared_bytes=0, local=True, counts=False, enters=False)
MORE = b"does not read the answers"


def test_of_answers_that_are_not_read_only_so_many_wait():
    async def ask() -> None:
        walls = Walls("box-1", *cast(Any, (NO_LAUNCHER, None, None, None)))
        ends = walls._make_pipes()
        os.set_blocking(ends.inbox, False)
        box = Box(make_request("pass"), walls, lambda event: None, lambda: True)
        try:
            box.answer(0, {"text": "x" * (MAX_UNREAD + (1 << 20))})
            first = walls.unread_bytes
            assert first > MAX_UNREAD
            for number in range(1, MOST_REFUSED + 1):
                box.answer(number, {"text": "y"})
            waiting = walls.unread_bytes
            assert first < waiting < first + MOST_REFUSED * 250
            for number in range(1000):
                box.answer(number, {"text": "y"})
            assert walls.unread_bytes == waiting
            read = b""
            while walls.unread_bytes:
                with suppress(BlockingIOError):
                    read = (read + os.read(ends.inbox, 1 << 20))[-(1 << 17) :]
                await asyncio.sleep(0)
            with suppress(BlockingIOError):
                read += os.read(ends.inbox, 1 << 20)
            assert MORE in read
            box.answer(1, {"text": "once more"})
            assert b"once more" in os.read(ends.inbox, 1 << 20)
        finally:
            await walls.remove()
            ends.close()

    asyncio.run(ask())
