"""Which live interpreters does this engine hold, and what may a client ask of them? A session outlives the connection
which opened it, and is held by its id.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from sandbox.host.cells import CellRun
from sandbox.host.session import BUSY, GONE, QUESTIONS, TURN_SECONDS, UNLIMITED, Refused, Session
from sandbox.host.walls import Walls
from sandbox.protocol import PROTOCOL, SESSION_SECONDS, BoxRequest, Cell, dump_json

logger = logging.getLogger(__name__)

OPEN_SECONDS = 25.0  # less than a client waits for its answer
MAX_REMEMBERED_ENDS = 500
MAX_QUESTION_BYTES = 2000

FULL = "full"
NEVER = "There is no such session: it has ended, or never was."


class Conversation(Protocol):
    """What a client of the engine is to an operation."""

    def say(self, message: dict[str, Any]) -> None: ...
    def may_send(self) -> bool: ...
    def listen(self, cell: CellRun) -> None: ...
    async def enter(self, owner: str) -> str | None: ...
    async def why_not(self, request: BoxRequest) -> str | None: ...


class Sessions:
    """All live interpreters of this engine."""

    def __init__(self, run_box: Callable[..., Awaitable[str]], most: int) -> None:
        self._run_box = run_box
        self.most = most
        self._opening: dict[str, str] = {}  # id to owner
        self._open: dict[str, Session] = {}
        self._ended: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._open) + len(self._opening)

    def facts(self) -> list[dict[str, Any]]:
        return [session.facts() for session in self._open.values()]

    async def serve(self, message: dict[str, Any], client: Conversation) -> None:
        """One operation of the protocol, from what was asked to the last word about it."""
        try:
            await self._operations[str(message.get("op"))](self, message, client)
        except Refused as refusal:
            client.say({"type": "refused", "reason": refusal.reason, "code": refusal.code})
        except ValueError as error:
            client.say({"type": "refused", "reason": f"This cannot be done: {error}.", "code": "invalid"})
        except TimeoutError:
            client.say({"type": "refused", "reason": "The session did not answer in time. Try again.", "code": BUSY})

    async def _list(self, message: dict[str, Any], client: Conversation) -> None:
        client.say({"type": "sessions", "sessions": self.facts()})

    async def _open_one(self, message: dict[str, Any], client: Conversation) -> None:
        request = BoxRequest.from_json(message.get("request"))
        idle, most = message.get("idle_seconds"), message.get("most")
        if not request.session or not isinstance(idle, (int, float)) or not 0 < idle < UNLIMITED:
            raise ValueError("a session needs a time after which it ends without use")
        if not isinstance(most, int):
            raise ValueError("most must be a whole number")
        if reason := await client.why_not(request):
            raise Refused("crashed", reason)
        session = await self.open(request, idle, most)
        client.say({"type": "opened", "idle_left": session.idle_left(), "start": session.walls.start})

    async def _run_cell(self, message: dict[str, Any], client: Conversation) -> None:
        session = self._named(message)
        run = CellRun(session, Cell.from_json(message.get("cell")), client.say, client.may_send)
        if reason := await client.enter(session.request.owner):
            raise Refused(FULL, reason)
        client.say({"type": "accepted", "protocol": PROTOCOL})
        client.listen(run)
        await session.run_cell(run)

    async def _ask(self, message: dict[str, Any], client: Conversation) -> None:
        session = self._named(message)
        what, question = message.get("what"), message.get("question")
        if what not in QUESTIONS or not isinstance(question, dict) or len(dump_json(question)) > MAX_QUESTION_BYTES:
            raise ValueError("no question that a session answers")
        if what == "page":
            session.touch()
        client.say({"type": "answer", "body": await session.ask(what, question)})

    async def _keep(self, message: dict[str, Any], client: Conversation) -> None:
        session = self._named(message)
        session.touch()
        client.say({"type": "done", "idle_left": session.idle_left()})

    async def _interrupt(self, message: dict[str, Any], client: Conversation) -> None:
        self._named(message).interrupt_cell()
        client.say({"type": "done"})

    async def _close(self, message: dict[str, Any], client: Conversation) -> None:
        await self.close(self._named(message))
        client.say({"type": "done"})

    _operations: dict[str, Callable[[Sessions, dict[str, Any], Conversation], Awaitable[None]]] = {
        "sessions": _list,
        "open_session": _open_one,
        "run_cell": _run_cell,
        "ask_session": _ask,
        "keep_session": _keep,
        "interrupt_session": _interrupt,
        "close_session": _close,
    }

    def _named(self, message: dict[str, Any]) -> Session:
        return self.get(message.get("session"), message.get("owner"))

    async def open(self, request: BoxRequest, idle_seconds: float, most_of_owner: int) -> Session:
        """A new session, its interpreter waiting. Raises Refused."""
        key, owner = request.run_id, request.owner
        if key in self._open or key in self._opening:
            raise Refused(BUSY, "This session is open already.")
        mine = [s for s in self._open.values() if s.request.owner == owner]
        if len(mine) + list(self._opening.values()).count(owner) >= most_of_owner:
            raise Refused(FULL, f"{most_of_owner} sessions are open, the limit of your plan. Close one first.")
        if len(self) >= self.most:
            raise Refused(FULL, f"All {self.most} sessions of this machine are in use. Try again in a moment.")
        self._opening[key] = owner
        try:
            return await self._begin(request, idle_seconds)
        finally:
            del self._opening[key]

    async def _begin(self, request: BoxRequest, idle_seconds: float) -> Session:
        opened = asyncio.Event()
        made: list[Session] = []

        def make(_whole: BoxRequest, walls: Walls, send: Any, may_send: Any, overrides: bool) -> Session:
            made.append(Session(request, walls, overrides, idle_seconds, opened))
            return made[-1]

        task = asyncio.create_task(self._live(request, make, made))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        waiting = asyncio.create_task(opened.wait())
        try:
            await asyncio.wait({task, waiting}, timeout=OPEN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if not opened.is_set() or task.done():
            if made:
                made[-1].end("It did not start.")
            else:
                task.cancel()  # it is still being made, and nobody will know of it
            raise Refused("crashed", "The interpreter could not be started. Try again in a moment.")
        session = made[-1]
        session.touch()
        self._open[request.run_id] = session
        return session

    async def _live(self, request: BoxRequest, make: Callable[..., Session], made: list[Session]) -> None:
        # Walls that end by themselves, as a cluster's do, are there for as long as a session may live.
        whole = dataclasses.replace(request, limits=dataclasses.replace(request.limits, wall_seconds=SESSION_SECONDS))
        try:
            await self._run_box(whole, lambda event: None, lambda: True, make=make)
        except Exception:
            logger.exception("session %s: no box", request.run_id)
        finally:
            for session in made:
                if self._open.get(request.run_id) is session:
                    del self._open[request.run_id]
                session.gone.set()
            self._ended[request.run_id, request.owner] = made[-1].why if made else NEVER
            while len(self._ended) > MAX_REMEMBERED_ENDS:
                self._ended.popitem(last=False)

    def get(self, key: Any, owner: Any) -> Session:
        """The session of this owner. Another's looks like one that never was."""
        session = self._open.get(key) if isinstance(key, str) else None
        if session is None or session.request.owner != owner:
            why = self._ended.get((key, owner), NEVER) if isinstance(key, str) and isinstance(owner, str) else NEVER
            raise Refused(GONE, why)
        return session

    async def close(self, session: Session, why: str = "It was closed.") -> None:
        """End it, and wait until its place is free."""
        session.end(why)
        await asyncio.wait_for(session.gone.wait(), TURN_SECONDS)


OPERATIONS = frozenset(Sessions._operations)
