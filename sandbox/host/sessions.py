"""How is a live interpreter kept? A box that outlives the connection which opened it: held by its id, it runs cells
one after the other, answers questions between them, and ends when nobody uses it any more.

A cell is to its client what a run is: the same events, the same limits, the same outcomes. Of the limits, processor
time and length hold for each cell; memory, disk and processes for the session as a whole. What has to be stopped is
interrupted first, as a person would do it, and the interpreter ends only when that does not help. What a box says
about itself is believed only as far as it concerns the box: a cell that ended without having ended goes on under the
limits of an idle session.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from sandbox.host import messages, outcome
from sandbox.host.box import LOOK_SECONDS, MAX_STDIN_BACKLOG, NEAR_LIMIT, OUTPUT_LIMITS, Box, Send
from sandbox.host.outcome import Observed
from sandbox.host.output import Output
from sandbox.host.walls import Walls
from sandbox.protocol import CRASHED, PROTOCOL, SESSION_SECONDS, BoxRequest, Cell, Limits, dump_json, encode_frame

logger = logging.getLogger(__name__)

IDLE_LOOK_SECONDS = 0.5
GRACE_SECONDS = 3.0  # from an interrupt for a limit until the interpreter ends
INTERRUPT_AGAIN_SECONDS = 5.0  # for a cell that was asked to stop and has not
TURN_SECONDS = 10.0  # a cell or a question waits this long for what comes before it
OPEN_SECONDS = 25.0  # less than a client waits for its answer
QUESTION_SECONDS = 8.0
FREE_LOOK_SECONDS = 0.2  # of processor time, for each question
MAX_REMEMBERED_ENDS = 500
UNLIMITED = 1e9
# Of what threads print and show between two cells, which the next cell's reader gets.
BETWEEN_EVENTS = 200
BETWEEN_BYTES = 256 * 1024
MAX_QUESTION_BYTES = 2000
QUESTIONS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "variables": messages.variables,
    "page": messages.page,
}

GONE, BUSY, FULL = "gone", "busy", "full"
NEVER = "There is no such session: it has ended, or never was."


class Refused(Exception):
    """The session will not do it; `code` is for programs, the text for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class CellRun:
    """One cell while it runs: the reader of its output and the judge of its end."""

    def __init__(self, session: Session, cell: Cell, send: Send, may_send: Callable[[], bool]) -> None:
        self.session = session
        self.cell = cell
        self.limits = cell.limits
        self.number = 0  # once it has its turn
        self.over = asyncio.Event()  # the interpreter says so, or is no more
        self.observed = Observed()
        self._send = send
        self._may_send = may_send
        self._started_at = time.monotonic()
        self._failed = False
        self._timers: list[asyncio.TimerHandle] = []

    # What the client may ask

    def cancel(self) -> None:
        """Stop it and keep the interpreter: an interrupt, and another one if it takes long. Never more than that."""
        if not self.number:  # it waits for its turn, and will not have it
            self.observed.stopped_for = "cancelled"
            self.over.set()
        elif not self.observed.interrupted:
            self.interrupt()
            self._later(INTERRUPT_AGAIN_SECONDS, self.interrupt)

    def abandon(self) -> None:
        """Nobody is there to hear how it ends; the session goes on."""
        self.cancel()

    def interrupt(self) -> None:
        if self.runs:
            self.observed.interrupted = True
            self.session.interrupt()

    def write_input(self, text: str) -> None:
        if self.runs:
            self.session.walls.write_stdin(text.encode("utf-8", "replace"), MAX_STDIN_BACKLOG)

    def answer(self, number: int, body: dict[str, Any]) -> None:
        if self.runs:
            self.session.answer(number, body)

    # For Output

    def emit(self, event: dict[str, Any]) -> None:
        if event["type"] == "cell_ended":
            self.take_end(event)
        elif event["type"] != "reply":
            self._send({**event, "t": self.seconds()})

    def may_send(self) -> bool:
        return self._may_send()

    def note_error(self, error: dict[str, Any], number: int | None) -> None:
        self.observed.error, self.observed.error_number = error, number

    def guarded(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        return self.session.guarded(callback)

    def stop(self, reason: str) -> None:
        """A limit was met: interrupt, and end the interpreter if that does not help."""
        if self.observed.stopped_for is not None:
            return
        self.observed.stopped_for = reason
        if reason in OUTPUT_LIMITS:
            self.session.discard_output()
        if self.runs:
            self.session.interrupt()
            self._later(GRACE_SECONDS, self.session.give_up)

    # Its life

    @property
    def runs(self) -> bool:
        return self.number > 0 and not self.over.is_set()

    def begin(self, number: int) -> None:
        self.number = number
        self._started_at = time.monotonic()

    def seconds(self) -> float:
        return round(time.monotonic() - self._started_at, 4)

    def take_end(self, event: dict[str, Any]) -> None:
        if event["id"] == self.number:
            self._failed = event["failed"]
            self.over.set()

    def look(self, cpu_seconds: float) -> None:
        if not self.runs:
            return
        if self.seconds() > self.limits.wall_seconds:
            self.stop("wall_seconds")
        elif cpu_seconds > self.limits.cpu_seconds:
            self.stop("cpu_seconds")

    def finish(self) -> None:
        for timer in self._timers:
            timer.cancel()

    def tell(self, used: dict[str, Any], refused_processes: int) -> None:
        """How it ended; the last event."""
        session, observed = self.session, self.observed
        gone = session.has_ended
        if gone:
            whole = session.observed
            observed.stopped_for = observed.stopped_for or whole.stopped_for
            observed.reported = whole.reported
            observed.exit_code, observed.exit_signal = whole.exit_code, whole.exit_signal
            observed.out_of_memory_kills, observed.disk_full = whole.out_of_memory_kills, whole.disk_full
        else:
            observed.reported, observed.exit_code = True, int(self._failed)
        observed.memory_near_limit = used["peak_memory_bytes"] > NEAR_LIMIT * self.limits.memory_bytes
        observed.refused_processes = refused_processes
        ended = outcome.ended(
            observed,
            self.limits,
            start="session",
            wall_seconds=self.seconds(),
            cpu_seconds=used["cpu_seconds"],
            peak_memory_bytes=used["peak_memory_bytes"],
            artefacts_skipped=[],
        )
        if ended["outcome"] == CRASHED:
            logger.error("run %s: its session was lost: %s", self.cell.run_id, session.observed.crash)
        if not gone:
            ended["exit"]["code"] = None  # the interpreter lives
        about = {"alive": not gone, "why": session.why if gone else "", "idle_left": session.idle_left()}
        # Since the session began: what an earlier cell read may be printed by this one.
        self._send({**ended, **session.opened(), "t": self.seconds(), "session": about})

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(seconds, self._while_running, action))

    def _while_running(self, action: Callable[[], None]) -> None:
        if self.runs:
            action()


