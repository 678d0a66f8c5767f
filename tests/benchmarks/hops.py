"""When does a run pass each station of the site? This program starts a part of the site that writes it down.

    python -m tests.benchmarks.hops FILE manage.py rqworker runs ...
    python -m tests.benchmarks.hops FILE -m gunicorn playground.asgi:application ...

The part itself is unchanged: functions of it are wrapped, and each wrapper appends a line `time hop run` to FILE.
Queries and connections to the database are written, too. The clock is the machine's, so lines of all parts compare.
"""

from __future__ import annotations

import functools
import os
import runpy
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import django

_file = -1
_received: ContextVar[float] = ContextVar("received")


def mark(hop: str, run: Any = "-", when: float | None = None) -> None:
    os.write(_file, f"{when or time.time():.6f}\t{hop}\t{run}\n".encode())


def wrap(
    owner: Any,
    name: str,
    before: Callable[..., None] | None = None,
    after: Callable[..., None] | None = None,
) -> None:
    """Call before(*arguments) and after(result, *arguments) around owner.name."""
    function = getattr(owner, name)

    @functools.wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        if before is not None:
            before(*arguments)
        result = function(*arguments, **named)
        if after is not None:
            after(result, *arguments)
        return result

    setattr(owner, name, wrapped)


def watch_database(part: str) -> None:
    from django.db.backends.signals import connection_created

    def count(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        mark(f"query {part}", " ".join(sql.split())[:90])
        return execute(sql, params, many, context)

    def connected(connection: Any, **_: Any) -> None:
        mark(f"connected {part}")
        if count not in connection.execute_wrappers:
            connection.execute_wrappers.append(count)

    connection_created.connect(connected, weak=False)


def watch_web() -> None:
    from django.core.handlers.asgi import ASGIHandler

    from runner import consumers, run_views, starting

    serve = ASGIHandler.__call__

    async def serve_and_note(self: Any, scope: Any, receive: Any, send: Any) -> None:
        _received.set(time.time())
        await serve(self, scope, receive, send)

    ASGIHandler.__call__ = serve_and_note  # type: ignore[method-assign]
    wrap(run_views, "start_run", after=lambda run, *_: mark("received", run.pk, _received.get()))
    wrap(starting, "enqueue", lambda run: mark("committed", run.pk), lambda _, run: mark("enqueued", run.pk))
    connect = consumers.RunConsumer.connect

    async def connect_and_note(self: Any) -> None:
        mark("socket asked", self.scope["url_route"]["kwargs"]["run"])
        await connect(self)
        mark("socket open", self.run_id)

    consumers.RunConsumer.connect = connect_and_note  # type: ignore[method-assign]
    send = consumers.RunConsumer.send

    async def send_and_note(self: Any, text_data: Any = None, *arguments: Any, **named: Any) -> None:
        if "stdout" in (text_data or ""):
            mark("sent", self.run_id)
        await send(self, text_data, *arguments, **named)

    consumers.RunConsumer.send = send_and_note  # type: ignore[method-assign]


def watch_worker() -> None:
    from rq.worker import BaseWorker, Worker

    from runner.events import Publisher
    from runner.execution import Execution
    from runner.recording import Recording
    from sandbox.client import EngineClient

    wrap(Worker, "execute_job", lambda *_: mark("dequeued"))
    wrap(BaseWorker, "perform_job", lambda *_: mark("work-horse started"))
    wrap(Execution, "go", lambda self: mark("claimed", self.run.pk), lambda _, self: mark("done", self.run.pk))
    wrap(
        EngineClient,
        "start",
        lambda _, request: mark("box asked", request.run_id),
        lambda _, client, request: mark("box accepted", request.run_id),
    )

    def handle(self: Execution, _box: Any, event: dict[str, Any]) -> None:
        if event["type"] in ("started", "stdout"):
            mark("box started" if event["type"] == "started" else "first byte", self.run.pk)

    wrap(Execution, "_handle", handle)

    def recorded(_: Any, recording: Recording, lines: list[str]) -> None:
        if any('"stdout"' in line for line in lines):
            mark("recorded", recording.directory.name)

    def published(_: Any, publisher: Publisher, *events: dict[str, Any]) -> None:
        for event in events:
            if event["type"] in ("stdout", "finished"):
                mark("published" if event["type"] == "stdout" else "finished published", publisher.run_id)

    wrap(Recording, "append", after=recorded)
    wrap(Publisher, "publish", after=published)


def main() -> None:
    global _file
    _file = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    sys.argv = sys.argv[2:]
    django.setup()
    is_web = sys.argv[0] == "-m"
    watch_database("web" if is_web else "worker")
    if is_web:
        watch_web()
        sys.argv = sys.argv[1:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        watch_worker()
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
