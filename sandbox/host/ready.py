"""How many boxes stand ready before anybody presses Run? As many as were wanted lately, and as memory allows."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

from sandbox.host.walls import Walls

logger = logging.getLogger(__name__)

DEMAND_SECONDS = 10.0  # starts in this time were the demand
MAX_AGE_SECONDS = 600.0  # then a box is built anew: a zygote that was replaced should not live on in old boxes
QUIET_SECONDS = 0.03  # after a start, the program that was started has the processor to itself
LEAST_MEMORY_SHARE = 0.1  # of the machine's memory must be available, or nothing is built ahead


class ReadyBoxes:
    """Boxes that wait for a program. `build` makes one, or raises; `most` is how many there may be."""

    def __init__(self, build: Callable[[], Awaitable[Walls]], most: int) -> None:
        self._build = build
        self.most = most
        self._waiting: deque[Walls] = deque()
        self._starts: deque[float] = deque()
        self._wanted = asyncio.Event()
        self._removals: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self) -> Walls | None:
        """One that lives, or None. Either way the demand is noted."""
        self._starts.append(time.monotonic())
        self._wanted.set()
        while self._waiting:
            walls = self._waiting.popleft()
            if walls.alive:
                walls.start = "ready"
                return walls
            self._throw_away(walls)
        return None

    def target(self) -> int:
        now = time.monotonic()
        while self._starts and now - self._starts[0] > DEMAND_SECONDS:
            self._starts.popleft()
        if self.most and _available_share() < LEAST_MEMORY_SHARE:
            return 0
        return min(self.most, max(1, len(self._starts)))

    async def keep(self) -> None:
        """Fill up and thin out until cancelled."""
        try:
            while True:
                self._thin_out()
                if len(self._waiting) >= self.target():
                    self._wanted.clear()
                    try:
                        await asyncio.wait_for(self._wanted.wait(), DEMAND_SECONDS)
                    except TimeoutError:
                        continue
                await self._wait_for_quiet()
                try:
                    self._waiting.append(await self._build())
                except Exception as error:  # no zygote, no numbers, no memory: somebody who runs something hears of it
                    logger.info("no box ahead of need: %s", error)
                    await asyncio.sleep(0.5)
        finally:
            await self.clear()

    async def clear(self) -> None:
        while self._waiting:
            self._throw_away(self._waiting.popleft())
        if self._removals:
            await asyncio.wait(self._removals)

    async def _wait_for_quiet(self) -> None:
        """Building beside a program that has just been started would slow both down."""
        if self._waiting and self._starts:
            await asyncio.sleep(max(0.0, self._starts[-1] + QUIET_SECONDS - time.monotonic()))

    def _thin_out(self) -> None:
        now = time.monotonic()
        for walls in list(self._waiting):
            if not walls.alive or now - walls.built_at > MAX_AGE_SECONDS or len(self._waiting) > self.target():
                self._waiting.remove(walls)
                self._throw_away(walls)

    def _throw_away(self, walls: Walls) -> None:
        task = asyncio.create_task(walls.remove())
        self._removals.add(task)
        task.add_done_callback(self._removals.discard)


def _available_share() -> float:
    try:
        facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        return int(facts["MemAvailable"].split()[0]) / int(facts["MemTotal"].split()[0])
    except (OSError, ValueError, KeyError):
        return 1.0
