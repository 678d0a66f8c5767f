"""How does a live interpreter work? It runs the cells it is given, and answers questions about its variables between
them, until it is ended from outside.

Commands come through the inbox; the end of a cell and the answers go out on the rich channel. An interrupt ends the
cell that runs and nothing else.
"""

from __future__ import annotations

import json
import linecache
import os
import resource
import signal
import sys
import warnings
from types import FrameType
from typing import Any

from qfp import checking

from . import display, shell, streams, tracebacks, variables


class _Interrupts:
    """SIGINT is a KeyboardInterrupt for a cell or a question, and nothing between them."""

    welcome = False

    @classmethod
    def handle(cls, number: int, frame: FrameType | None) -> None:
        if cls.welcome:
            raise KeyboardInterrupt

    @classmethod
    def install(cls) -> None:
        signal.signal(signal.SIGINT, cls.handle)


class Session:
    def __init__(self, interpreter: Any, entry: str) -> None:
        from qfp import channel

        self._channel = channel
        self._shell = interpreter
        self._entry = entry
        self._hidden = frozenset(interpreter.user_ns)
        self._orders = variables.Orders()
        self._lines: list[str] = []  # of the entry, as its cells have shown it so far
        self._data_limit = resource.getrlimit(resource.RLIMIT_DATA)

    def serve(self) -> None:
        """Until the engine closes the inbox, or ends the box."""
        _Interrupts.install()
        while True:
            try:
                message = self._channel.receive()
            except self._channel.Unanswered:
                return
            kind = message.get("type")
            if kind == "cell":
                self._run_cell(message)
            elif kind == "question":
                self._answer(message)
            # The answer to something that a cell asked before it was interrupted is nobody's any more.

    # Cells

    def _run_cell(self, message: dict[str, Any]) -> None:
        number, line, source = message["id"], message["line"], message["source"]
        self._orders.clear()
        streams.begin()
        os.environ["QFP_PARAMS"] = json.dumps(message["params"])
        self._show_lines(source, line)
        display.forget_shown()
        checking.forget()
        end = "error"
        try:
            _Interrupts.welcome = True
            error = shell._run_cell(source, line)
            _Interrupts.welcome = False
            end = self._tell(error)
        except KeyboardInterrupt as interrupt:  # between the cell and us
            _Interrupts.welcome = False
            end = self._tell(interrupt)
        finally:
            _Interrupts.welcome = False
            streams.flush()
            resource.setrlimit(resource.RLIMIT_DATA, self._data_limit)
            _Interrupts.install()  # the cell may have put a handler of its own there
            self._channel.begin_line()
            self._channel.emit({"type": "cell_ended", "id": number, "end": end})

    def _tell(self, error: BaseException | None) -> str:
        if error is None:
            return "ok"
        return "ok" if shell._end_by(error, self._channel.emit) == 0 else "error"

    def _show_lines(self, source: str, line: int) -> None:
        """Tracebacks quote the entry: its lines are those of the cells, each where it stands in the file."""
        fresh = source.splitlines(keepends=True)
        first = line - 1
        self._lines.extend(["\n"] * (first + len(fresh) - len(self._lines)))
        self._lines[first : first + len(fresh)] = fresh
        text = self._lines
        linecache.cache[self._entry] = (sum(map(len, text)), None, list(text), self._entry)

    # Questions

    def _answer(self, message: dict[str, Any]) -> None:
        names = self._shell.user_ns
        try:
            _Interrupts.welcome = True
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if message.get("what") == "page":
                    body = variables.page(names, self._orders, message)
                else:
                    body = variables.list_variables(names, self._hidden)
            _Interrupts.welcome = False
        except variables.CannotShow as refusal:
            body = {"error": str(refusal)}
        except KeyboardInterrupt:
            body = {"error": "Looking took too long."}
        except Exception as error:
            body = {
                "error": f"This could not be looked at: {type(error).__name__}: {tracebacks._one_message(error)[:200]}"
            }
        finally:
            _Interrupts.welcome = False
        self._channel.begin_line()
        # Not in the order of the texts: what a thread prints meanwhile is nobody's business here.
        self._channel.emit({"type": "reply", "id": message.get("id"), "body": body}, in_order=False)


def serve(interpreter: Any, entry: str) -> int:
    """The life of the interpreter; the exit code."""
    from qfp import channel

    channel.only_thread = True
    try:
        Session(interpreter, entry).serve()
    finally:
        sys.stderr.flush()
    return 0