class _Between:
    """Reads a session while no cell runs: answers to questions, and what its threads print."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.limits = dataclasses.replace(
            session.limits,
            output_bytes=BETWEEN_BYTES,
            events=BETWEEN_EVENTS,
            rich_bytes=4 << 20,
            rich_message_bytes=1 << 20,
        )

    def emit(self, event: dict[str, Any]) -> None:
        if event["type"] == "reply":
            self.session.take_reply(event)
        elif event["type"] not in ("cell_ended", "ask", "input"):
            self.session.keep(event)

    def may_send(self) -> bool:
        return True

    def note_error(self, error: dict[str, Any], number: int | None) -> None:
        """Of a thread; its text is kept with the rest."""

    def stop(self, reason: str) -> None:
        """Too much: nothing more is read until the next cell or question, and the pipes fill."""
        self.session.close_output()

    def guarded(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        return self.session.guarded(callback)


class _Discarding(_Between):
    """Reads on after a cell met a limit of output, so that the interrupt can reach it; only its end counts."""

    def __init__(self, session: Session, cell: CellRun) -> None:
        super().__init__(session)
        self.limits = dataclasses.replace(
            session.limits, output_bytes=1 << 50, events=1 << 40, rich_bytes=1 << 50, rich_message_bytes=1 << 20
        )
        self._cell = cell

    def emit(self, event: dict[str, Any]) -> None:
        if event["type"] == "cell_ended":
            self._cell.take_end(event)

    def note_error(self, error: dict[str, Any], number: int | None) -> None:
        """The interrupt's own traceback is not what the cell failed of."""

    def stop(self, reason: str) -> None:
        self.session.give_up()


