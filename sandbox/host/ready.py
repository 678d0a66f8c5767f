"""How many boxes stand ready before anybody presses Run? As many as were wanted lately, and as memory allows.

A box is built for a place: the market data, the packages and the disk that its program will have. So boxes stand ready
for the places that were asked for last.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from pathlib import Path

from sandbox.host.launching import LaunchUseless, Place
from sandbox.host.walls import Walls

logger = logging.getLogger(__name__)

DEMAND_SECONDS = 10.0  # starts in this time were the demand
MAX_AGE_SECONDS = 600.0  # then a box is built anew: a zygote that was replaced should not live on in old boxes
QUIET_SECONDS = 0.03  # after a start, the program that was started has the processor to itself
RETRY_SECONDS = 0.5
LEAST_MEMORY_SHARE = 0.1  # of the machine's memory must be available, or nothing is built ahead


class ReadyBoxes:
    """Boxes that wait for a program. `build` makes one, or raises; `most` is how many there may be."""

    def __init__(self, build: Callable[[Place], Awaitable[Walls]], most: int) -> None:
        self._build = build
        self.most = most
        self._waiting: list[Walls] = []
        self._starts: deque[tuple[float, Place]] = deque()
        self._latest: Place | None = None  # is kept ready also when nobody has run anything for a while
        self._wanted = asyncio.Event()
        self._removals: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def note(self, place: Place) -> None:
        """Something is run there, where anything is built ahead at all."""
        if not self.most:
            return
        self._starts.append((time.monotonic(), place))
        self._latest = place
        self._wanted.set()

    def take(self, place: Place) -> Walls | None:
        """One that lives, or None."""
        for walls in [walls for walls in self._waiting if walls.place == place]:
            self._waiting.remove(walls)
            if walls.alive:
                walls.start = "ready"
                return walls
            self._throw_away(walls)
        return None

    def targets(self) -> dict[Place, int]:
        """How many of each, the latest place first."""
        now = time.monotonic()
        while self._starts and now - self._starts[0][0] > DEMAND_SECONDS:
            self._starts.popleft()
        if self._latest is None or _available_share() < LEAST_MEMORY_SHARE:
            return {}
        demand = Counter(place for _, place in self._starts)
        places = [self._latest, *(place for place, _ in demand.most_common() if place != self._latest)]
        targets, left = {}, self.most
        for place in places:
            targets[place] = min(left, max(1, demand[place]))
            left -= targets[place]
        return targets

    async def keep(self) -> None:
        """Fill up and thin out until cancelled."""
        try:
            while True:
                place = self._look()
                if place is None:
                    self._wanted.clear()
                    try:
                        await asyncio.wait_for(self._wanted.wait(), DEMAND_SECONDS)
                    except TimeoutError:
                        pass
                    continue
                if self._waiting and self._starts:
                    # Building beside a program that has just been started would slow both down.
                    await asyncio.sleep(max(0.0, self._starts[-1][0] + QUIET_SECONDS - time.monotonic()))
                try:
                    self._waiting.append(await self._build(place))
                except LaunchUseless as error:
                    logger.debug("no more boxes ahead of need there: %s", error)
                    self._forget(place)
                except Exception as error:  # no zygote, no numbers, no memory: whoever runs something hears of it
                    logger.debug("no box ahead of need: %s", error)
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            await self.clear()

    async def clear(self) -> None:
        while self._waiting:
            self._throw_away(self._waiting.pop())
        if self._removals:
            await asyncio.wait(self._removals)

    def _look(self) -> Place | None:
        """Throw away what is not wanted any more; the place that lacks a box, if one does."""
        targets, now = self.targets(), time.monotonic()
        kept: Counter[Place] = Counter()
        for walls in list(self._waiting):
            fresh = walls.alive and now - walls.built_at < MAX_AGE_SECONDS
            if fresh and kept[walls.place] < targets.get(walls.place, 0):
                kept[walls.place] += 1
            else:
                self._waiting.remove(walls)
                self._throw_away(walls)
        return next((place for place, count in targets.items() if kept[place] < count), None)

    def _forget(self, place: Place) -> None:
        """There can be no box any more, such as where a run's market data were for that run alone."""
        self._starts = deque(start for start in self._starts if start[1] != place)
        if self._latest == place:
            self._latest = self._starts[-1][1] if self._starts else None

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
