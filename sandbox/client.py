"""How does the site get a box? Ask the engine on its unix socket, read events until `ended`. Synchronous, no Django.

with EngineClient(settings.ENGINE_SOCKET).start(request) as box:
    for event in box.events():
        ...
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from sandbox.protocol import (
    MAX_INPUT_BYTES,
    OTHER_RELEASE,
    PROTOCOL,
    BoxRequest,
    Cell,
    FrameReader,
    Limits,
    ProtocolError,
    encode_frame,
)

__all__ = [
    "Box",
    "BoxRefused",
    "BoxRequest",
    "Cell",
    "EngineClient",
    "EngineUnavailable",
    "Limits",
    "SessionBusy",
    "SessionGone",
]

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0


class EngineUnavailable(Exception):
    """Nobody answers on the engine's socket, or the engine went away while a box was running."""


class BoxRefused(Exception):
    """The engine will not start this box; `reason` says why and what to change, in a sentence for the user."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SessionGone(BoxRefused):
    """The session has ended, was never there, or is somebody else's; `reason` says why it ended."""


class SessionBusy(BoxRefused):
    """The session does something else at the moment."""


_REFUSALS = {"gone": SessionGone, "busy": SessionBusy}


class EngineClient:
    def __init__(self, socket_path: str | os.PathLike[str]) -> None:
        self.socket_path = Path(socket_path)

    def status(self) -> dict[str, Any]:
        """What the engine says about itself: ready, reason, weaknesses, boxes, version."""
        connection = _Connection(self.socket_path)
        try:
            connection.send({"op": "status"})
            status = connection.receive_answer()
            if status.get("protocol") != PROTOCOL:
                status |= {"ready": False, "reason": OTHER_RELEASE}
            return status
        finally:
            connection.close()

    def metrics(self) -> str:
        """The engine's figures in Prometheus' text format."""
        connection = _Connection(self.socket_path)
        try:
            connection.send({"op": "metrics"})
            return str(connection.receive_answer().get("text", ""))
        finally:
            connection.close()

    def start(self, request: BoxRequest) -> Box:
        """Start a box. Raises BoxRefused or EngineUnavailable; the caller owns the Box and closes it.

        Where the box has to wait for a place its events begin all the same; if none comes free, its `ended` event has
        the reason in `refused`.
        """
        return self._begin({"op": "start", "request": request.to_json()})

    # Sessions. Each raises SessionGone when there is none of this id and owner, and EngineUnavailable.

    def open_session(self, request: BoxRequest, idle_seconds: float, most: int) -> dict[str, Any]:
        """A live interpreter under the id request.run_id, which ends after idle_seconds without use. BoxRefused when
        its owner has `most` of them.
        """
        return self._ask(
            {"op": "open_session", "request": request.to_json(), "idle_seconds": idle_seconds, "most": most}
        )

    def run_cell(self, session: str, owner: str, cell: Cell) -> Box:
        """Run a cell; the Box is the cell's. Leaving it interrupts the cell and keeps the session."""
        return self._begin({"op": "run_cell", "session": session, "owner": owner, "cell": cell.to_json()})

    def ask_session(
        self, session: str, owner: str, what: str, question: dict[str, Any] | None = None, timeout: float = 20.0
    ) -> dict[str, Any]:
        """ "variables" or "page". SessionBusy while a cell runs; BoxRefused when it cannot be answered."""
        message = {"op": "ask_session", "session": session, "owner": owner, "what": what, "question": question or {}}
        body = self._ask(message, timeout).get("body")
        return body if isinstance(body, dict) else {}

    def keep_session(self, session: str, owner: str) -> float:
        """It is used: seconds until it ends without use."""
        return float(self._ask({"op": "keep_session", "session": session, "owner": owner})["idle_left"])

    def interrupt_session(self, session: str, owner: str) -> None:
        """KeyboardInterrupt in the cell that runs, if one does."""
        self._ask({"op": "interrupt_session", "session": session, "owner": owner})

    def close_session(self, session: str, owner: str) -> None:
        self._ask({"op": "close_session", "session": session, "owner": owner})

    def sessions(self) -> list[dict[str, Any]]:
        """All sessions of the engine: id, owner, state, run, idle_left, memory_bytes, started."""
        found = self._ask({"op": "sessions"}).get("sessions")
        return found if isinstance(found, list) else []

    def _ask(self, message: dict[str, Any], timeout: float = ANSWER_SECONDS) -> dict[str, Any]:
        connection = _Connection(self.socket_path)
        try:
            connection.send({**message, "protocol": PROTOCOL})
            return _agreed(connection.receive_answer(timeout))
        finally:
            connection.close()

    def _begin(self, message: dict[str, Any]) -> Box:
        connection = _Connection(self.socket_path)
        try:
            connection.send({**message, "protocol": PROTOCOL})
            answer = _agreed(connection.receive_answer())
            if answer.get("type") == "accepted" and answer.get("protocol") != PROTOCOL:
                raise BoxRefused(OTHER_RELEASE)
            if answer.get("type") != "accepted":
                raise EngineUnavailable(f"The sandbox engine gave an answer of type {answer.get('type')!r}.")
        except BaseException:
            connection.close()
            raise
        return Box(connection)