class Session(Box):
    """A box whose program is a live interpreter."""

    def __init__(
        self, request: BoxRequest, walls: Walls, overrides: bool, idle_seconds: float, opened: asyncio.Event
    ) -> None:
        whole = dataclasses.replace(
            request.limits, cpu_seconds=UNLIMITED, wall_seconds=UNLIMITED, artefact_bytes=0, artefact_count=0
        )
        self._of_a_cell = request.limits
        super().__init__(dataclasses.replace(request, limits=whole), walls, lambda event: None, lambda: True, overrides)
        self.idle_seconds = idle_seconds
        self.why = ""  # it ended, in a sentence
        self.has_ended = False
        self.gone = asyncio.Event()  # and its place is free
        self.opened_at = time.time()
        self._opened = opened
        self._turn = asyncio.Lock()
        self._cell: CellRun | None = None
        self._numbers = 0
        self._idle_since = time.monotonic()
        self._cpu_before = 0.0  # what was used when the cell, or the time without one, began
        self._held: list[dict[str, Any]] = []
        self._held_bytes = 0
        self._question: tuple[int, asyncio.Future[dict[str, Any]]] | None = None

    @property
    def observed(self) -> Observed:
        return self._observed

    @property
    def is_busy(self) -> bool:
        return self._turn.locked()

    def idle_left(self) -> float:
        used = 0.0 if self.is_busy else time.monotonic() - self._idle_since
        return round(max(0.0, self.idle_seconds - used), 1)

    def touch(self) -> None:
        """Somebody uses it."""
        self._idle_since = time.monotonic()

    def facts(self) -> dict[str, Any]:
        return {
            "id": self.request.run_id,
            "owner": self.request.owner,
            "state": "busy" if self._cell is not None else "idle",
            "run": self._cell.cell.run_id if self._cell is not None else None,
            "idle_left": self.idle_left(),
            "memory_bytes": self._usage.memory_bytes,
            "started": self.opened_at,
        }

    def interrupt_cell(self) -> None:
        if self._cell is not None:
            self._cell.interrupt()

    def end(self, why: str) -> None:
        self.why = self.why or why
        self.stop("cancelled")

    def give_up(self) -> None:
        """Asking did not help."""
        self.why = self.why or "It could not be interrupted when its cell reached a limit, so it was ended."
        self.kill()

    # As a box

    def _listen(self) -> None:
        self._output = Output(_Between(self), *self.walls.reading_ends(), messages.read_session_message)

    async def _look(self) -> None:
        while not self._ended.is_set():
            await asyncio.sleep(LOOK_SECONDS if self.is_busy else IDLE_LOOK_SECONDS)
            self.guarded(self._look_once)()

    def _look_once(self) -> None:
        super()._look_once()
        used = self._usage.cpu_seconds - self._cpu_before
        if self._cell is not None:
            self._cell.look(used)
        elif not self.is_busy and self.idle_left() <= 0:
            self.end(f"It ended after {_words(self.idle_seconds)} without use.")
        elif used > self._of_a_cell.cpu_seconds:
            self.end(
                f"It ended because what it did between the cells took {self._of_a_cell.cpu_seconds:g} s of processor "
                "time, the limit of one cell."
            )

    def _on_control(self, kind: bytes, body: bytes) -> None:
        super()._on_control(kind, body)
        if self.begun:
            self._opened.set()

    def tell(self) -> None:
        """Nothing of it is left; whoever waits for a cell or an answer hears so."""
        self.has_ended = True
        self.outcome, limit = outcome.decide(self._observed)
        if not self.why:
            self.why = _why(self.outcome, limit, self._of_a_cell)
        if self._observed.crash:
            logger.error("session %s: %s %s", self.request.run_id, self._observed.crash, self.walls.log()[-2000:])
        if self._cell is not None:
            self._cell.over.set()
        if self._question is not None and not self._question[1].done():
            self._question[1].set_exception(Refused(GONE, self.why))

    # Cells

    async def run_cell(self, cell: CellRun) -> None:
        """From its turn to its `ended` event. Raises Refused when it does not get there."""
        await self._take_turn("Another cell of this session is still running. Interrupt it, or wait for it.")
        try:
            if cell.over.is_set():  # stopped while it waited
                cell.tell({"cpu_seconds": 0.0, "peak_memory_bytes": 0}, 0)
                return
            if self.has_ended:
                raise Refused(GONE, self.why)
            await self._run(cell)
        finally:
            self._turn.release()

    async def _run(self, cell: CellRun) -> None:
        self._look_at_usage()
        before = self._usage
        self._cpu_before, self._peak_memory = before.cpu_seconds, before.memory_bytes
        await self._read_by(cell)
        self._numbers += 1
        cell.begin(self._numbers)
        self._cell = cell
        try:
            cell.emit({"type": "started"})
            for event in self._held:
                cell.emit(event)
            self._held, self._held_bytes = [], 0
            self.walls.write_inbox(
                encode_frame(
                    {
                        "type": "cell",
                        "id": cell.number,
                        "source": cell.cell.source,
                        "line": cell.cell.line,
                        "params": cell.cell.params,
                    }
                )
            )
            await cell.over.wait()
            if not self.has_ended:
                await self._read_by(_Between(self))
                self._look_at_usage()
        except Exception as error:
            self.fail(error)
            raise
        finally:
            self._cell = None
            cell.finish()
            self.touch()
        used = {
            "cpu_seconds": round(max(0.0, self._usage.cpu_seconds - before.cpu_seconds), 3),
            "peak_memory_bytes": self._peak_memory,
        }
        self._cpu_before = self._usage.cpu_seconds
        cell.tell(used, self._usage.refused_processes - before.refused_processes)

    async def _read_by(self, reader: Any) -> None:
        """What was read so far goes to who read it; what comes now, to this one."""
        last = self._output
        assert last is not None
        await last.finish()
        if not self._ended.is_set():
            self._output = Output(
                reader, *self.walls.reading_ends(), messages.read_session_message, begun=last.unfinished
            )

    def discard_output(self) -> None:
        assert self._output is not None
        self._output.close()
        if self._cell is not None and self._cell.runs and not self._ended.is_set():
            self._output = Output(
                _Discarding(self, self._cell), *self.walls.reading_ends(), messages.read_session_message
            )

    def close_output(self) -> None:
        if self._output is not None:
            self._output.close()

    def keep(self, event: dict[str, Any]) -> None:
        """For the next cell to show."""
        size = len(dump_json(event))
        if len(self._held) < BETWEEN_EVENTS and self._held_bytes + size <= BETWEEN_BYTES:
            self._held.append(event)
            self._held_bytes += size

    # Questions

    async def ask(self, what: str, question: dict[str, Any]) -> dict[str, Any]:
        """The answer of an idle interpreter, rebuilt from what it said."""
        rebuild = QUESTIONS[what]
        if self._cell is not None:
            raise Refused(BUSY, "A cell is running. What it holds can be looked at when the cell has ended.")
        await self._take_turn("The session is busy. Ask again in a moment.")
        try:
            if self.has_ended:
                raise Refused(GONE, self.why)
            self._look_at_usage()
            before = self._usage.cpu_seconds
            body = await self._ask(what, question)
            self._look_at_usage()
            # Looking is not what its program did; but a program can hide in it, so only a little is given away.
            self._cpu_before += min(FREE_LOOK_SECONDS, self._usage.cpu_seconds - before)
        finally:
            self._question = None
            self._turn.release()
        if refusal := messages.refusal(body):
            raise Refused("unanswered", refusal)
        try:
            return {**rebuild(body), "idle_left": self.idle_left()}
        except (messages.Refused, TypeError, ValueError, RecursionError):
            raise Refused("unanswered", "The interpreter gave no answer that can be shown.") from None

    async def _ask(self, what: str, question: dict[str, Any]) -> dict[str, Any]:
        await self._read_by(_Between(self))
        self._numbers += 1
        waiting: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._question = self._numbers, waiting
        self.walls.write_inbox(encode_frame({**question, "type": "question", "what": what, "id": self._numbers}))
        try:
            return await asyncio.wait_for(waiting, QUESTION_SECONDS)
        except TimeoutError:
            self.interrupt()
            raise Refused("unanswered", f"The interpreter did not answer within {QUESTION_SECONDS:g} s.") from None

    def take_reply(self, event: dict[str, Any]) -> None:
        if self._question is not None and self._question[0] == event["id"] and not self._question[1].done():
            self._question[1].set_result(event["body"])

    async def _take_turn(self, else_say: str) -> None:
        try:
            await asyncio.wait_for(self._turn.acquire(), TURN_SECONDS)
        except TimeoutError:
            raise Refused(BUSY, else_say) from None


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


def _why(result: str, limit: str | None, limits: Limits) -> str:
    if limit == "memory_bytes":
        return f"It reached its memory limit of {limits.memory_bytes / 1e6:,.0f} MB and was ended."
    if result == CRASHED:
        return "The sandbox lost it; it was not your code."
    return "The interpreter has ended itself."


def _words(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes:g} min" if seconds >= 60 else f"{seconds:g} s"


OPERATIONS = frozenset(Sessions._operations)
