"""Can the runs of a queue be executed now, and if not, why? Asked by every page with a Run button."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import django_rq
from rq import Worker

from runner.engines import USUAL, engine_of, sockets
from runner.models import GPU
from sandbox.client import EngineUnavailable

SECONDS_FRESH = 5.0
# A worker renews its mark while it waits and while it runs a job; RQ forgets it after about 7 minutes.
HEARTBEAT_SECONDS = 480.0


@dataclass(frozen=True)
class SandboxState:
    ready: bool
    reason: str = ""


def a_worker_listens(queue: str = USUAL) -> bool:
    """Some worker of the queue was heard of lately."""
    now = datetime.now(UTC)
    for worker in Worker.all(queue=django_rq.get_queue(queue)):
        heard = worker.last_heartbeat
        if heard is not None and (now - heard.replace(tzinfo=heard.tzinfo or UTC)).total_seconds() < HEARTBEAT_SECONDS:
            return True
    return False


_known: dict[Path, tuple[float, SandboxState]] = {}


def current(queue: str = USUAL) -> SandboxState:
    """The word of the engine of this queue, seconds old at most. While it restarts, runs wait; none is refused."""
    engine = engine_of(queue)
    if queue == GPU and GPU not in sockets():
        return SandboxState(True)  # it is another machine's; whether that is at work, gpu.py asks its workers
    now = time.monotonic()
    known = _known.get(engine.socket_path)
    if known is not None and now - known[0] < SECONDS_FRESH:
        return known[1]
    try:
        status = engine.status()
        state = SandboxState(bool(status["ready"]), status.get("reason", ""))
    except EngineUnavailable:
        state = SandboxState(True, "The sandbox engine is being restarted; runs wait for it.")
    _known[engine.socket_path] = (now, state)
    return state
