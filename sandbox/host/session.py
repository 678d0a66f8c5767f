"""How is one live interpreter kept? A box that runs cells one after the other, answers questions between them, and
ends when nobody uses it any more.

Of the limits, processor time and length hold for each cell; memory, disk and processes for the session as a whole.
What a box says about itself is believed only as far as it concerns the box: a cell that ended without having ended
goes on under the limits of an idle session.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sandbox.host import messages, outcome
from sandbox.host.box import LOOK_SECONDS, Box
from sandbox.host.outcome import Observed
from sandbox.host.output import Output
from sandbox.host.walls import Walls
from sandbox.protocol import CRASHED, BoxRequest, Limits, dump_json, encode_frame

if TYPE_CHECKING:
    from sandbox.host.cells import CellRun

logger = logging.getLogger(__name__)

IDLE_LOOK_SECONDS = 0.5
TURN_SECONDS = 10.0  # a cell or a question waits this long for what comes before it
QUESTION_SECONDS = 8.0
FREE_LOOK_SECONDS = 0.2  # of processor time, for each question
UNLIMITED = 1e9
# Of what threads print and show between two cells, which the next cell's reader gets.
BETWEEN_EVENTS = 200
BETWEEN_BYTES = 256 * 1024
QUESTIONS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "variables": messages.variables,
    "page": messages.page,
}

GONE, BUSY = "gone", "busy"


class Refused(Exception):
    """The session will not do it; `code` is for programs, the text for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


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


def _why(result: str, limit: str | None, limits: Limits) -> str:
    if limit == "memory_bytes":
        return f"It reached its memory limit of {limits.memory_bytes / 1e6:,.0f} MB and was ended."
    if result == CRASHED:
        return "The sandbox lost it; it was not your code."
    return "The interpreter has ended itself."


def _words(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes:g} min" if seconds >= 60 else f"{seconds:g} s"
