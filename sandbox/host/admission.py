"""Who may have the next box of this machine? Nobody more than their share, and among those whose turn it could be, the
one who has fewest running; then whoever came first.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass


@dataclass(eq=False)
class _Waiting:
    owner: str
    place: asyncio.Future[None]


class Admission:
    """total: boxes at the same time. per_owner: of one user."""

    def __init__(self, total: int, per_owner: int) -> None:
        self.total = total
        self.per_owner = per_owner
        self._running: Counter[str] = Counter()
        self._waiting: list[_Waiting] = []  # in the order in which they came

    @property
    def running(self) -> int:
        return self._running.total()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def has_place(self, owner: str) -> bool:
        """Whether enter() would not wait."""
        return not self._waiting and self.running < self.total and self._running[owner] < self.per_owner

    async def enter(self, owner: str, seconds: float) -> bool:
        """Wait for a place; False when none came free in time. Who was let in has to leave()."""
        mine = _Waiting(owner, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        self._let_in()
        try:
            # Not wait_for(): Python's releases differ in what becomes of a place that comes as the time ends.
            await asyncio.wait([mine.place], timeout=seconds)
        except asyncio.CancelledError:
            if mine.place.done():
                self.leave(owner)
            raise
        finally:
            if mine in self._waiting:
                self._waiting.remove(mine)
        return mine.place.done()

    def leave(self, owner: str) -> None:
        self._running[owner] -= 1
        if not self._running[owner]:
            del self._running[owner]
        self._let_in()

    def why_not(self, owner: str) -> str:
        """What to tell somebody who has waited in vain."""
        if self._running[owner] >= self.per_owner:
            return (
                f"{self.per_owner} programs of yours are running on this machine, the most for one user. Wait for one."
            )
        return f"All {self.total} boxes of this machine are in use. Try again in a moment."

    def _let_in(self) -> None:
        while self.running < self.total:
            may = [
                each for each in self._waiting if self._running[each.owner] < self.per_owner and not each.place.done()
            ]
            if not may:
                return
            chosen = min(may, key=lambda each: self._running[each.owner])  # the first of equals came first
            self._waiting.remove(chosen)
            self._running[chosen.owner] += 1
            chosen.place.set_result(None)
