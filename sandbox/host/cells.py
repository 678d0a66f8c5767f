"""How does one cell of a session run? Its limits, what may be asked of it while it runs, and how it ended.

A cell is to its client what a run is: the same events, the same limits, the same outcomes. What has to be stopped is
interrupted first, as a person would do it, and the interpreter ends only when that does not help.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sandbox.host import outcome
from sandbox.host.box import NEAR_LIMIT, OUTPUT_LIMITS, Send
from sandbox.host.outcome import Observed
from sandbox.protocol import CRASHED, Cell

if TYPE_CHECKING:
    from sandbox.host.session import Session

logger = logging.getLogger(__name__)

GRACE_SECONDS = 3.0  # from an interrupt for a limit until the interpreter ends
INTERRUPT_AGAIN_SECONDS = 5.0  # for a cell that was asked to stop and has not


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
            self.session.write_input(text)

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
