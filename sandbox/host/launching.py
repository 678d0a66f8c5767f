"""How is a box made? A launcher starts inside/init.py with the box's ends of its pipes, and can take it away again.

There is one for each kind of wall: a fork of the zygote (zygote.py), an nsjail per box (cold.py), a container
(containers.py), a pod (pods.py). What happens to the box after that is the same for all and stands in box.py.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sandbox.host.cgroups import Usage
from sandbox.protocol import Limits

Answer = TypeVar("Answer")


class LaunchFailed(Exception):
    """The box could not be made; the text is for operators."""


class LaunchUseless(LaunchFailed):
    """The box cannot be made, and another try would not help."""


@dataclass(frozen=True)
class Identity:
    """Who a box is outside. As root: a uid that owns nothing here. As an ordinary user: that user."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Place:
    """What of this machine a box will see, and how much it may write: it is part of the walls."""

    disk_bytes: int
    snapshot: str | None = None
    layer: str | None = None
    layer_made: int = 0  # nanoseconds; a layer that was removed and made again is another directory, so another place
    limits: Limits | None = None  # for walls that set them themselves
    unit: str | None = None  # the node of the engine's device that is this box's
    tables: tuple[tuple[str, str], ...] = ()  # files below the store, and those of packages that they are put over


class Ends:
    """The box's ends: stdin, stdout, stderr, the rich channel, the inbox, and the socket to init.

    entrances: of its control group, for processes that go into it by themselves.
    """

    def __init__(
        self,
        stdin: int,
        stdout: int,
        stderr: int,
        rich: int,
        inbox: int,
        control: socket.socket,
        entrances: tuple[int, ...] = (),
    ) -> None:
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self.rich, self.inbox, self.control = rich, inbox, control
        self.entrances = entrances

    @property
    def programs(self) -> tuple[int, ...]:
        """Those that its program gets; the other one is for process 1 alone."""
        return self.stdin, self.stdout, self.stderr, self.rich, self.inbox

    def close(self) -> None:
        for descriptor in (*self.programs, *self.entrances):
            os.close(descriptor)
        self.control.close()


class Launched(Protocol):
    """What a launcher has started."""

    ended: asyncio.Event  # nothing of it is left, or it never began

    def start_program(self, ends: Ends) -> None:
        """Have the program's process made, where process 1 does not fork it by itself."""

    def kill(self) -> None:
        """End it before init is known; afterwards init's own end is enough."""

    async def clear(self) -> None:
        """Wait until nothing of it is left; called once, after init was killed."""

    def log(self) -> str:
        """What was said about it, for operators and never for users."""

    @property
    def lost(self) -> bool:
        """Whether where it ran is gone, through no fault of the program's."""

    def usage(self) -> Usage | None:
        """What the program uses, as those tell who run it; None where the engine has a group to ask."""


class Launcher(Protocol):
    start: str  # what `ended` events say: "ready", "fork", "cold", "docker" or "kubernetes"
    local: bool  # its processes are children of this machine's engine, which counts, limits and ends them
    enters: bool  # its processes go into the box's control group by themselves, before they do anything else
    counts: bool  # somebody tells what its programs use while they run, and limits their sums

    @property
    def shared_bytes(self) -> int:
        """Of memory that every box begins with, and that is counted for none."""

    async def launch(self, ends: Ends, identity: Identity, place: Place) -> Launched:
        """Start process 1. Raises LaunchFailed or OSError. The ends stay the caller's, who closes them."""

    def go(self, identity: Identity, place: Place) -> dict[str, Any]:
        """What init is told once its process is counted and limited."""


async def finish_anyway(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Whoever is cancelled meanwhile, however often, waits all the same: a daemon or a cluster that was asked for
    something makes it, and only what is known to be there can be taken away.
    """
    working = asyncio.ensure_future(work)
    cancelled = False
    while not working.done():
        try:
            await asyncio.wait([working])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        working.exception()  # heard, or the loop would complain about it
        raise asyncio.CancelledError
    return working.result()