def _agreed(answer: dict[str, Any]) -> dict[str, Any]:
    if answer.get("type") == "refused":
        raise _REFUSALS.get(str(answer.get("code")), BoxRefused)(str(answer.get("reason", "")))
    return answer


class Box:
    """One running program. Leaving the `with` block, or losing the process that holds it, kills the box."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._ended = False

    def events(self, poll_seconds: float = 1.0) -> Iterator[dict[str, Any] | None]:
        """Events in order, the last of type `ended`; None whenever poll_seconds passed without one.

        Raises EngineUnavailable when the engine dies before it could say how the box ended, and BoxRefused when a
        cell never got its turn.
        """
        while not self._ended:
            event = self._connection.receive(poll_seconds)
            if event is not None and event.get("type") == "ended":
                self._ended = True
            yield _agreed(event) if event is not None else None

    def cancel(self) -> None:
        """Stop the program now; its `ended` event says `cancelled`."""
        self._send({"op": "cancel"})

    def interrupt(self) -> None:
        """KeyboardInterrupt in the program, as Ctrl-C would."""
        self._send({"op": "interrupt"})

    def send_input(self, text: str) -> None:
        """A line for input(); the end of the line is added when it is missing."""
        if len(text.encode("utf-8", "replace")) > MAX_INPUT_BYTES:
            raise ValueError(f"input is limited to {MAX_INPUT_BYTES // 1024} KB a line")
        self._send({"op": "input", "text": text if text.endswith("\n") else text + "\n"})

    def answer(self, number: int, body: dict[str, Any]) -> None:
        """What the program asked for in an event of type `ask`; {"error": text} says why it cannot be had."""
        self._send({"op": "answer", "id": number, "body": body})

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Box:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, message: dict[str, Any]) -> None:
        if self._ended:
            return
        try:
            self._connection.send(message)
        except EngineUnavailable:
            pass  # the box has just ended, or the engine died: events() says which


class _Connection:
    """A socket that speaks frames; writing from several threads is allowed, reading from one."""

    def __init__(self, socket_path: Path) -> None:
        self._reader = FrameReader()
        self._write_lock = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(CONNECT_SECONDS)
        try:
            self._socket.connect(os.fspath(socket_path))
        except OSError as error:
            self._socket.close()
            raise EngineUnavailable(
                f"The sandbox engine does not answer on {socket_path}: {error.strerror or error}."
            ) from error

    def send(self, message: dict[str, Any]) -> None:
        try:
            with self._write_lock:
                self._socket.sendall(encode_frame(message))
        except OSError as error:
            raise EngineUnavailable(f"The sandbox engine went away: {error.strerror or error}.") from error

    def receive_answer(self, timeout_seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        answer = self.receive(timeout_seconds)
        if answer is None:
            raise EngineUnavailable(f"The sandbox engine gave no answer within {timeout_seconds:.0f} s.")
        return answer

    def receive(self, timeout_seconds: float) -> dict[str, Any] | None:
        """One frame, or None when none was complete in time."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                message = self._reader.next_frame()
            except ProtocolError as error:
                raise EngineUnavailable(f"The sandbox engine sent nonsense: {error}.") from error
            if message is not None:
                return message
            try:
                remaining = max(0.0, deadline - time.monotonic())
                poller = select.poll()  # select() cannot hold descriptors above 1023
                poller.register(self._socket, select.POLLIN)
                if not poller.poll(remaining * 1000):
                    return None
                data = self._socket.recv(1 << 18)
            except (OSError, ValueError) as error:
                raise EngineUnavailable(f"The sandbox engine went away: {error}.") from error
            if not data:
                raise EngineUnavailable("The sandbox engine closed the connection before the program had ended.")
            self._reader.feed(data)

    def close(self) -> None:
        self._socket.close()
